"""What everyone who draws needs at hand: canvas, camera, light and the random numbers of this picture.

Turns polygons in metres and their own colours into pixels in the light of the scene. Refuses to know what
they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from segwright.sample_data.canvas import Camera, Canvas, Colour, Points, Shape, split
from segwright.sample_data.light import Light


@dataclass(frozen=True)
class Stage:
    """The canvas that is drawn on, the camera and the light, and the source of chance."""

    canvas: Canvas
    camera: Camera
    light: Light
    rng: np.random.Generator

    def paint(self, polygons: Sequence[Points] | Points, colour: Colour, distance: float, facing: float = 0.0) -> None:
        """Colour polygons [n, 3] that do not overlap each other, in metres; the labels stay."""
        self.canvas.paint(self._project(polygons), self.light.on(colour, distance, facing))

    def fill(
        self,
        polygons: Sequence[Points] | Points,
        colour: Colour,
        label: int,
        distance: float,
        facing: float = 0.0,
    ) -> None:
        """Colour and label polygons [n, 3] that do not overlap each other, in metres."""
        self.canvas.fill(self._project(polygons), self.light.on(colour, distance, facing), label)

    def stand(self, x: float, z: float, parts: Iterable[tuple[Points, Colour]], label: int) -> None:
        """Put up a flat figure: parts [n, 2] in metres from its foot, from back to front."""
        outlines, colours = zip(*parts, strict=True)
        flat = np.concatenate(outlines)
        world = np.column_stack([x + flat[:, 0], flat[:, 1], np.full(len(flat), z)])
        pixels = split(self.camera.project(world), outlines)
        lit = (self.light.on(colour, z) for colour in colours)
        self.canvas.figure(map(Shape, pixels, lit), label)

    def _project(self, polygons: Sequence[Points] | Points) -> list[Points]:
        if len(polygons) == 0:
            return []
        return split(self.camera.project(np.concatenate(polygons)), polygons)
