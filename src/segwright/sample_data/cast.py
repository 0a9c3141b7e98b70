"""Who and what stands in the street: where there is room, large enough to be seen, not behind each other.

Knows where vehicles drive, people walk and lamps stand, and how small a thing may be drawn. The sizes are in
pixels and do not shrink with the picture: what would be smaller is left out, so a small picture shows fewer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import cv2
import numpy as np

from segwright.sample_data.canvas import Camera, Points
from segwright.sample_data.furniture import draw_lamp, draw_sign
from segwright.sample_data.people import Person, draw_looks, draw_person
from segwright.sample_data.plants import draw_tree
from segwright.sample_data.stage import Stage
from segwright.sample_data.street import Street
from segwright.sample_data.vehicles import MODELS, Location, Model, draw_paint, draw_vehicle

_PERSON_PIXELS = 42.0  # least height
_VEHICLE_PIXELS = 28.0
_TALLEST = 0.56  # share of the height of the picture that anything may fill
_WIDEST = 0.55  # likewise of its width
_HIDDEN = 0.33  # share of anybody that somebody else may hide
_ROOM = 0.25  # metres to keep around oneself
_TRIES = 25
_CUBE = np.array([(a, y, b) for y in (0.0, 1.0) for a in (-1.0, 1.0) for b in (-1.0, 1.0)])


class Box(NamedTuple):
    """A rectangle: lowest and highest x and y, in pixels of the picture or metres of the ground."""

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def around(cls, points: Points) -> Self:
        """The smallest one around points [n, 2]."""
        return cls(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())

    @property
    def area(self) -> float:
        """Width times height, 0 for a box turned inside out."""
        return max(self.x1 - self.x0, 0.0) * max(self.y1 - self.y0, 0.0)

    def common(self, other: Self) -> Self:
        """What two boxes share; turned inside out where they share nothing."""
        low = max(self.x0, other.x0), max(self.y0, other.y0)
        return type(self)(*low, min(self.x1, other.x1), min(self.y1, other.y1))


@dataclass(frozen=True)
class Actor:
    """Something on the ground: a box [8, 3] in metres around it, ground corners first, and its brush.

    `frame` is what it covers in the picture, `ground` what it covers of the street and a little more.
    """

    corners: Points
    frame: Box
    ground: Box
    draw: Callable[[], None]

    @property
    def z(self) -> float:
        """Distance in metres of its middle."""
        return float(self.corners[:, 2].mean())

    def shadow(self, sun: float, length: float) -> Points:
        """Outline [n, 3] of its shadow on the ground, which falls away from the sun."""
        tips = self.corners[4:] * (1, 0, 1) - (sun * length * self.corners[4, 1], 0, 0)
        points = np.concatenate([self.corners[:4], tips])
        hull = cv2.convexHull(points[:, [0, 2]].astype(np.float32), returnPoints=False)
        return np.asarray(points[hull[:, 0]])


def plan_cast(stage: Stage, street: Street) -> list[Actor]:
    """Somebody on foot first, so that hardly a picture is without, then vehicles, which need most room, then
    others on foot. Lamps, signs and trees stand where they stand.
    """
    cast: list[Actor] = []
    _find_place(stage, cast, partial(_person, stage, street, draw_looks(stage.rng)))
    keep = int(stage.rng.choice((-1, 1)))  # the side of the road that traffic keeps to
    for _ in range(2 + stage.rng.poisson(1.6)):
        _find_place(stage, cast, partial(_vehicle, stage, street, _draw_model(stage.rng), keep))
    for _ in range(1 + stage.rng.poisson(2.5)):
        _find_place(stage, cast, partial(_person, stage, street, draw_looks(stage.rng)))
    return cast + _furniture(stage, street)


def _find_place(stage: Stage, cast: list[Actor], propose: Callable[[], Actor | None]) -> None:
    """Add the first proposal that fits to the cast; after some that do not, nobody."""
    for _ in range(_TRIES):
        actor = propose()
        if actor and _fits(stage.camera, actor, cast):
            cast.append(actor)
            return


def _distance(stage: Stage, metres: float, pixels: float, nearest: float = 0.0) -> float | None:
    """A distance at which something so many metres high is at least `pixels` high and not too large."""
    height = stage.camera.height
    far = stage.camera.distance_of(metres, min(max(pixels, 0.09 * height), 0.4 * height))
    near = max(stage.camera.distance_of(metres, _TALLEST * height), nearest)
    return float(np.exp(stage.rng.uniform(np.log(near), np.log(far)))) if near < far else None


def _draw_model(rng: np.random.Generator) -> Model:
    return MODELS[rng.choice(len(MODELS), p=(0.2, 0.2, 0.16, 0.14, 0.12, 0.09, 0.09))]


def _vehicle(stage: Stage, street: Street, model: Model, keep: int) -> Actor | None:
    """A vehicle in its lane, at the kerb, or crossing the road; `keep` is the side that traffic keeps to."""
    rng = stage.rng
    z = _distance(stage, model.height, _VEHICLE_PIXELS, model.length / 2 + 2.2)
    if z is None:
        return None
    lane, kerb, side = 0.5 * street.half, street.half - 0.2, int(rng.choice((-1, 1)))
    match rng.choice(4, p=(0.33, 0.33, 0.2, 0.14)):
        case 0:
            x, heading = keep * lane, 0.0
        case 1:
            x, heading = -keep * lane, np.pi
        case 2:
            x, heading = side * kerb, float(rng.choice((0.0, np.pi)))
        case _:
            x, heading = rng.uniform(-street.edge, street.edge), side * np.pi / 2
    place = Location(x, z, heading + rng.normal(0, 0.05))
    size = np.array([model.width / 2, model.height, model.length / 2])
    return _actor(stage, place.turn(_CUBE * size), partial(draw_vehicle, stage, model, place, draw_paint(rng)))


def _person(stage: Stage, street: Street, person: Person) -> Actor | None:
    """Somebody on a pavement, on the zebra crossing, or crossing the road without one."""
    rng = stage.rng
    z = _distance(stage, person.height, _PERSON_PIXELS)
    if z is None:
        return None
    if street.crossing and z > street.crossing and rng.random() < 0.5:
        x, z = rng.uniform(-street.half, street.half), street.crossing + rng.uniform(0.0, 0.5)
    else:
        view = stage.camera.view(z)
        x = rng.uniform(max(view[0], -street.edge - 0.6), min(view[1], street.edge + 0.6))
        if abs(x) < street.half + 0.3 and rng.random() < 0.8:
            return None
    return _upright(stage, x, z, person.height, person.width, partial(draw_person, stage, person, x, z))


def _upright(stage: Stage, x: float, z: float, height: float, width: float, draw: Callable[[], None]) -> Actor:
    """Something that stands on its foot at x and z."""
    return _actor(stage, _CUBE * (width / 2, height, 0.25) + (x, 0, z), draw)


def _actor(stage: Stage, corners: Points, draw: Callable[[], None]) -> Actor:
    ground = Box.around(corners[:, [0, 2]])
    roomy = Box(ground.x0 - _ROOM, ground.y0 - _ROOM, ground.x1 + _ROOM, ground.y1 + _ROOM)
    return Actor(corners, Box.around(stage.camera.project(corners)), roomy, draw)


def _fits(camera: Camera, actor: Actor, cast: list[Actor]) -> bool:
    """Whether most of it is in the picture, and it is in nobody's way, nor they in its."""
    inside = actor.frame.common(Box(0, 0, camera.width, camera.height))
    if inside.area < 0.65 * actor.frame.area or inside.x1 - inside.x0 > _WIDEST * camera.width:
        return False
    return not any(
        actor.ground.common(other.ground).area > 0
        or actor.frame.common(other.frame).area > _HIDDEN * min(actor.frame.area, other.frame.area)
        for other in cast
    )


def _furniture(stage: Stage, street: Street) -> list[Actor]:
    """Lamps and trees along the kerbs, and a road sign now and then."""
    rng = stage.rng
    actors = []
    for side in (-1, 1):
        lamps, trees = rng.random() < 0.4, rng.random() < 0.5
        x = side * (street.half + 0.45)
        for z in np.arange(rng.uniform(7, 16), 45, rng.uniform(10, 16)):
            if lamps:
                actors.append(_upright(stage, x, z, 5.4, 0.3, partial(draw_lamp, stage, x, z)))
            if trees:
                height = rng.uniform(4.0, 6.5)
                x_tree, z_tree = x + side * rng.uniform(0.2, 0.8), z + rng.uniform(3, 5)
                draw = partial(draw_tree, stage, x_tree, z_tree, height)
                actors.append(_upright(stage, x_tree, z_tree, height, 0.36 * height, draw))
        if rng.random() < 0.3:
            z = rng.uniform(5, 12)
            actors.append(_upright(stage, x, z, 2.6, 0.2, partial(draw_sign, stage, x, z)))
    return actors
