"""The annotations of one COCO image, drawn: polygons and both kinds of run lengths, smaller ones over larger ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat

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


def draw_annotations(
    annotations: Sequence[Annotation], classes: Mapping[Identity, int], size: tuple[int, int]
) -> Drawing:
    """Draw annotations on a mask of `size` (height, width), the largest first; 0 is where none lies.

    What cannot be drawn is left out and counted.
    """
    drawing = Drawing.blank(size, 0)
    regions = [_region(annotation, classes[annotation.category_id], drawing) for annotation in annotations]
    for region in sorted(regions, key=lambda region: -region.area):
        with drawing.leaving_out(BAD_RUN_LENGTHS):
            if region.outlines:
                drawing.fill(region.outlines, region.value)
            if region.size is not None:
                if region.size != size:
                    raise ShapeError(BAD_RUN_LENGTHS)
                drawing.paste(decode_rle(region.counts, *size), 0, 0, region.value)
    return drawing


def annotated_frame(annotations: Sequence[Annotation], canvas: Canvas) -> Frame | None:
    """The frame that run lengths prove by their size, or else points."""
    sizes = [one.segmentation.size for one in annotations if isinstance(one.segmentation, _RunLengths)]
    if frames := [frame for size in sizes if (frame := canvas.frame_of_size(size))]:
        return frames[0]
    regions = [_region(annotation, 0, Drawing.blank((1, 1), 0)) for annotation in annotations]
    corners = [points.max(0) for region in regions for points in region.outlines]
    return canvas.frame_of_points(*np.max(corners, axis=0)) if corners else None


def _region(annotation: Annotation, value: int, drawing: Drawing) -> _Region:
    """What an annotation covers; what of it cannot be read is counted."""
    segmentation = annotation.segmentation
    outlines = []
    if not segmentation:
        drawing.leave_out(ONLY_BOXES)
    elif isinstance(segmentation, _RunLengths):
        counts, size = segmentation.counts, segmentation.size
        with drawing.leaving_out(BAD_RUN_LENGTHS):
            return _Region(value, (), decompress_counts(counts) if isinstance(counts, str) else counts, size)
    else:
        for numbers in _polygons(segmentation):
            with drawing.leaving_out():
                if len(numbers) % 2:
                    raise ShapeError(ODD_POLYGON)
                outlines.append(outline(list(zip(numbers[::2], numbers[1::2], strict=True))))
    return _Region(value, outlines)


def _polygons(segmentation: list[list[float]] | list[float]) -> Sequence[Sequence[float]]:
    """Each polygon as x, y, x, y, ...; a list of points is one polygon."""
    lists = [one for one in segmentation if isinstance(one, list)]
    if len(lists) < len(segmentation):
        return [[one for one in segmentation if not isinstance(one, list)]]
    if len(lists) > 2 and all(len(numbers) == 2 for numbers in lists):
        return [[number for point in lists for number in point]]
    return lists
