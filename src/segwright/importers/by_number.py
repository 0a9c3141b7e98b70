"""Masks whose numbers count: from the numbers in a file to class indices.

Refuses to know what a number means: its caller says so.
"""

from collections.abc import Mapping

import numpy as np

from segwright.formats.masks import decode_mask
from segwright.importers.canvas import Canvas, MismatchError
from segwright.importers.drawing import Drawing
from segwright.storage import Blob


def draw_by_number(mask: Blob, canvas: Canvas, classes: Mapping[int, int], cure: str) -> Drawing:
    """Read a mask; `classes` gives the class of each number, 255 where it is ignored.

    Raises MismatchError for a mask of another size, and for a number that `classes` lacks, with the `cure`.
    """
    numbers = decode_mask(mask.read(), mask.name)
    canvas.check_size(numbers.shape, mask.name)
    present: list[int] = np.unique(numbers).tolist()
    if strange := [number for number in present if number not in classes]:
        count = (numbers == strange[0]).sum()
        raise MismatchError(f"{mask.name} holds the value {strange[0]} in {count:,} pixels; {cure}")
    lookup = np.zeros(1 << 16, np.uint8)
    lookup[present] = [classes[number] for number in present]
    return Drawing(lookup[numbers])
