"""The regions of one Label Studio annotation: read, and drawn in their order, later ones over earlier ones.

Knows brush run lengths, bit masks, polygons, rectangles and ellipses, and that coordinates are per cent of the picture
as a browser shows it, that is upright. `image_rotation` says how the picture was turned on the screen and does not
touch the coordinates. Refuses to know tasks and files.

Source: https://labelstud.io/tags/brushlabels, .../bitmasklabels, .../polygonlabels, .../rectanglelabels and
.../ellipselabels; label-studio-converter, `brush.py`, where a pixel counts that is not fully transparent.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, PositiveInt, ValidationError

from segwright.errors import DataError
from segwright.formats.images import PixelFormat, decode_image
from segwright.formats.rle_pack import decode_rle_pack
from segwright.importers.canvas import Canvas, MismatchError
from segwright.importers.drawing import Drawing, left_out
from segwright.importers.json_models import from_base64
from segwright.importers.polygons import Points, ShapeError, ellipse, outline, rectangle

NO_AREA: Final = "key points and other regions without an area"
NO_LABEL: Final = "regions without a label"
UNREADABLE: Final = "regions that cannot be read"
SEVERAL_LABELS: Final = "regions with several labels, of which the first counts"

_SHAPES: Final = ("rle", "imageDataURL", "points", "x")
_BANDS: Final = 4


def _to_bytes(numbers: object) -> bytes:
    if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
        raise ValueError("run lengths are a list of numbers from 0 to 255")
    return bytes(numbers)


class _Value(BaseModel):
    """What a region's value may hold."""

    rle: Annotated[bytes, BeforeValidator(_to_bytes)] | None = None
    bit_mask: str | None = Field(None, alias="imageDataURL")
    points: list[tuple[FiniteFloat, FiniteFloat]] | None = None
    x: FiniteFloat = 0
    y: FiniteFloat = 0
    width: FiniteFloat | None = None
    height: FiniteFloat | None = None
    radius_x: FiniteFloat | None = Field(None, alias="radiusX")
    radius_y: FiniteFloat | None = Field(None, alias="radiusY")
    rotation: FiniteFloat = 0


class _Size(BaseModel):
    """The size of the picture as the browser showed it."""

    original_width: PositiveInt | None = None
    original_height: PositiveInt | None = None


@dataclass(frozen=True, eq=False)
class Region:
    """One region with a label and an area."""

    label: str
    labels: tuple[str, ...]
    """All its labels."""
    size: tuple[int, int] | None
    """(height, width) of the picture as it was shown, where the file says so."""
    value: _Value

    @property
    def is_brush(self) -> bool:
        """Whether its pixels are run lengths, which the export as PNG has as well."""
        return self.value.rle is not None


@dataclass(frozen=True, eq=False)
class Regions:
    """What an annotation holds."""

    drawn: tuple[Region, ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)
    """What was left out, and how often."""
    brushes_without_rle: tuple[tuple[str, ...], ...] = ()
    """The labels of each region of the brush whose run lengths are not in the file."""

    @property
    def labels(self) -> frozenset[str]:
        """The labels of what is drawn."""
        return frozenset(region.label for region in self.drawn)


def read_regions(results: Sequence[Any]) -> Regions:
    """The regions among the results of an annotation; nothing is refused, what cannot be drawn is counted.

    A result is the object of the JSON export (with `value`), or of JSON-MIN, which has the value's keys itself.
    """
    remarks: Counter[str] = Counter()
    drawn: list[Region] = []
    missing: list[tuple[str, ...]] = []
    objects = [result for result in results if isinstance(result, dict)]
    labelled = {str(result["id"]) for result in objects if "id" in result and _labels(_value(result))}
    for result in objects:
        value = _value(result)
        names = _labels(value)
        has_shape = any(key in value for key in _SHAPES)
        if not names:
            remarks[left_out(NO_LABEL)] += has_shape and str(result.get("id", "")) not in labelled
            continue
        if value.get("format") == "rle" and not value.get("rle"):
            missing.append(names)
            continue
        region = _region(result, value, names, remarks)
        if region is not None:
            drawn.append(region)
            remarks[SEVERAL_LABELS] += len(names) > 1
    return Regions(tuple(drawn), +remarks, tuple(missing))


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.get("value", result)
    return value if isinstance(value, dict) else {}


def _labels(value: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of a region: the list under brushlabels, polygonlabels, labels, ..."""
    for key, found in value.items():
        if key.endswith("labels") and isinstance(found, list):
            return tuple(label.strip() for label in found if isinstance(label, str) and label.strip())
    return ()


def _region(
    result: Mapping[str, Any], value: Mapping[str, Any], names: tuple[str, ...], remarks: Counter[str]
) -> Region | None:
    """What can be drawn of a region; None, and a remark, where nothing can."""
    try:
        checked = _Value.model_validate(value)
        size = _Size.model_validate({key: result.get(key, value.get(key)) for key in _Size.model_fields})
    except (ValidationError, OverflowError):
        remarks[left_out(UNREADABLE)] += 1
        return None
    has_sides = None not in (checked.width, checked.height) or None not in (checked.radius_x, checked.radius_y)
    if checked.rle is None and checked.bit_mask is None and checked.points is None and not has_sides:
        remarks[left_out(NO_AREA)] += 1
        return None
    shown = (size.original_height, size.original_width) if size.original_height and size.original_width else None
    return Region(names[0], names, shown, checked)


def draw_regions(drawing: Drawing, regions: Sequence[Region], values: Mapping[str, int], canvas: Canvas) -> None:
    """Draw regions in their order. Raises MismatchError for pixels of a picture of another size."""
    for region in regions:
        with drawing.leaving_out():
            value, number = region.value, values[region.label]
            if value.rle is None and value.bit_mask is None:
                drawing.fill([_outline(value, canvas)], number)
                continue
            canvas.check_size(region.size or canvas.size, f"a brush region of {region.label}")
            try:
                inside = (
                    _brushed(value.rle, canvas) if value.rle is not None else _bit_mask(value.bit_mask or "", canvas)
                )
            except MismatchError:
                raise
            except DataError:
                raise ShapeError(UNREADABLE) from None
            drawing.paste(inside, 0, 0, number)


def _brushed(rle: bytes, canvas: Canvas) -> NDArray[np.bool_]:
    """The pixels of a brush whose opacity, the last of four bands, is not 0."""
    height, width = canvas.size
    return decode_rle_pack(rle, height * width * _BANDS).reshape(height, width, _BANDS)[..., 3] > 0


def _bit_mask(address: str, canvas: Canvas) -> NDArray[np.bool_]:
    """The pixels of a PNG in a data URL that are not fully transparent."""
    pixels = decode_image(from_base64(address, "imageDataURL"), "imageDataURL", PixelFormat(bands=4))
    canvas.check_size(pixels.shape[:2], "a bit mask")
    return pixels[..., 3] > 0


def _outline(value: _Value, canvas: Canvas) -> Points:
    """The outline of a shape in pixels, after its own rotation."""
    x, y = value.x, value.y
    if value.points is not None:
        points = outline(value.points)
    elif value.radius_x is not None and value.radius_y is not None:
        points = ellipse((x, y), value.radius_x, value.radius_y)
    else:
        points = rectangle((x, y), (x + (value.width or 0), y + (value.height or 0)))
    per_cent = np.array(canvas.size[::-1]) / 100
    found = points * per_cent
    if not value.rotation:
        return found
    # clockwise on the screen: a rectangle about its first corner, an ellipse about its centre
    pivot, angle = np.array((x, y)) * per_cent, math.radians(value.rotation)
    turn = np.array(((math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))))
    turned: Points = (found - pivot) @ turn + pivot
    return turned
