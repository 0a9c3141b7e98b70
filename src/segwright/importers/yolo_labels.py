"""The label file of one YOLO picture: lines of a class number and an outline, in fractions of the picture's sides.

Knows that every pixel is background where no outline lies, and that smaller outlines lie over larger ones, as in
Ultralytics' semantic task. Lines that are boxes, or cannot be read, are counted and left out; outlines of a class
without a name are ignored. Refuses to know files.

Source: https://docs.ultralytics.com/datasets/segment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.importers.drawing import Drawing
from segwright.importers.polygons import TOO_FEW_POINTS, Points, area, outline
from segwright.labels import IGNORE

BOXES: Final = "lines that are boxes and not outlines (five numbers)"
UNREADABLE: Final = "label lines that are not a class number and points"
IN_PIXELS: Final = "polygons with coordinates far outside of 0 to 1"
UNNAMED: Final = "polygons of class numbers that have no name, ignored"

_FARTHEST: Final = 2.0  # fractions of a side; what sticks out is cut off, what lies farther away is in pixels

Kind = Literal["polygon", "box", "too few points", "unreadable", "in pixels"]
_REMARKS: Final[Mapping[Kind, str]] = {
    "box": BOXES,
    "too few points": TOO_FEW_POINTS,
    "unreadable": UNREADABLE,
    "in pixels": IN_PIXELS,
}


@dataclass(frozen=True, eq=False)
class LabelLine:
    """One line, and what it is."""

    kind: Kind
    class_number: int = 0
    points: NDArray[np.float64] | None = None
    """Of a polygon: fractions of width and height, [N, 2]."""


def label_lines(data: bytes) -> Iterator[LabelLine]:
    """The lines of a label file, but for empty ones and comments; nothing is refused.

    An even count of numbers ends with a confidence, which is dropped.
    """
    for line in data.decode("utf-8", "replace").removeprefix("\ufeff").splitlines():
        words = line.partition("#")[0].replace(",", " ").split()
        if words:
            yield _label_line(words)


def _label_line(words: list[str]) -> LabelLine:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        return LabelLine("unreadable")
    if not np.isfinite(numbers).all() or not 0 <= numbers[0] < 1e9 or numbers[0] != int(numbers[0]):
        return LabelLine("unreadable")
    number = int(numbers[0])
    coordinates = numbers[1 : 1 + (len(numbers) - 1) // 2 * 2]
    if len(coordinates) == 4:
        return LabelLine("box", number)
    if len(coordinates) < 6:
        return LabelLine("too few points", number)
    if np.abs(coordinates).max() > _FARTHEST:
        return LabelLine("in pixels", number)
    return LabelLine("polygon", number, coordinates.reshape(-1, 2))


def draw_labels(data: bytes, values: Mapping[int, int], size: tuple[int, int]) -> Drawing:
    """The mask of a label file, of `size` (height, width); what cannot be drawn is left out and counted.

    `values` gives the class of each number; 0 is where no outline lies.
    """
    height, width = size
    drawing = Drawing.blank(size, 0)
    found: list[tuple[float, Points, int]] = []
    for line in label_lines(data):
        if line.points is None:
            drawing.leave_out(_REMARKS[line.kind])
            continue
        points = outline((line.points * (width, height)).tolist())
        found.append((area(points), points, values.get(line.class_number, IGNORE)))
        drawing.notes[UNNAMED] += line.class_number not in values
    for _, points, value in sorted(found, key=lambda entry: -entry[0]):
        with drawing.leaving_out():
            drawing.fill([points], value)
    return drawing
