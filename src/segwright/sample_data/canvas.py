"""Where the paint goes: a picture and its mask, side by side, and the camera that turns metres into pixels.

Knows points, polygons and labels. It refuses to know what is being drawn, and in which light.

The world: x runs to the right from the middle of the road, y up from the ground, z away from the camera, all
in metres. Everything is drawn from far to near, so that what is nearer covers what is farther.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from segwright.labels import IGNORE

Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 255."""

Points = NDArray[np.float64]
"""[..., 3] metres in the world or [..., 2] pixels in the picture."""

NEAREST = 0.6
"""Distance in metres at which everything is cut off in front of the camera."""

_SUBPIXEL_BITS = 4


class Label(IntEnum):
    """The classes of the sample data, in the order of their class indices."""

    SKY = 0
    BUILDING = 1
    VEGETATION = 2
    ROAD = 3
    LANE_MARKING = 4
    VEHICLE = 5
    PERSON = 6


class Shape(NamedTuple):
    """A polygon of a figure in pixels [n, 2]. What is not solid is paint on the rest, not in the mask."""

    outline: Points
    colour: Colour
    solid: bool = True


@dataclass(frozen=True)
class Camera:
    """A pinhole camera over the road.

    `focal`, `horizon` (row), `centre` (column of the vanishing point) are in pixels, `eye` (height above the
    ground) and `offset` (from the middle of the road) in metres, `roll` in radians. `bend` (1/m) curves the
    road: a point at distance z moves sideways by bend * z ** 2.
    """

    width: int
    height: int
    focal: float
    horizon: float
    centre: float
    eye: float
    offset: float
    roll: float
    bend: float

    def project(self, points: ArrayLike) -> Points:
        """Pixels [..., 2] (column, row) of points [..., 3] in metres."""
        world = np.asarray(points, dtype=np.float64)
        z = np.maximum(world[..., 2:], NEAREST)
        image = (world[..., :2] - (self.offset, self.eye)) * (self.focal / z)
        image[..., :1] += self.focal * self.bend * z
        cosine, sine = math.cos(self.roll), math.sin(self.roll)
        across, down = self.centre - self.width / 2, self.horizon - self.height / 2
        middle = (
            cosine * across - sine * down + self.width / 2,
            sine * across + cosine * down + self.height / 2,
        )
        return np.asarray(image @ np.array([[cosine, sine], [sine, -cosine]]) + middle)

    def view(self, distance: float) -> tuple[float, float]:
        """The x in metres, left and right, where the picture ends at a distance."""
        middle = self.offset - self.bend * distance**2
        left, right = -self.centre * distance / self.focal, (self.width - self.centre) * distance / self.focal
        return (middle + left, middle + right)

    def pixels_per_metre(self, distance: float) -> float:
        """Length in pixels of an upright metre at a distance."""
        return self.focal / max(distance, NEAREST)

    def distance_of(self, metres: float, pixels: float) -> float:
        """Distance at which a length of so many metres covers so many pixels."""
        return self.focal * metres / pixels


class Canvas:
    """A picture uint8 [H, W, 3] and the labels of its pixels, uint8 [H, W]."""

    def __init__(self, width: int, height: int) -> None:
        self.image: NDArray[np.uint8] = np.zeros((height, width, 3), np.uint8)
        self.labels: NDArray[np.uint8] = np.full((height, width), Label.SKY, np.uint8)

    def paint(self, polygons: Sequence[Points] | Points, colour: Colour) -> None:
        """Colour polygons [n, 2] that do not overlap each other; the labels stay."""
        cv2.fillPoly(self.image, fixed_point(polygons), colour, cv2.LINE_AA, _SUBPIXEL_BITS)

    def fill(self, polygons: Sequence[Points] | Points, colour: Colour, label: int) -> None:
        """Colour and label polygons [n, 2] that do not overlap each other."""
        self.paint(polygons, colour)
        cv2.fillPoly(self.labels, fixed_point(polygons), (int(label),), cv2.LINE_8, _SUBPIXEL_BITS)

    def figure(self, shapes: Iterable[Shape], label: int) -> None:
        """Draw the shapes of one object, from back to front, with a border of about a pixel to ignore."""
        shapes = list(shapes)
        outlines = fixed_point([shape.outline for shape in shapes])
        solid = [outline for outline, shape in zip(outlines, shapes, strict=True) if shape.solid]
        cv2.polylines(self.labels, solid, True, (IGNORE,), 3, cv2.LINE_8, _SUBPIXEL_BITS)
        for outline in solid:
            cv2.fillPoly(self.labels, [outline], (int(label),), cv2.LINE_8, _SUBPIXEL_BITS)
        for outline, shape in zip(outlines, shapes, strict=True):
            cv2.fillPoly(self.image, [outline], shape.colour, cv2.LINE_AA, _SUBPIXEL_BITS)

    def darken(self, polygons: Sequence[Points], strength: float, softness: float) -> None:
        """Cast a shadow over polygons [n, 2]: `strength` 0 to 1, edges blurred by `softness` pixels."""
        shadow = np.zeros(self.labels.shape, np.uint8)
        for outline in fixed_point(polygons):
            cv2.fillPoly(shadow, [outline], (255,), cv2.LINE_AA, _SUBPIXEL_BITS)
        side = 2 * int(softness) + 1
        light = cv2.convertScaleAbs(cv2.blur(shadow, (side, side)), alpha=-strength, beta=255)
        cv2.multiply(self.image, cv2.merge([light] * 3), dst=self.image, scale=1 / 255)


def fixed_point(polygons: Sequence[Points] | Points) -> list[NDArray[np.int32]]:
    """Polygons [n, 2] as OpenCV takes them, in fractions of a pixel, far-away corners kept in its range."""
    if len(polygons) == 0:
        return []
    corners = np.rint(np.concatenate(polygons) * (1 << _SUBPIXEL_BITS))
    return split(np.clip(corners, -200_000, 200_000).astype(np.int32), polygons)


def split(points: NDArray[Any], polygons: Sequence[Points] | Points) -> list[NDArray[Any]]:
    """Rows of all polygons, one after the other, as one array a polygon."""
    ends = list(accumulate(len(polygon) for polygon in polygons))
    return [points[start:end] for start, end in pairwise([0, *ends])]


def inset(corners: Points, boxes: ArrayLike) -> Points:
    """Rectangles [n, 4, 3] on a face [4, 3] (bottom left, bottom right, top right, top left).

    `boxes` [n, 4] are left, bottom, right, top as fractions of the face.
    """
    left, bottom, right, top = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    across = np.stack([left, right, right, left], axis=1)[..., None]
    upwards = np.stack([bottom, bottom, top, top], axis=1)[..., None]
    low = corners[0] + across * (corners[1] - corners[0])
    high = corners[3] + across * (corners[2] - corners[3])
    return np.asarray(low + upwards * (high - low))
