"""The shapes of LabelMe's files, and of X-AnyLabeling's, which are in the same form.

Source: labelme, `_utils/shape.py`; X-AnyLabeling, `docs/en/user_guide.md`.
"""

import math
from functools import cached_property
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from segwright.formats.masks import decode_mask
from segwright.importers.drawing import Drawing
from segwright.importers.json_models import from_base64
from segwright.importers.polygons import Points, ShapeError, ellipse, outline, rectangle

_POLYGONS: Final = (None, "polygon", "oriented_rectangle", "rotation", "quadrilateral")
_FLAT: Final = ("line", "linestrip", "point", "points")
_FARTHEST: Final = 1e6  # pixels


class Shape(BaseModel):
    """One shape, as the file has it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = None
    mask: str | None = None

    @cached_property
    def problem(self) -> ShapeError | None:
        """Why it cannot be drawn, if so: its label is no class then."""
        if not self.label.strip():
            return ShapeError("shapes without a label")
        if self.shape_type == "mask":
            near = len(self.points) == 2 and np.abs(self.points).max() <= _FARTHEST
            return None if near else ShapeError("shapes of type mask without two points near the image")
        try:
            self._outline()
        except ShapeError as error:
            return error
        return None

    def _outline(self) -> Points:
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
        """Set the pixels of the shape. Raises ShapeError for its problem, and DataError for a mask that is no image."""
        if self.problem is not None:
            raise self.problem
        if self.shape_type != "mask":
            drawing.fill([self._outline()], value)
            return
        piece = decode_mask(from_base64(self.mask or "", "mask"), "mask").numbers > 0
        left, top = (round(coordinate) for coordinate in self.points[0])
        drawing.paste(piece, left, top, value)
