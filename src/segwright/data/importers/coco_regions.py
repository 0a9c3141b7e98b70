"""The annotations of one COCO image, drawn: polygons and both kinds of run lengths.

Knows that every pixel is background where no annotation lies, and that smaller annotations lie over larger ones,
whatever their order in the file. Refuses to know files, images and categories.

Source: https://cocodataset.org/#format-data, "Object Detection".
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat

from segwright.data.importers.items import Canvas, Drawn, refuse_other_size
from segwright.data.importers.shapes import Points, area, fill_polygon, outline
from segwright.errors import DataError
from segwright.formats.run_lengths import decode_rle, decompress_counts

ONLY_BOXES: Final = "annotations without an outline, only a box, left out"
TOO_FEW_POINTS: Final = "polygons of fewer than three points, left out"

Identity = int | str


class _RunLengths(BaseModel):
    size: tuple[int, int]
    counts: list[int] | str


class Annotation(BaseModel):
    """One annotation, as the file has it."""

    id: Identity | None = None
    image_id: Identity
    category_id: Identity
    segmentation: list[list[FiniteFloat]] | _RunLengths | None = None


def draw_annotations(
    annotations: Sequence[Annotation], classes: Mapping[Identity, int], size: tuple[int, int], where: str
) -> Drawn:
    """Draw annotations on a mask of `size` (height, width), the largest first; 0 is where none lies.

    `where` names the image in messages. Raises DataError for outlines that are none and for run lengths of another
    size.
    """
    mask = np.zeros(size, np.uint8)
    regions = []
    for annotation in annotations:
        if annotation.segmentation:
            with _naming(annotation, where):
                regions.append((annotation, _region(annotation.segmentation)))
    for annotation, region in sorted(regions, key=lambda entry: -entry[1].area):
        with _naming(annotation, where):
            region.fill(mask, classes[annotation.category_id])
    remarks = Counter(
        {ONLY_BOXES: len(annotations) - len(regions), TOO_FEW_POINTS: sum(region.too_short for _, region in regions)}
    )
    return Drawn(mask, +remarks)


@contextmanager
def _naming(annotation: Annotation, where: str) -> Iterator[None]:
    """Let a DataError say which annotation it is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}, annotation {annotation.id}: {error}") from None


@dataclass(frozen=True, eq=False)
class _Region:
    """The pixels of one annotation, as polygons or as run lengths of a size."""

    area: float
    polygons: Sequence[Points] = ()
    counts: Sequence[int] = ()
    size: tuple[int, int] | None = None
    too_short: int = 0

    def fill(self, mask: NDArray[np.uint8], value: int) -> None:
        """Set the pixels of the region; raises DataError for what does not fit the mask."""
        height, width = mask.shape
        for points in self.polygons:
            fill_polygon(mask, points, value)
        if self.size is not None:
            refuse_other_size(self.size, Canvas(height, width), "the run-length mask")
            mask[decode_rle(self.counts, height, width)] = value


def _region(segmentation: list[list[float]] | _RunLengths) -> _Region:
    """What an annotation covers; raises DataError."""
    if isinstance(segmentation, _RunLengths):
        counts = segmentation.counts
        counts = decompress_counts(counts) if isinstance(counts, str) else counts
        return _Region(sum(counts[1::2]), counts=counts, size=segmentation.size)
    if odd := [len(numbers) for numbers in segmentation if len(numbers) % 2]:
        raise DataError(f"a polygon has {odd[0]} numbers; it is a list x, y, x, y, ...")
    whole = [numbers for numbers in segmentation if len(numbers) >= 6]
    polygons = [outline(list(zip(numbers[::2], numbers[1::2], strict=True))) for numbers in whole]
    return _Region(sum(map(area, polygons)), polygons, too_short=len(segmentation) - len(whole))
