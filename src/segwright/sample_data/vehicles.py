"""Cars, vans, lorries and buses: boxes with sloping sides, seen from any direction.

Knows their shapes and colours; refuses to know where on the road they belong.

A vehicle's own axes: x to its right, y up, z towards its front, in metres, from the ground under its middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segwright.sample_data.canvas import Colour, Label, Points, Shape, inset, split
from segwright.sample_data.light import mix, vary
from segwright.sample_data.stage import Stage

_PAINTS: tuple[Colour, ...] = (
    (196, 52, 48), (46, 92, 168), (236, 236, 232), (58, 62, 70), (238, 186, 52), (60, 140, 120),
    (168, 176, 184), (228, 118, 48), (120, 168, 214), (128, 36, 56), (30, 60, 92), (214, 206, 180),
)  # fmt: skip
_GLASS: Colour = (52, 68, 86)
_DARK: Colour = (34, 35, 40)
_CHROME: Colour = (190, 194, 200)
_HEADLIGHT: Colour = (255, 248, 220)
_TAILLIGHT: Colour = (220, 40, 40)
_CARGO: Colour = (226, 224, 216)
_FACES = ("front", "rear", "left", "right", "top")


class Location(NamedTuple):
    """Where a vehicle is on the ground, in metres, and its heading in radians: 0 away from the camera."""

    x: float
    z: float
    heading: float

    def turn(self, points: Points) -> Points:
        """Points [..., 3] on the vehicle's own axes as points in the world."""
        cosine, sine = np.cos(self.heading), np.sin(self.heading)
        across, up, along = points[..., 0], points[..., 1], points[..., 2]
        turned = (self.x + cosine * across + sine * along, up, self.z - sine * across + cosine * along)
        return np.stack(turned, axis=-1)


class Surface(NamedTuple):
    """A polygon [n, 3] in the world; `facing` as in `Light.on`, `solid` as in `Shape`."""

    outline: Points
    colour: Colour
    facing: float = 0.0
    solid: bool = True


class Detail(NamedTuple):
    """Paint on a face of a part: a box of left, bottom, right, top as fractions of the face."""

    face: str
    box: tuple[float, float, float, float]
    colour: Colour


class Part(NamedTuple):
    """A box with sloping sides: heights and outlines of bottom and top; the vehicle's colour if no other."""

    y: tuple[float, float]
    bottom: tuple[float, float, float]  # rear z, front z, half width
    top: tuple[float, float, float]
    details: tuple[Detail, ...] = ()
    colour: Colour | None = None


@dataclass(frozen=True)
class Model:
    """A kind of vehicle: its parts from the ground up, and the z of its axles."""

    length: float
    width: float
    height: float
    parts: tuple[Part, ...]
    axles: tuple[float, float]
    wheel: float = 0.36


_LIGHTS = (
    Detail("front", (0.04, 0.5, 0.24, 0.8), _HEADLIGHT),
    Detail("front", (0.76, 0.5, 0.96, 0.8), _HEADLIGHT),
    Detail("front", (0.3, 0.3, 0.7, 0.66), _DARK),
    Detail("front", (0.0, 0.0, 1.0, 0.18), (88, 90, 96)),
    Detail("rear", (0.03, 0.45, 0.2, 0.82), _TAILLIGHT),
    Detail("rear", (0.8, 0.45, 0.97, 0.82), _TAILLIGHT),
    Detail("rear", (0.36, 0.34, 0.64, 0.6), (238, 236, 220)),
    Detail("rear", (0.0, 0.0, 1.0, 0.18), (74, 76, 82)),
)
_DOORS = tuple(
    detail
    for face in ("left", "right")
    for detail in (
        Detail(face, (0.0, 0.0, 1.0, 0.14), (70, 72, 78)),
        Detail(face, (0.5, 0.14, 0.508, 0.95), (60, 62, 68)),
        Detail(face, (0.53, 0.72, 0.58, 0.78), _CHROME),
    )
)
_CABIN = (
    Detail("front", (0.05, 0.08, 0.95, 0.9), _GLASS),
    Detail("rear", (0.07, 0.14, 0.93, 0.88), _GLASS),
    *(
        Detail(face, box, _GLASS)
        for face in ("left", "right")
        for box in ((0.05, 0.1, 0.47, 0.88), (0.53, 0.1, 0.95, 0.88))
    ),
)


def _car(length: float, width: float, waist: float, roof: float, cabin: tuple[float, ...]) -> Model:
    """A body up to the waist and a cabin on it; `cabin`: rear and front z at its bottom and at its top."""
    half, end = width / 2, length / 2
    body = Part((0.28, waist), (-end, end, half), (-end + 0.06, end - 0.1, half - 0.03), _LIGHTS + _DOORS)
    top = Part((waist, roof), (cabin[0], cabin[1], half - 0.05), (cabin[2], cabin[3], half - 0.24), _CABIN)
    return Model(length, width, roof, (_under(length, width), body, top), (-0.31 * length, 0.31 * length))


def _under(length: float, width: float) -> Part:
    """The dark below a body, with the tyres that one sees from the front."""
    box = (-0.42 * length, 0.42 * length, 0.46 * width)
    return Part((0.04, 0.34), box, box, (), _DARK)


def _bus() -> Model:
    panes = tuple(
        Detail(face, (0.03 + i * 0.16, 0.46, 0.17 + i * 0.16, 0.82), _GLASS)
        for face in ("left", "right")
        for i in range(6)
    )
    stripes = tuple(Detail(face, (0, 0.3, 1, 0.38), _CARGO) for face in ("left", "right", "rear"))
    ends = (
        Detail("front", (0.06, 0.36, 0.94, 0.82), _GLASS),
        Detail("front", (0.25, 0.86, 0.75, 0.95), (250, 196, 84)),
        Detail("rear", (0.14, 0.58, 0.86, 0.84), _GLASS),
        *(Detail("front", (x, 0.1, x + 0.18, 0.2), _HEADLIGHT) for x in (0.06, 0.76)),
        *(Detail("rear", (x, 0.1, x + 0.14, 0.26), _TAILLIGHT) for x in (0.05, 0.81)),
    )
    body = Part((0.32, 3.0), (-4.5, 4.5, 1.25), (-4.5, 4.4, 1.2), panes + stripes + ends)
    return Model(9.0, 2.5, 3.0, (_under(9.0, 2.5), body), (-2.7, 2.9), 0.48)


def _lorry() -> Model:
    cargo = Part(
        (0.75, 3.1),
        (-3.2, 1.0, 1.2),
        (-3.2, 1.0, 1.2),
        (
            Detail("rear", (0.49, 0.04, 0.51, 0.96), (150, 148, 142)),
            Detail("rear", (0.02, 0.02, 0.14, 0.1), _TAILLIGHT),
            Detail("rear", (0.86, 0.02, 0.98, 0.1), _TAILLIGHT),
        ),
        _CARGO,
    )
    windows = tuple(Detail(face, (0.3, 0.52, 0.9, 0.88), _GLASS) for face in ("left", "right"))
    cab = Part(
        (0.4, 2.4),
        (1.1, 3.2, 1.15),
        (1.1, 2.9, 1.08),
        (
            Detail("front", (0.06, 0.48, 0.94, 0.88), _GLASS),
            Detail("front", (0.3, 0.14, 0.7, 0.36), _DARK),
            Detail("front", (0.04, 0.14, 0.22, 0.28), _HEADLIGHT),
            Detail("front", (0.78, 0.14, 0.96, 0.28), _HEADLIGHT),
            *windows,
        ),
    )
    return Model(6.4, 2.4, 3.1, (_under(6.4, 2.3), cargo, cab), (-2.0, 2.1), 0.46)


def _van() -> Model:
    half = 1.0
    sides = tuple(Detail(face, (0.62, 0.1, 0.94, 0.85), _GLASS) for face in ("left", "right"))
    doors = (Detail("rear", (0.1, 0.2, 0.47, 0.85), _GLASS), Detail("rear", (0.53, 0.2, 0.9, 0.85), _GLASS))
    body = Part((0.3, 1.15), (-2.5, 2.5, half), (-2.5, 2.3, half), _LIGHTS + _DOORS)
    top = Part((1.15, 2.2), (-2.5, 1.7, half), (-2.4, 0.9, half - 0.14), (_CABIN[0], *sides, *doors))
    return Model(5.0, 2.0, 2.2, (_under(5.0, 2.0), body, top), (-1.6, 1.6), 0.38)


MODELS: tuple[Model, ...] = (
    _car(4.5, 1.8, 0.92, 1.46, (-1.75, 1.0, -1.15, 0.3)),  # saloon
    _car(3.9, 1.76, 0.95, 1.55, (-1.9, 0.95, -1.6, 0.3)),  # hatchback
    _car(4.6, 1.9, 1.05, 1.72, (-2.2, 1.1, -1.95, 0.45)),  # estate
    _car(3.5, 1.66, 0.9, 1.5, (-1.35, 0.85, -0.75, 0.35)),  # small one
    _van(),
    _lorry(),
    _bus(),
)


def draw_vehicle(stage: Stage, model: Model, place: Location, paint: Colour) -> None:
    """Draw a model painted in a colour."""
    surfaces: list[Surface] = []
    for part in sorted(model.parts, key=lambda part: _order(part, place.heading)):
        surfaces += _part(stage, part, place, part.colour or paint)
    surfaces += _wheels(stage, model, place)
    outlines = [surface.outline for surface in surfaces]
    pixels = split(stage.camera.project(np.concatenate(outlines)), outlines)
    lit = [stage.light.on(surface.colour, place.z, surface.facing) for surface in surfaces]
    stage.canvas.figure(map(Shape, pixels, lit, [surface.solid for surface in surfaces]), Label.VEHICLE)


def _part(stage: Stage, part: Part, place: Location, colour: Colour) -> Iterator[Surface]:
    """The faces of a part that the camera sees, each with the details on it."""
    faces = place.turn(_corners(part))
    normals = np.cross(faces[:, 3] - faces[:, 0], faces[:, 1] - faces[:, 0])
    towards = np.einsum("ij,ij->i", normals, _eye(stage) - faces[:, 0])
    facing = normals[:, 0] / np.linalg.norm(normals, axis=1)
    for index in np.flatnonzero(towards > 0):
        name = _FACES[index]
        tone = mix(colour, (255, 255, 255), 0.18) if name == "top" else colour
        yield Surface(faces[index], tone, facing[index])
        details = [detail for detail in part.details if detail.face == name]
        boxes = [_mirrored(detail.box) if name == "left" else detail.box for detail in details]
        for detail, outline in zip(details, inset(faces[index], boxes), strict=True):
            yield Surface(outline, detail.colour, facing[index], solid=False)


def _mirrored(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box on the left side for one that is given for the right side."""
    left, bottom, right, top = box
    return (1 - right, bottom, 1 - left, top)


def draw_paint(rng: np.random.Generator) -> Colour:
    """The colour of a vehicle."""
    return vary(rng, _PAINTS[rng.integers(len(_PAINTS))], 0.12)


def _order(part: Part, heading: float) -> tuple[bool, bool, float]:
    """What is drawn first: what is below, then bodies, then cabins; on a level what is farther away."""
    low, middle = part.y[0], (part.bottom[0] + part.bottom[1]) / 2
    return (low > 0.1, low > 0.8, -middle * np.cos(heading))


def _corners(part: Part) -> Points:
    """The five faces [5, 4, 3] of a part, each from its bottom left corner round, seen from outside."""
    (low, high), (b0, b1, bw), (t0, t1, tw) = part.y, part.bottom, part.top
    base = {(s, e): (s * bw, low, b1 if e > 0 else b0) for s in (-1, 1) for e in (-1, 1)}
    roof = {(s, e): (s * tw, high, t1 if e > 0 else t0) for s in (-1, 1) for e in (-1, 1)}
    walls = (((1, 1), (-1, 1)), ((-1, -1), (1, -1)), ((-1, 1), (-1, -1)), ((1, -1), (1, 1)))
    faces = [(base[left], base[right], roof[right], roof[left]) for left, right in walls]
    faces.append((roof[-1, -1], roof[1, -1], roof[1, 1], roof[-1, 1]))
    return np.array(faces)


def _wheels(stage: Stage, model: Model, place: Location) -> Iterator[Surface]:
    """Tyres and rims on the side that the camera sees."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.column_stack([np.zeros(12), np.sin(angles), np.cos(angles)]) * model.wheel
    towards = place.turn(np.eye(3)[0]) - place.turn(np.zeros(3))
    for side in (-1, 1):
        for axle in model.axles:
            hub = np.array([side * (model.width / 2 + 0.01), model.wheel, axle])
            if side * towards @ (_eye(stage) - place.turn(hub)) > 0.2:
                for size, colour in ((1.0, _DARK), (0.55, (168, 170, 176))):
                    yield Surface(place.turn(hub + size * ring), colour)


def _eye(stage: Stage) -> Points:
    return np.array([stage.camera.offset, stage.camera.eye, 0.0])
