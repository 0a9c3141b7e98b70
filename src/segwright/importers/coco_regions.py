"""The annotations of one COCO image, drawn: polygons and both kinds of run lengths.

Knows that every pixel is background where no annotation lies, and that smaller annotations lie over larger ones,
whatever their order in the file. Refuses to know files, images and categories.

Source: https://cocodataset.org/#format-data, "Object Detection".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat

from segwright.errors import DataError
from segwright.formats.rle import decode_rle, decompress_counts
from segwright.importers.canvas import Canvas, Frame
from segwright.importers.drawing import Drawing
from segwright.importers.polygons import Points, ShapeError, area, outline

ONLY_BOXES: Final = "annotations without an outline, only a box"
ODD_POLYGON: Final = "polygons of an odd number of coordinates"
BAD_RUN_LENGTHS: Final = "run lengths that are damaged or do not fit their image"

Identity = Annotated[int | str, Field(union_mode="left_to_right")]
"""A whole number, also where it is written as text or with a point: files refer to "1" as 1."""


class _RunLengths(BaseModel):
    size: tuple[int, int]
    counts: list[int] | str


class Annotation(BaseModel):
    """One annotation, as the file has it. A polygon is x, y, x, y, ...; VIA writes a single one without a list."""

    image_id: Identity
    category_id: Identity
    segmentation: Annotated[
        list[list[FiniteFloat]] | _RunLengths | list[FiniteFloat] | None, Field(union_mode="left_to_right")
    ] = None


def draw_annotations(
    annotations: Sequence[Annotation], classes: Mapping[Identity, int], size: tuple[int, int]
) -> Drawing:
    """Draw annotations on a mask of `size` (height, width), the largest first; 0 is where none lies.

    What cannot be drawn is left out and counted.
    """
    drawing = Drawing.blank(size, 0)
    regions = [_region(annotation, classes[annotation.category_id], drawing) for annotation in annotations]
    for region in sorted(regions, key=lambda region: -region.area):
        with drawing.leaving_out():
            region.fill(drawing)
    return drawing


def annotated_frame(annotations: Sequence[Annotation], canvas: Canvas) -> Frame | None:
    """What run lengths and points tell of the frame in which they lie."""
    sizes = [one.segmentation.size for one in annotations if isinstance(one.segmentation, _RunLengths)]
    if frames := [frame for size in sizes if (frame := canvas.frame_of_size(size))]:
        return frames[0]
    regions = [_region(annotation, 0, Drawing.blank((1, 1), 0)) for annotation in annotations]
    corners = [points.max(0) for region in regions for points in region.outlines]
    return canvas.frame_of_points(*np.max(corners, axis=0)) if corners else None


@dataclass(frozen=True, eq=False)
class _Region:
    """The pixels of one annotation, as outlines or as run lengths of a size; nothing where it could not be read."""

    value: int
    outlines: Sequence[Points] = ()
    counts: Sequence[int] = ()
    size: tuple[int, int] | None = None

    @property
    def area(self) -> float:
        return sum(map(area, self.outlines)) + sum(self.counts[1::2])

    def fill(self, drawing: Drawing) -> None:
        """Draw the region; raises ShapeError for what does not fit the drawing."""
        if self.outlines:
            drawing.fill(self.outlines, self.value)
        if self.size is not None:
            if self.size != drawing.mask.shape:
                raise ShapeError(BAD_RUN_LENGTHS)
            drawing.paste(_decoded(self.counts, self.size), 0, 0, self.value)


def _region(annotation: Annotation, value: int, drawing: Drawing) -> _Region:
    """What an annotation covers; what of it cannot be read is counted."""
    segmentation = annotation.segmentation
    if not segmentation:
        drawing.leave_out(ONLY_BOXES)
    elif isinstance(segmentation, _RunLengths):
        with drawing.leaving_out():
            return _Region(value, counts=_counts(segmentation), size=segmentation.size)
    else:
        outlines = []
        for numbers in _polygons(segmentation):
            with drawing.leaving_out():
                outlines.append(_outline(numbers))
        return _Region(value, outlines)
    return _Region(value)


def _polygons(segmentation: list[list[float]] | list[float]) -> Sequence[Sequence[float]]:
    """Each polygon as x, y, x, y, ...; a list of points is one polygon."""
    lists = [one for one in segmentation if isinstance(one, list)]
    if len(lists) < len(segmentation):
        return [[one for one in segmentation if not isinstance(one, list)]]
    if len(lists) > 2 and all(len(numbers) == 2 for numbers in lists):
        return [[number for point in lists for number in point]]
    return lists


def _outline(numbers: Sequence[float]) -> Points:
    if len(numbers) % 2:
        raise ShapeError(ODD_POLYGON)
    return outline(list(zip(numbers[::2], numbers[1::2], strict=True)))


def _counts(run_lengths: _RunLengths) -> list[int]:
    try:
        return decompress_counts(run_lengths.counts) if isinstance(run_lengths.counts, str) else run_lengths.counts
    except DataError:
        raise ShapeError(BAD_RUN_LENGTHS) from None


def _decoded(counts: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        return decode_rle(counts, *size)
    except DataError:
        raise ShapeError(BAD_RUN_LENGTHS) from None
