"""Procedural street scenes with exact labels, for the sample data and the demo.

Knows how a picture is put together: light and camera, sky, ground, houses, then everything that stands in the
street from far to near, and at last what a lens and a sensor do to it. Each of the other modules draws one
kind of thing.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.sample_data.buildings import House, draw_house, draw_skyline, plan_houses
from segwright.sample_data.canvas import Camera, Canvas, Label, Points
from segwright.sample_data.cast import Actor, plan_cast
from segwright.sample_data.furniture import draw_bonnet
from segwright.sample_data.light import draw_light
from segwright.sample_data.plants import draw_bush, draw_hedge, draw_hills, draw_tree
from segwright.sample_data.sky import draw_sky
from segwright.sample_data.stage import Stage
from segwright.sample_data.street import Side, Street, draw_ground, draw_markings, ribbon

__all__ = ["CLASS_NAMES", "draw_scene"]

CLASS_NAMES = tuple(label.name.lower().replace("_", " ") for label in Label)
"""Names of the classes, in the order of their indices."""

_TEXTURE = np.full(256, 0.03, np.float32)
_TEXTURE[: len(Label)] = (0.006, 0.04, 0.1, 0.05, 0.04, 0.02, 0.03)  # how rough the things of each class look


def draw_scene(rng: np.random.Generator, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One picture, uint8 [height, width, 3] RGB, and its classes, uint8 [height, width], 255 = ignore."""
    street = _draw_street(rng)
    stage = Stage(Canvas(width, height), _draw_camera(rng, width, height), draw_light(rng), rng)
    cast = plan_cast(stage, street)
    houses = _plan_houses(stage, street)
    draw_sky(stage)
    draw_hills(stage)
    draw_skyline(stage)
    draw_ground(stage, street)
    draw_markings(stage, street)
    _cast_shadows(stage, cast, houses)
    for house in sorted(houses, key=lambda house: -house.near):
        draw_house(stage, house)
    _draw_gardens(stage, street)
    for actor in sorted(cast, key=lambda actor: -actor.z):
        actor.draw()
    if rng.random() < 0.2:
        draw_bonnet(stage)
    return _expose(rng, stage.canvas), stage.canvas.labels


def _draw_street(rng: np.random.Generator) -> Street:
    """A street with houses on one side at least."""
    built: tuple[Side, ...] = ("terrace", "cottages")
    one, other = built[rng.integers(2)], (*built, *built, "park", "park", "park")[rng.integers(7)]
    return Street(
        half=rng.uniform(3.1, 4.6),
        pavement=rng.uniform(1.5, 2.8),
        sides=(one, other) if rng.random() < 0.5 else (other, one),
        crossing=rng.uniform(6.5, 11.0) if rng.random() < 0.4 else None,
    )


def _draw_camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    """A camera somewhere over the road, a little tilted, looking along it."""
    return Camera(
        width=width,
        height=height,
        focal=float(np.sqrt(width * height)) * rng.uniform(0.92, 1.15),
        horizon=height * rng.uniform(0.36, 0.5),
        centre=width * rng.uniform(0.38, 0.62),
        eye=rng.uniform(1.7, 3.0),
        offset=rng.uniform(-1.8, 1.8),
        roll=rng.normal(0, 0.015),
        bend=rng.uniform(-0.004, 0.004) if rng.random() < 0.6 else 0.0,
    )


def _plan_houses(stage: Stage, street: Street) -> list[House]:
    """Terraces at the pavement, cottages behind gardens."""
    houses: list[House] = []
    for side, kind in zip((-1, 1), street.sides, strict=True):
        if kind == "terrace":
            houses += plan_houses(stage.rng, side, street.edge + 0.4, tall=True)
        elif kind == "cottages":
            houses += plan_houses(stage.rng, side, street.edge + stage.rng.uniform(2.5, 4.5), tall=False)
    return houses


def _draw_gardens(stage: Stage, street: Street) -> None:
    """Bushes, trees and hedges between pavement and cottages, and in the park."""
    rng = stage.rng
    for side, kind in zip((-1, 1), street.sides, strict=True):
        if kind == "terrace":
            continue
        depth, trees = (15.0, 0.6) if kind == "park" else (2.5, 0.3)
        distances = 5 * 1.22 ** np.arange(14) * rng.uniform(0.9, 1.1, 14)
        for z in sorted(distances, reverse=True):
            x = side * (street.edge + rng.uniform(0.9, depth))
            if rng.random() < trees:
                draw_tree(stage, x, z, rng.uniform(3.5, 7.0))
            else:
                draw_bush(stage, x, z, rng.uniform(1.2, 2.2))
        if rng.random() < 0.4:
            start = rng.uniform(4, 9)
            draw_hedge(stage, side * (street.edge + 0.2), start, start + rng.uniform(8, 25))


def _cast_shadows(stage: Stage, cast: list[Actor], houses: list[House]) -> None:
    """Darken the ground under everything a little, and more on the side away from the sun."""
    light, project = stage.light, stage.camera.project
    softness = max(stage.camera.width / 160, 1.0)
    stage.canvas.darken([project(actor.shadow(0, 0)) for actor in cast], 0.3, softness)
    shadows: list[Points] = [project(actor.shadow(light.sun, light.length)) for actor in cast]
    for house in houses:
        if house.side * light.sun > 0:
            front = house.side * house.front
            shade = ribbon(front, front - light.sun * light.length * house.height, house.near, house.far)
            shadows.append(project(shade))
    stage.canvas.darken(shadows, light.shadow, softness)


def _expose(rng: np.random.Generator, canvas: Canvas) -> NDArray[np.uint8]:
    """What surfaces, lens and sensor add: texture, a darker rim, exposure, white balance and noise."""
    height, width = canvas.labels.shape
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    coarse = rng.standard_normal((height // 5 + 1, width // 5 + 1), dtype=np.float32)
    relief = 0.5 * noise[..., 1] + 0.8 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    down, across = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    rim = 1 - rng.uniform(0.02, 0.12) * (down**2 + across**2).astype(np.float32)
    brightness = (1 + _TEXTURE[canvas.labels] * relief) * rim
    gain = (rng.uniform(0.86, 1.1) * rng.uniform(0.97, 1.03, 3)).astype(np.float32)
    image = noise * np.float32(rng.uniform(1.0, 5.0)) + canvas.image * brightness[..., None] * gain
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.8))
    exposed: NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return exposed
