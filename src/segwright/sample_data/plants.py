"""Trees, bushes, hedges and the hills behind the street.

Knows leaves and trunks. A plant is a heap of blobs in three tones: shade, leaf and light.
"""

import numpy as np

from segwright.sample_data.canvas import Colour, Label, Points
from segwright.sample_data.light import mix, vary
from segwright.sample_data.stage import Stage

_LEAVES: tuple[Colour, ...] = (
    (92, 138, 62), (70, 118, 66), (118, 150, 66), (84, 124, 84),
    (136, 152, 70), (60, 104, 58), (190, 138, 58),
)  # fmt: skip
_BARK: Colour = (104, 80, 62)
_ANGLES = np.linspace(0, 2 * np.pi, 9, endpoint=False)
_ROUND = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def leaf_colour(rng: np.random.Generator) -> Colour:
    """The colour of a plant in the sun: mostly green, now and then an autumn one."""
    return vary(rng, _LEAVES[rng.choice(len(_LEAVES), p=(0.2, 0.18, 0.16, 0.16, 0.13, 0.12, 0.05))], 0.12)


def draw_tree(stage: Stage, x: float, z: float, height: float) -> None:
    """A broad tree, a slim one or a fir, `height` metres high."""
    kind = stage.rng.choice(3, p=(0.6, 0.2, 0.2))
    leaf = leaf_colour(stage.rng)
    trunk = 0.04 * height
    bark = np.array([[-trunk, 0], [trunk, 0], [0.6 * trunk, 0.5 * height], [-0.6 * trunk, 0.5 * height]])
    if kind == 2:
        crown = _fir(height, leaf)
    else:
        wide = (0.16 if kind == 1 else 0.28) * height
        crown = _crown(stage.rng, leaf, stage.light.sun, 0.64 * height, wide, 0.34 * height)
    stage.stand(x, z, [(bark, _BARK), *crown], Label.VEGETATION)


def draw_bush(stage: Stage, x: float, z: float, size: float) -> None:
    """A bush, `size` metres wide."""
    leaf = leaf_colour(stage.rng)
    leaves = _crown(stage.rng, leaf, stage.light.sun, 0.3 * size, 0.5 * size, 0.32 * size)
    stage.stand(x, z, leaves, Label.VEGETATION)


def draw_hedge(stage: Stage, x: float, near: float, far: float) -> None:
    """A clipped hedge along the street whose side towards the road is at x."""
    leaf, high, side = leaf_colour(stage.rng), stage.rng.uniform(0.7, 1.3), float(np.sign(x))
    back = x + side * 1.1
    top = np.array([[x, high, near], [x, high, far], [back, high, far], [back, high, near]])
    face = np.array([[x, 0, near], [x, 0, far], [x, high, far], [x, high, near]])
    end = np.array([[x, 0, near], [back, 0, near], [back, high, near], [x, high, near]])
    shade = mix(leaf, (24, 40, 24), 0.2)
    stage.fill([top], mix(leaf, (230, 240, 140), 0.25), Label.VEGETATION, near)
    stage.fill([face], shade, Label.VEGETATION, near, -side)
    stage.fill([end], shade, Label.VEGETATION, near)


def draw_hills(stage: Stage) -> None:
    """Two rolling ridges of woods on the horizon."""
    rng, camera = stage.rng, stage.camera
    for distance, height in ((130.0, rng.uniform(9, 20)), (90.0, rng.uniform(3, 9))):
        columns = np.linspace(-0.2, 1.2, 24) * camera.width
        x = (columns - camera.centre) * distance / camera.focal
        waves = sum(np.sin(x / rng.uniform(8, 40) + rng.uniform(0, 6.3)) for _ in range(3))
        y = np.maximum(height * (1 + 0.22 * waves) + rng.uniform(0, 0.6, len(x)), 0.5)
        ridge = np.column_stack([x - camera.bend * distance**2, y, np.full_like(x, distance)])
        outline = np.concatenate([ridge, ridge[[-1, 0]] * (1, 0, 1)])
        stage.fill([outline], leaf_colour(rng), Label.VEGETATION, 0.7 * distance)


def _crown(
    rng: np.random.Generator, leaf: Colour, sun: float, middle: float, wide: float, high: float
) -> list[tuple[Points, Colour]]:
    """Blobs in metres around a middle: dark ones first, light ones last and towards the sun."""
    tones = (
        (mix(leaf, (20, 36, 34), 0.38), 6, 0.0),
        (leaf, 6, 0.12),
        (mix(leaf, (244, 240, 150), 0.3), 4, 0.3),
    )
    shapes: list[tuple[Points, Colour]] = []
    for tone, count, lift in tones:
        angles = rng.uniform(0, 2 * np.pi) + np.arange(count) * 2 * np.pi / count
        reach = rng.uniform(0.35, 0.62, (count, 1)) * (1 - 0.6 * lift)
        middles = reach * np.column_stack([np.cos(angles), np.sin(angles)]) + (0.8 * lift * sun, lift)
        sizes = rng.uniform(0.36, 0.5, (count, 1, 1)) * (1 - 0.9 * lift)
        uneven = rng.uniform(0.85, 1.15, (count, len(_ROUND), 1))
        blobs = (middles[:, None] + sizes * uneven * _ROUND) * (wide, high) + (0, middle)
        shapes += [(blob, tone) for blob in blobs]
    return shapes


def _fir(height: float, leaf: Colour) -> list[tuple[Points, Colour]]:
    """Three triangles on top of each other, each with a dark half."""
    shapes: list[tuple[Points, Colour]] = []
    for low, top, wide in ((0.14, 0.6, 0.26), (0.36, 0.8, 0.2), (0.58, 1.0, 0.14)):
        whole = np.array([[-wide, low], [wide, low], [0.0, top]]) * height
        half = np.array([[0.02, low - 0.02], [wide, low], [0.0, top]]) * height
        shapes += [(whole, leaf), (half, mix(leaf, (16, 30, 36), 0.32))]
    return shapes
