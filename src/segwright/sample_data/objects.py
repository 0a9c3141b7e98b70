"""What stands in the street: houses, plants, vehicles, people and lamps."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from segwright.labels import IGNORE
from segwright.sample_data.canvas import Colour, Label, Part, Points, SceneCanvas, mix, vary

_WALLS: Final[tuple[Colour, ...]] = (
    (226, 200, 152), (196, 122, 100), (230, 214, 190), (176, 190, 196), (168, 104, 88), (150, 148, 152),
)  # fmt: skip
_ROOFS: Final[tuple[Colour, ...]] = ((148, 82, 66), (96, 92, 100), (120, 96, 84))
_LEAVES: Final[tuple[Colour, ...]] = ((92, 138, 62), (70, 118, 66), (118, 150, 66), (60, 104, 58), (150, 140, 66))
_PAINTS: Final[tuple[Colour, ...]] = (
    (196, 52, 48), (46, 92, 168), (236, 236, 232), (58, 62, 70), (238, 186, 52), (168, 176, 184), (228, 118, 48),
)  # fmt: skip
_CLOTHES: Final[tuple[Colour, ...]] = (
    (216, 72, 66), (64, 112, 190), (244, 210, 96), (242, 240, 234), (92, 60, 120), (40, 44, 58), (92, 168, 150),
)  # fmt: skip
_TROUSERS: Final[tuple[Colour, ...]] = ((50, 62, 98), (44, 44, 50), (110, 92, 72), (150, 136, 112))
_SKIN: Final[tuple[Colour, ...]] = ((240, 200, 170), (222, 172, 138), (180, 126, 92), (92, 60, 46))
_HAIR: Final[tuple[Colour, ...]] = ((40, 32, 30), (84, 56, 36), (206, 172, 110), (160, 160, 164))
_GLASS: Final[Colour] = (58, 74, 94)
_DARK: Final[Colour] = (34, 35, 40)
_BARK: Final[Colour] = (104, 80, 62)
_METAL: Final[Colour] = (72, 78, 84)
_ANGLES: Final = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_CIRCLE: Final = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
_WINDOW_REACH: Final = 45.0  # metres; farther windows only flicker


class Solid(NamedTuple):
    """A box with sloping sides on a vehicle's own axes: x to its right, y up, z to its front, in metres."""

    low: float
    high: float
    base: tuple[float, float, float]  # rear z, front z, half width
    top: tuple[float, float, float]
    panes: tuple[tuple[int, tuple[float, float, float, float], Colour], ...] = ()  # face, box on it, colour


class Vehicle(NamedTuple):
    """A kind of vehicle: its size and the radius of its wheels in metres, its solids from the ground up."""

    length: float
    width: float
    height: float
    solids: tuple[Solid, ...]
    wheel: float


_FACES: Final = ((0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7))  # rear, right, front, left, top
_REAR, _RIGHT, _FRONT, _LEFT = range(4)
_LIGHTS: Final = (
    *((_FRONT, (x, 0.5, x + 0.2, 0.8), (255, 248, 220)) for x in (0.04, 0.76)),
    *((_REAR, (x, 0.45, x + 0.18, 0.82), (220, 40, 40)) for x in (0.03, 0.79)),
    *((face, (0, 0, 1, 0.16), (72, 74, 80)) for face in range(4)),
)
_CABIN: Final = (
    *((face, (0.06, 0.1, 0.94, 0.88), _GLASS) for face in (_FRONT, _REAR)),
    *((face, (x, 0.1, x + 0.42, 0.88), _GLASS) for face in (_LEFT, _RIGHT) for x in (0.05, 0.53)),
)
_BUS: Final = (
    *(
        (face, (x, 0.45, x + 0.14, 0.82), _GLASS)
        for face in (_LEFT, _RIGHT)
        for x in np.arange(0.03, 0.9, 0.16).tolist()
    ),
    *((face, (0.06, 0.4, 0.94, 0.85), _GLASS) for face in (_FRONT, _REAR)),
    *((_REAR, (x, 0.1, x + 0.14, 0.26), (220, 40, 40)) for x in (0.05, 0.81)),
)


def _car(length: float, width: float, waist: float, roof: float, cabin: tuple[float, float, float, float]) -> Vehicle:
    """A body up to the waist and a cabin on it: its rear and front z at the bottom and at the top."""
    half, end = width / 2, length / 2
    body = Solid(0.28, waist, (-end, end, half), (-end + 0.06, end - 0.1, half - 0.03), _LIGHTS)
    upper = Solid(waist, roof, (*cabin[:2], half - 0.05), (*cabin[2:], half - 0.24), _CABIN)
    return Vehicle(length, width, roof, (body, upper), 0.34)


VEHICLES: Final = (
    _car(4.3, 1.8, 0.92, 1.48, (-1.9, 0.9, -1.5, 0.2)),
    _car(4.6, 1.85, 0.9, 1.44, (-1.5, 0.8, -0.9, 0.1)),
    _car(4.9, 1.95, 1.15, 2.0, (-2.4, 1.5, -2.35, 0.9)),
    Vehicle(9.0, 2.5, 3.0, (Solid(0.32, 3.0, (-4.5, 4.5, 1.25), (-4.5, 4.4, 1.2), _BUS),), 0.46),
)
"""Hatchback, saloon, van and bus."""


def draw_vehicle(canvas: SceneCanvas, vehicle: Vehicle, x: float, z: float, heading: float) -> None:
    """A vehicle on the ground at x and z; `heading` is in radians, 0 away from the camera."""
    paint = vary(canvas.rng, _PAINTS)
    cosine, sine = np.cos(heading), np.sin(heading)
    turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    eye = np.array([canvas.camera.offset - canvas.camera.bend * z**2, canvas.camera.eye, 0])
    seen: list[tuple[float, list[Part]]] = []

    def see(polygon: Points, colour: Colour, panes: list[tuple[Points, Colour]]) -> None:
        normal, towards = _normal(polygon), eye - polygon.mean(axis=0)
        if normal @ towards > 0:
            parts: list[Part] = [(outline, tone, normal[0]) for outline, tone in ((polygon, colour), *panes)]
            seen.append((float(np.linalg.norm(towards)), parts))

    end = 0.42 * vehicle.length
    under = Solid(0.05, 0.4, (-end, end, 0.44 * vehicle.width), (-end, end, 0.44 * vehicle.width))
    for solid in (under, *vehicle.solids):
        corners = _corners(solid) @ turn + (x, 0, z)
        for number, face in enumerate(_FACES):
            polygon = corners[list(face)]
            panes = [(inset(polygon, [box])[0], colour) for on, box, colour in solid.panes if on == number]
            see(polygon, _DARK if solid is under else paint, panes)
    for side in (-1, 1):
        wheel = vehicle.wheel * np.column_stack([np.zeros(12), _CIRCLE[::side]])
        for along in (-0.31, 0.31):
            middle = (side * (vehicle.width / 2 + 0.02), vehicle.wheel, along * vehicle.length)
            see((wheel + middle) @ turn + (x, 0, z), _DARK, [])
    canvas.draw([part for _, parts in sorted(seen, key=lambda face: -face[0]) for part in parts], Label.VEHICLE)


def draw_person(canvas: SceneCanvas, x: float, z: float, height: float) -> None:
    """A person who walks to the left or right at x and z, `height` metres tall."""
    rng = canvas.rng
    top, trousers, skin, hair = (vary(rng, colours) for colours in (_CLOTHES, _TROUSERS, _SKIN, _HAIR))
    step, hem = rng.uniform(0.02, 0.22), rng.choice((0.86, 0.6), p=(0.7, 0.3))
    shade = mix(top, (30, 26, 40), 0.22)
    body = [
        (_limb((-0.19, 1.38), (-0.24 - step, 0.84), 0.13, 0.1), shade),
        (_limb((-0.09, 0.92), (-0.09 - step, 0.0), 0.21, 0.15), mix(trousers, (20, 18, 30), 0.3)),
        (_limb((0.09, 0.92), (0.09 + step, 0.0), 0.21, 0.15), trousers),
        (np.array([[-0.2, hem], [0.2, hem], [0.23, 1.4], [0.1, 1.5], [-0.1, 1.5], [-0.23, 1.4]]), top),
        (_limb((0.19, 1.38), (0.24 + step, 0.84), 0.13, 0.1), shade),
        (_CIRCLE * (0.1, 0.13) + (0, 1.61), skin),
        (_CIRCLE[:7] * (0.115, 0.14) + (0, 1.64), hair),
    ]
    scale = np.array([rng.choice((-1, 1)) * rng.uniform(0.95, 1.2), 1]) * height / 1.75
    canvas.draw([(_upright(outline * scale, x, z), colour, 0.0) for outline, colour in body], Label.PERSON)


def draw_tree(canvas: SceneCanvas, x: float, z: float, height: float) -> None:
    """A tree, or below 2.5 metres a bush: blobs in three tones, the light ones towards the sun."""
    rng, leaf = canvas.rng, vary(canvas.rng, _LEAVES)
    is_bush, wide = height < 2.5, rng.uniform(0.2, 0.3) * height
    middle = np.array([0, (0.45 if is_bush else 0.66) * height])
    size = np.array([1.6 * wide, 0.45 * height] if is_bush else [wide, 0.32 * height])
    trunk = np.array([[-0.04, 0], [0.04, 0], [0.03, 0.6], [-0.03, 0.6]]) * height
    parts: list[Part] = [(_upright(trunk, x, z), _BARK, 0.0)]
    for tone, lift in ((mix(leaf, (20, 36, 34), 0.38), 0.0), (leaf, 0.15), (mix(leaf, (244, 240, 150), 0.3), 0.35)):
        for angle in rng.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5:
            offset = (0.55 - 0.4 * lift) * np.array([np.cos(angle), np.sin(angle)])
            offset += (0.8 * lift * canvas.light.sun, lift)
            blob = _CIRCLE * rng.uniform(0.85, 1.15, (12, 1)) * (0.55 - 0.6 * lift) + offset
            parts.append((_upright(blob * size + middle, x, z), tone, 0.0))
    canvas.draw(parts, Label.VEGETATION)


def draw_lamp(canvas: SceneCanvas, x: float, z: float) -> None:
    """A street lamp that leans over the road: of no class, as unlabelled things are in real data."""
    arm = -1.3 * np.sign(x)
    pole = np.array([[-0.08, 0], [0.08, 0], [0.06, 5.3], [-0.06, 5.3]])
    lamp = np.array([[0, 5.1], [arm, 5.3], [arm, 5.5], [0, 5.3]])
    canvas.draw([(_upright(outline, x, z), _METAL, 0.0) for outline in (pole, lamp)], IGNORE)


def draw_house(canvas: SceneCanvas, side: int, front: float, near: float, far: float, storeys: int) -> None:
    """A house beside the road, `side` -1 or 1: the wall that faces the camera, its roof, the wall along the street."""
    rng, high, back = canvas.rng, 3.1 * storeys + 0.6, front + 9.0
    wall, roof = vary(rng, _WALLS), vary(rng, _ROOFS)
    end = np.array([[back, 0, near], [front, 0, near], [front, high, near], [back, high, near]]) * (side, 1, 1)
    along = np.array([[front, 0, near], [front, 0, far], [front, high, far], [front, high, near]]) * (side, 1, 1)
    ridge = ((front + back) / 2, high + 2.6)
    gable = np.array([[front, high, near], [back, high, near], [*ridge, near]]) * (side, 1, 1)
    slope = np.array([[front, high, near], [front, high, far], [*ridge, far], [*ridge, near]]) * (side, 1, 1)
    _draw_wall(canvas, end, wall, storeys, 0.0)
    if storeys < 4:
        canvas.fill([gable], wall, Label.BUILDING)
        canvas.fill([slope], roof, Label.BUILDING, -0.5 * side)
    _draw_wall(canvas, along, wall, storeys, -side)


def _draw_wall(canvas: SceneCanvas, wall: Points, colour: Colour, storeys: int, facing: float) -> None:
    canvas.fill([wall], colour, Label.BUILDING, facing)
    canvas.fill(inset(wall, [(0, 0, 1, 0.05)]), mix(colour, (70, 62, 60), 0.45), None, facing)
    if wall[:, 2].mean() > _WINDOW_REACH:
        return
    columns = max(round(float(np.abs(wall[1] - wall[0]).sum()) / 2.6), 1)
    left, low = np.meshgrid((np.arange(columns) + 0.26) / columns, (np.arange(storeys) + 0.32) / storeys)
    boxes = np.stack([left, low, left + 0.48 / columns, low + 0.46 / storeys], axis=-1).reshape(-1, 4)
    canvas.fill(
        inset(wall, boxes + np.array([-0.012, -0.012, 0.012, 0.012])), mix(colour, (255, 250, 240), 0.45), None, facing
    )
    canvas.fill(inset(wall, boxes), mix(_GLASS, canvas.light.zenith, 0.25), None, facing)


def inset(face: Points, boxes: ArrayLike) -> list[Points]:
    """Rectangles [4, 3] on a face [4, 3] (bottom left, bottom right, top right, top left).

    `boxes` [n, 4] are left, bottom, right, top as fractions of the face.
    """
    left, bottom, right, top = np.asarray(boxes, dtype=np.float64).T
    across = np.stack([left, right, right, left], axis=1)[..., None]
    upwards = np.stack([bottom, bottom, top, top], axis=1)[..., None]
    low = face[0] + across * (face[1] - face[0])
    high = face[3] + across * (face[2] - face[3])
    return list(low + upwards * (high - low))


def _corners(solid: Solid) -> Points:
    """The corners [8, 3] of a solid: rear left, rear right, front right, front left, at the bottom and at the top."""
    return np.array(
        [
            (across * half, y, z)
            for y, (rear, front, half) in ((solid.low, solid.base), (solid.high, solid.top))
            for across, z in ((-1, rear), (1, rear), (1, front), (-1, front))
        ]
    )


def _normal(polygon: Points) -> Points:
    """The direction [3] in which a face looks, whose corners go round it as in `_FACES`."""
    across = np.cross(polygon[-1] - polygon[0], polygon[1] - polygon[0])
    return np.asarray(across / np.linalg.norm(across))


def _upright(outline: Points, x: float, z: float) -> Points:
    """A flat figure [n, 2], in metres from its foot, as points [n, 3] in the world."""
    return np.column_stack([x + outline[:, 0], outline[:, 1], np.full(len(outline), z)])


def _limb(start: tuple[float, float], end: tuple[float, float], wide: float, narrow: float) -> Points:
    """A tapering bar [4, 2] between two points."""
    a, b = np.array(start), np.array(end)
    across = np.array([a[1] - b[1], b[0] - a[0]]) / np.hypot(*(b - a)) / 2
    return np.array([a - across * wide, a + across * wide, b + across * narrow, b - across * narrow])
