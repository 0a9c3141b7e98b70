"""Draws one street scene: sky, ground, markings and houses, then what stands in the street, from far to near."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.labels import IGNORE
from segwright.sample_data.canvas import NEAREST, Camera, Colour, Label, Light, Points, SceneCanvas, mix, vary
from segwright.sample_data.objects import VEHICLES, draw_house, draw_lamp, draw_person, draw_tree, draw_vehicle

CLASS_NAMES: Final = tuple(label.name.lower().replace("_", " ") for label in Label)
"""Names of the classes, in the order of their indices."""

_LIGHTS: Final = (
    Light((86, 148, 218), (196, 222, 240), (1.04, 1.0, 0.95), shadow=0.42, haze=0.006),
    Light((132, 172, 212), (252, 226, 196), (1.07, 0.99, 0.88), shadow=0.4, haze=0.013),
    Light((112, 140, 190), (255, 206, 146), (1.08, 0.95, 0.78), shadow=0.45, haze=0.01),
    Light((72, 74, 128), (240, 158, 130), (0.8, 0.71, 0.77), shadow=0.25, haze=0.009),
    Light((158, 168, 178), (208, 212, 214), (0.9, 0.92, 0.94), shadow=0.1, haze=0.02),
)
"""Noon, morning, golden hour, dusk and overcast."""

_ASPHALT: Final[tuple[Colour, ...]] = ((92, 94, 100), (112, 110, 110), (78, 80, 88), (124, 118, 112))
_PAVING: Final[tuple[Colour, ...]] = ((172, 164, 154), (152, 152, 156), (186, 168, 150))
_GRASS: Final[tuple[Colour, ...]] = ((112, 152, 70), (132, 158, 84), (96, 136, 66))
_MARKINGS: Final[tuple[Colour, ...]] = ((236, 234, 226), (236, 234, 226), (240, 196, 74))
_CUTS: Final = (NEAREST, 3.0, 6.0, 10.0, 16.0, 26.0, 44.0, 80.0, 160.0)
"""Metres at which the haze on the ground changes."""

_MARKING_WIDTH: Final = 0.42  # metres: two or three times that of real ones, for the eye and for small networks
_NARROWEST_MARKING: Final = 5.0  # pixels; farther away, markings are not drawn
_PERSON_PIXELS: Final = 42.0  # least height, whatever the size of the image
_VEHICLE_PIXELS: Final = 28.0
_TALLEST: Final = 0.56  # share of the image's height that an object may fill
_HIDDEN: Final = 0.33  # share of an object that another may hide
_TEXTURE: Final = np.array([0.006, 0.04, 0.1, 0.05, 0.04, 0.02, 0.03] + [0.03] * 249, np.float32)  # roughness by class


@dataclass(frozen=True)
class _Object:
    """An object on the ground: distance, bounding boxes (x0, y0, x1, y1) in the image and, roomy, on the ground."""

    z: float
    frame: NDArray[np.float64]
    ground: NDArray[np.float64]
    draw: Callable[[], None]

    @property
    def shadow(self) -> Points:
        """The ground [4, 3] that it covers."""
        x0, z0, x1, z1 = self.ground
        return np.array([[x0, 0, z0], [x1, 0, z0], [x1, 0, z1], [x0, 0, z1]])


def draw_scene(rng: np.random.Generator, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One image, uint8 [height, width, 3] RGB, and its classes, uint8 [height, width], 255 = ignore."""
    road, pavement = rng.uniform(3.1, 4.6), rng.uniform(1.5, 2.8)
    canvas = SceneCanvas(_draw_camera(rng, width, height), _draw_light(rng), rng)
    # Terraces at the pavement, houses behind gardens, or a park; on one side at least there are houses.
    sides = rng.permutation([rng.choice(["terrace", "garden"]), rng.choice(["terrace", "garden", "park"])])
    objects = _place_objects(canvas, road, pavement)
    _draw_sky(canvas)
    _draw_ground(canvas, road, road + pavement, sides.tolist())
    _draw_markings(canvas, road)
    canvas.darken([placed.shadow for placed in objects], canvas.light.shadow)
    for side, kind in zip((-1, 1), sides, strict=True):
        _draw_roadside(canvas, side, kind, road + pavement)
    for placed in sorted(objects, key=lambda placed: -placed.z):
        placed.draw()
    return _expose(canvas), canvas.mask


def _draw_camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    return Camera(
        width=width,
        height=height,
        focal=float(np.sqrt(width * height)) * rng.uniform(0.92, 1.15),
        horizon=height * rng.uniform(0.36, 0.5),
        centre=width * rng.uniform(0.38, 0.62),
        eye=rng.uniform(1.7, 3.0),
        offset=rng.uniform(-1.8, 1.8),
        bend=rng.uniform(-0.004, 0.004) if rng.random() < 0.6 else 0.0,
    )


def _draw_light(rng: np.random.Generator) -> Light:
    light = _LIGHTS[rng.integers(len(_LIGHTS))]
    haze, sun = light.haze * rng.uniform(0.6, 1.4), rng.uniform(-1, 1)
    return replace(light, zenith=vary(rng, [light.zenith], 0.06), haze=haze, sun=sun)


def _draw_sky(canvas: SceneCanvas) -> None:
    """A gradient with clouds."""
    light, camera = canvas.light, canvas.camera
    up = np.clip(1 - np.arange(camera.height) / max(camera.horizon, 1), 0, 1)[:, None, None]
    sky = np.asarray(light.horizon) + up * np.subtract(light.zenith, light.horizon)
    noise = canvas.rng.standard_normal((7, 9)).astype(np.float32)
    clouds = np.clip(cv2.resize(noise, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC), 0, 1)[..., None]
    canvas.image[:] = (sky + 0.5 * clouds * up * (245 - sky)).astype(np.uint8)


def _draw_ground(canvas: SceneCanvas, road: float, edge: float, sides: list[str]) -> None:
    """Hills, lawns or paving, pavements, kerbs (to be ignored) and the road, in slices from far to near."""
    rng = canvas.rng
    x = np.linspace(-160, 160, 24)
    hills = np.column_stack([x, rng.uniform(3, 14) * (1 + 0.3 * np.sin(x / rng.uniform(8, 40))), np.full(24, 110.0)])
    hedge = vary(rng, _GRASS)
    canvas.fill([np.concatenate([hills, hills[[-1, 0]] * (1, 0, 1)])], hedge, Label.VEGETATION)
    asphalt, paving, grass = (vary(rng, colours) for colours in (_ASPHALT, _PAVING, _GRASS))
    kerb = mix(paving, (255, 255, 255), 0.35)
    for side, kind in zip((-1, 1), sides, strict=True):
        beyond = (paving, Label.ROAD) if kind == "terrace" else (grass, Label.VEGETATION)
        for reach, colour, label in ((640.0, *beyond), (edge, paving, Label.ROAD), (road + 0.16, kerb, IGNORE)):
            for near, far in reversed(list(pairwise(_CUTS))):
                canvas.fill([_strip(0.0, side * reach, near, far)], colour, label)
    for near, far in reversed(list(pairwise(_CUTS))):
        canvas.fill([_strip(-road, road, near, far)], asphalt, Label.ROAD)


def _draw_markings(canvas: SceneCanvas, road: float) -> None:
    """Lines along the road, interrupted where there is a zebra crossing."""
    rng, camera = canvas.rng, canvas.camera
    paint = vary(rng, _MARKINGS, 0.06)
    far = camera.distance_of(_MARKING_WIDTH, _NARROWEST_MARKING)
    crossing = rng.uniform(6.5, 11.0) if rng.random() < 0.4 else far
    if crossing < far:
        width = max(0.55, 1.4 * camera.distance_of(_NARROWEST_MARKING, camera.focal**2 / crossing))
        centres = np.arange(-road + width, road - width, 2 * width)
        stripes = [_strip(x - width / 2, x + width / 2, crossing, crossing + 3.2) for x in centres]
        canvas.fill(stripes, paint, Label.LANE_MARKING)
    dash, gap = (3.0, rng.uniform(2.0, 3.5)) if rng.random() < 0.75 else (500.0, 1.0)
    starts = np.arange(rng.uniform(-3, 1), far, dash + gap)
    lines = [(0.0, start, start + dash) for start in starts]
    if rng.random() < 0.8:
        lines += [(side * (road - 0.5), 1.0, far) for side in (-1, 1)]
    for x, start, end in lines:
        for first, last in ((1.0, crossing - 0.6), (crossing + 4.0, far)):
            near, reach = max(start, first), min(end, last)
            if reach > 1.12 * near:
                line = _strip(x - _MARKING_WIDTH / 2, x + _MARKING_WIDTH / 2, near, reach)
                canvas.fill([line], paint, Label.LANE_MARKING)


def _draw_roadside(canvas: SceneCanvas, side: int, kind: str, edge: float) -> None:
    """Houses, trees, bushes and lamps on one side of the street, from far to near."""
    rng = canvas.rng
    if kind != "park":
        tall, setback = kind == "terrace", 0.4 if kind == "terrace" else rng.uniform(2.5, 4.5)
        starts = np.cumsum([rng.uniform(1, 6), *(rng.uniform(8, 14) for _ in range(6))])
        for near in starts[::-1]:
            length = rng.uniform(7.0, 8.0) if not tall else rng.uniform(7.5, 14.0)
            storeys = int(rng.integers(2, 6)) if tall else int(rng.integers(1, 3))
            draw_house(canvas, side, edge + setback, near, near + length, storeys)
    plants = (5 * 1.25 ** np.arange(12) * rng.uniform(0.9, 1.1, 12))[::-1]
    for z in plants:
        if kind != "terrace":
            height = rng.uniform(3.5, 7.0) if rng.random() < 0.5 else rng.uniform(1.2, 2.2)
            draw_tree(canvas, side * (edge + rng.uniform(0.9, 12.0 if kind == "park" else 2.5)), z, height)
    if rng.random() < 0.5:
        for z in np.arange(rng.uniform(7, 16), 45, 13)[::-1]:
            draw_lamp(canvas, side * (edge - 0.4), z)


def _place_objects(canvas: SceneCanvas, road: float, pavement: float) -> list[_Object]:
    """A person first, so that few images are without one, then vehicles, which need most room, then more people."""
    rng, placed = canvas.rng, list[_Object]()
    keep = int(rng.choice((-1, 1)))  # the side of the road that traffic keeps to
    propose_person = partial(_propose_person, canvas, road, road + pavement)
    propose_vehicle = partial(_propose_vehicle, canvas, road, keep)
    people, vehicles = 1 + rng.poisson(2.5), 2 + rng.poisson(1.6)
    for propose in (propose_person, *[propose_vehicle] * vehicles, *[propose_person] * people):
        proposals = (propose() for _ in range(25))
        fitting = (one for one in proposals if one is not None and _fits(canvas.camera, one, placed))
        placed += [one for one in [next(fitting, None)] if one is not None]
    return placed


def _propose_person(canvas: SceneCanvas, road: float, edge: float) -> _Object | None:
    """A person, mostly on a pavement."""
    rng = canvas.rng
    height = rng.uniform(1.15, 1.45) if rng.random() < 0.15 else rng.uniform(1.6, 1.92)
    z = _draw_distance(canvas, height, _PERSON_PIXELS)
    x = rng.uniform(-edge - 0.6, edge + 0.6)
    if z is None or (abs(x) < road + 0.3 and rng.random() < 0.8):
        return None
    return _object(canvas.camera, x, z, (0.5, height, 0.5), partial(draw_person, canvas, x, z, height))


def _propose_vehicle(canvas: SceneCanvas, road: float, keep: int) -> _Object | None:
    """A vehicle in its lane, at the kerb, or crossing the road."""
    rng = canvas.rng
    vehicle = VEHICLES[rng.choice(len(VEHICLES), p=(0.35, 0.25, 0.22, 0.18))]
    z = _draw_distance(canvas, vehicle.height, _VEHICLE_PIXELS, vehicle.length / 2 + 2.2)
    if z is None:
        return None
    side = int(rng.choice((-1, 1)))
    positions = (
        (keep * road / 2, 0.0),
        (-keep * road / 2, np.pi),
        (side * (road - 0.2), float(rng.choice((0, np.pi)))),
        (rng.uniform(-road, road), side * np.pi / 2),
    )
    x, heading = positions[rng.choice(4, p=(0.33, 0.33, 0.2, 0.14))]
    heading += rng.normal(0, 0.05)
    across, along = (vehicle.width, vehicle.length) if abs(np.cos(heading)) > 0.5 else (vehicle.length, vehicle.width)
    draw = partial(draw_vehicle, canvas, vehicle, x, z, heading)
    return _object(canvas.camera, x, z, (across, vehicle.height, along), draw)


def _draw_distance(canvas: SceneCanvas, metres: float, pixels: float, nearest: float = 0.0) -> float | None:
    """A distance at which an object so many metres high is at least `pixels` high and not too large."""
    camera = canvas.camera
    far = camera.distance_of(metres, min(max(pixels, 0.09 * camera.height), 0.4 * camera.height))
    near = max(camera.distance_of(metres, _TALLEST * camera.height), nearest)
    return float(np.exp(canvas.rng.uniform(np.log(near), np.log(far)))) if near < far else None


def _object(camera: Camera, x: float, z: float, size: tuple[float, float, float], draw: Callable[[], None]) -> _Object:
    """An object with its bounding boxes; `size` is width, height and length in metres."""
    width, height, length = size
    box = np.array([(x + a * width / 2, y, z + b * length / 2) for a in (-1, 1) for b in (-1, 1) for y in (0, height)])
    pixels = camera.project(box)
    ground = np.array([box[0, 0], box[0, 2], box[-1, 0], box[-1, 2]]) + np.array([-0.25, -0.25, 0.25, 0.25])
    return _Object(z, np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]), ground, draw)


def _fits(camera: Camera, new: _Object, placed: list[_Object]) -> bool:
    """Whether most of an object is in the image, and it stands in no other's way."""
    inside = _overlap(new.frame, np.array([0, 0, camera.width, camera.height]))
    if inside < 0.65 * _overlap(new.frame, new.frame) or new.frame[2] - new.frame[0] > 0.75 * camera.width:
        return False
    return not any(
        _overlap(new.ground, other.ground) > 0
        or _overlap(new.frame, other.frame)
        > _HIDDEN * min(_overlap(new.frame, new.frame), _overlap(other.frame, other.frame))
        for other in placed
    )


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The area that two boxes share."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _strip(left: float, right: float, near: float, far: float) -> Points:
    """Outline [n, 3] of a strip of ground, with corners enough to follow the bend of the road."""
    z = near * (far / near) ** np.linspace(0, 1, 6)
    there, back = (np.column_stack([np.full(6, x), np.zeros(6), z]) for x in (left, right))
    return np.concatenate([there, back[::-1]])


def _expose(canvas: SceneCanvas) -> NDArray[np.uint8]:
    """The image with texture of its surfaces, a darker rim, exposure and noise, uint8 [H, W, 3]."""
    rng, (height, width) = canvas.rng, canvas.mask.shape
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    coarse = rng.standard_normal((height // 5 + 1, width // 5 + 1), dtype=np.float32)
    relief = 0.5 * noise[..., 1] + 0.8 * cv2.resize(coarse, (width, height))
    down, across = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    rim = 1 - rng.uniform(0.02, 0.12) * (down**2 + across**2).astype(np.float32)
    gain = (rng.uniform(0.86, 1.1) * rng.uniform(0.97, 1.03, 3)).astype(np.float32)
    image = canvas.image * ((1 + _TEXTURE[canvas.mask] * relief) * rim)[..., None] * gain
    image += noise * np.float32(rng.uniform(1.0, 5.0))
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.8))
    return np.asarray(np.clip(image, 0, 255), np.uint8)
