"""The shapes of LabelMe's files, and of X-AnyLabeling's, which are in the same form.

Knows which kinds have an inside, and how it is drawn. Refuses to fill lines and points, and to know files and images.

Source: labelme, `_utils/shape.py`; X-AnyLabeling, `docs/en/user_guide.md`.
"""

import math
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from segwright.errors import DataError
from segwright.formats.masks import decode_mask
from segwright.importers.drawing import Drawing
from segwright.importers.json_models import from_base64
from segwright.importers.polygons import Points, ShapeError, ellipse, outline, rectangle

_POLYGONS: Final = (None, "polygon", "oriented_rectangle", "rotation", "quadrilateral")
_FARTHEST: Final = 1e6  # pixels
_FLAT: Final = ("line", "linestrip", "point", "points")


class Shape(BaseModel):
    """One shape, as the file has it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = None
    mask: str | None = None

    def check(self) -> None:
        """Raise ShapeError where it cannot be drawn."""
        if not self.label.strip():
            raise ShapeError("shapes without a label")
        if self.shape_type != "mask":
            self.outline()
        elif len(self.points) != 2 or not np.abs(self.points).max() <= _FARTHEST:
            raise ShapeError("shapes of type mask without two points near the picture")

    def outline(self) -> Points:
        """The outline of every kind but a mask; raises ShapeError where there is none."""
        match self.shape_type, self.points:
            case ("rectangle", [corner, opposite]):
                return rectangle(corner, opposite)
            case ("rectangle", [_, _, _, _]):  # as X-AnyLabeling writes it
                return outline(self.points)
            case ("circle", [centre, rim]):
                radius = math.dist(centre, rim)
                return ellipse(centre, radius, radius)
            case (("rectangle" | "circle"), _):
                raise ShapeError(f"shapes of type {self.shape_type} with another number of points")
        if self.shape_type in _POLYGONS:
            return outline(self.points)
        if self.shape_type in _FLAT:
            raise ShapeError(f"shapes of type {self.shape_type}, which have no inside")
        raise ShapeError(f"shapes of the unknown type {self.shape_type!r}")

    def draw(self, drawing: Drawing, value: int) -> None:
        """Set the pixels of the shape; raises ShapeError where it cannot be drawn."""
        if self.shape_type != "mask":
            drawing.fill([self.outline()], value)
            return
        try:
            piece = decode_mask(from_base64(self.mask or "", "mask"), "mask") > 0
        except DataError:
            raise ShapeError("shapes of type mask that cannot be read") from None
        left, top = (round(coordinate) for coordinate in self.points[0])
        drawing.paste(piece, left, top, value)
