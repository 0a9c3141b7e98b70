"""An image and its mask, the camera that projects metres to pixels, and the light.

World axes: x to the right of the middle of the road, y up from the ground, z away from the camera, in metres. Objects
are drawn from far to near, so that nearer ones cover farther ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from segwright.labels import IGNORE

Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 255."""

Points = NDArray[np.float64]
"""[..., 3] metres in the world or [..., 2] pixels (column, row)."""

Part = tuple[Points, Colour, float]
"""A polygon [n, 3] in metres, its colour, and where it faces: -1 left, 0 the camera, 1 right."""

NEAREST: Final = 0.6
"""Distance in metres at which everything is cut off in front of the camera."""

_FRACTION_BITS: Final = 4
_LARGEST_COORDINATE: Final = 200_000  # of fixed-point pixels: OpenCV's 32-bit range with room to spare


class Label(IntEnum):
    """The classes, in the order of their indices."""

    SKY = 0
    BUILDING = 1
    VEGETATION = 2
    ROAD = 3
    LANE_MARKING = 4
    VEHICLE = 5
    PERSON = 6


@dataclass(frozen=True)
class Light:
    """Colours of the sky, tint of lit surfaces, strength of shadows (0 to 1), haze per metre, and where the sun is: -1
    at the far left to 1 at the far right.
    """

    zenith: Colour
    horizon: Colour
    tint: Colour
    shadow: float
    haze: float
    sun: float = 0.0

    def shade(self, colour: Colour, distance: float, facing: float = 0.0) -> Colour:
        """A colour in this light, at a distance in metres, on a surface that faces left (-1) to right (1)."""
        brightness = 1 + 0.45 * self.shadow * facing * self.sun - 0.22 * abs(facing)
        clear = float(np.exp(-self.haze * distance))
        lit = clear * brightness * np.multiply(colour, self.tint) + (1 - clear) * np.asarray(self.horizon)
        return as_colour(lit)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera `eye` metres above the road and `offset` metres beside its middle, looking along it.

    `focal`, `horizon` (row) and `centre` (column of the vanishing point) are in pixels. The road curves sideways by
    bend * z ** 2 metres.
    """

    width: int
    height: int
    focal: float
    horizon: float
    centre: float
    eye: float
    offset: float
    bend: float

    def project(self, points: ArrayLike) -> Points:
        """Pixels [..., 2] of points [..., 3] in metres."""
        x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        z = np.maximum(z, NEAREST)
        columns = self.centre + self.focal * ((x - self.offset) / z + self.bend * z)
        return np.stack([columns, self.horizon + self.focal * (self.eye - y) / z], axis=-1)

    def distance_of(self, metres: float, pixels: float) -> float:
        """The distance in metres at which a length covers so many pixels."""
        return self.focal * metres / pixels


class SceneCanvas:
    """An image, uint8 [H, W, 3], and its mask, uint8 [H, W], drawn together."""

    def __init__(self, camera: Camera, light: Light, rng: np.random.Generator) -> None:
        self.camera, self.light, self.rng = camera, light, rng
        self.image: NDArray[np.uint8] = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.mask: NDArray[np.uint8] = np.full((camera.height, camera.width), Label.SKY, np.uint8)

    def fill(self, polygons: Sequence[Points], colour: Colour, label: int | None = None, facing: float = 0.0) -> None:
        """Colour polygons [n, 3], and label their pixels unless `label` is None."""
        if len(polygons) == 0:
            return
        outlines = [self._pixels(polygon) for polygon in polygons]
        distance = float(np.mean(polygons[0][:, 2]))
        shade = self.light.shade(colour, distance, facing)
        cv2.fillPoly(self.image, outlines, shade, cv2.LINE_AA, _FRACTION_BITS)
        if label is not None:
            cv2.fillPoly(self.mask, outlines, (int(label),), cv2.LINE_8, _FRACTION_BITS)

    def draw(self, parts: Sequence[Part], label: int) -> None:
        """Draw one object, its parts from back to front, with a border of about a pixel to ignore."""
        outlines = [self._pixels(polygon) for polygon, _, _ in parts]
        cv2.polylines(self.mask, outlines, True, (IGNORE,), 3, cv2.LINE_8, _FRACTION_BITS)
        for outline in outlines:  # one by one: where polygons of one call overlap, OpenCV leaves a hole
            cv2.fillPoly(self.mask, [outline], (int(label),), cv2.LINE_8, _FRACTION_BITS)
        for outline, (polygon, colour, facing) in zip(outlines, parts, strict=True):
            shade = self.light.shade(colour, float(polygon[:, 2].mean()), facing)
            cv2.fillPoly(self.image, [outline], shade, cv2.LINE_AA, _FRACTION_BITS)

    def darken(self, polygons: Sequence[Points], strength: float) -> None:
        """Cast soft shadows over polygons [n, 3]; `strength` is from 0 to 1."""
        shadow = np.zeros(self.mask.shape, np.uint8)
        for polygon in polygons:
            cv2.fillPoly(shadow, [self._pixels(polygon)], (255,), cv2.LINE_AA, _FRACTION_BITS)
        width = 2 * (self.camera.width // 160) + 1
        factor = 1 - strength / 255 * cv2.blur(shadow, (width, width))[..., None]
        self.image[:] = (self.image * factor).astype(np.uint8)

    def _pixels(self, polygon: Points) -> NDArray[np.int32]:
        """A polygon as OpenCV takes it, in fractions of a pixel."""
        corners = np.rint(self.camera.project(polygon) * (1 << _FRACTION_BITS))
        return np.clip(corners, -_LARGEST_COORDINATE, _LARGEST_COORDINATE).astype(np.int32)


def as_colour(values: ArrayLike) -> Colour:
    """Three numbers, limited to 0 to 255."""
    red, green, blue = np.clip(values, 0, 255).tolist()
    return (red, green, blue)


def vary(rng: np.random.Generator, colours: Sequence[Colour], amount: float = 0.12) -> Colour:
    """One of some colours, its brightness and hue moved by a share of up to `amount`."""
    factors = (1 + rng.uniform(-amount, amount)) * rng.uniform(1 - amount / 2, 1 + amount / 2, 3)
    return as_colour(factors * np.asarray(colours[int(rng.integers(len(colours)))]))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Between two colours: the first at share 0, the second at 1."""
    return as_colour((1 - share) * np.asarray(first) + share * np.asarray(second))
