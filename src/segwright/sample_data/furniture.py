"""What belongs to no class: lamps, signs, and the bonnet of the car with the camera.

All of it is labelled as ignore, as unlabelled things are in real data sets.
"""

import numpy as np

from segwright.labels import IGNORE
from segwright.sample_data.canvas import Colour
from segwright.sample_data.light import mix
from segwright.sample_data.stage import Stage

_METAL: Colour = (72, 78, 84)
_SIGNS: tuple[Colour, ...] = ((206, 56, 52), (46, 96, 176), (238, 190, 60))
_DISC = np.linspace(0, 2 * np.pi, 14, endpoint=False)


def draw_lamp(stage: Stage, x: float, z: float) -> None:
    """A street lamp that leans over the road."""
    arm = -1.3 * np.sign(x)
    glow: Colour = (255, 226, 150) if stage.light.lamps > 0.15 else (214, 216, 214)
    outlines = [
        (np.array([[-0.08, 0], [0.08, 0], [0.06, 5.2], [-0.06, 5.2]]), _METAL),
        (np.array([[0, 5.1], [arm, 5.4], [arm, 5.5], [0, 5.24]]), _METAL),
        (np.array([[arm - 0.3, 5.3], [arm + 0.3, 5.3], [arm + 0.2, 5.5], [arm - 0.2, 5.5]]), glow),
    ]
    stage.stand(x, z, outlines, IGNORE)


def draw_sign(stage: Stage, x: float, z: float) -> None:
    """A round road sign."""
    disc = np.stack([0.36 * np.cos(_DISC), 2.5 + 0.36 * np.sin(_DISC)], axis=1)
    heart = (disc - (0, 2.5)) * 0.6 + (0, 2.5)
    pole = np.array([[-0.05, 0], [0.05, 0], [0.05, 2.4], [-0.05, 2.4]])
    colour = _SIGNS[stage.rng.integers(len(_SIGNS))]
    stage.stand(x, z, [(pole, _METAL), (disc, colour), (heart, (240, 238, 230))], IGNORE)


def draw_bonnet(stage: Stage) -> None:
    """The bonnet of the car that carries the camera, along the bottom of the picture."""
    height, width = stage.canvas.labels.shape
    rise = stage.rng.uniform(0.05, 0.09) * height
    x = np.linspace(-0.05, 1.05, 24) * width
    y = height - rise * (1 - (np.abs(x / width - 0.5) * 1.9) ** 4)
    below = np.array([[1.05 * width, height + 5], [-0.05 * width, height + 5]])
    colour = tuple(float(v) for v in stage.rng.uniform(30, 90, 3))
    metal: Colour = (colour[0], colour[1], colour[2])
    stage.canvas.fill([np.concatenate([np.stack([x, y], axis=1), below])], stage.light.on(metal, 0), IGNORE)
    gloss = np.concatenate([np.stack([x, y], axis=1), np.stack([x, y + 0.25 * rise], axis=1)[::-1]])
    stage.canvas.paint([gloss], stage.light.on(mix(metal, stage.light.horizon, 0.35), 0))
