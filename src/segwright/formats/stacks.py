"""Which planes (pages) of a TIFF belong to one image: what ImageJ, OME and tifffile write into its description.

The channels of the first position are the bands of an image, all other positions are slices.
Source: ImageJ, `ij/io/TiffDecoder.java`; OME-XML schema 2016-06, Pixels and TiffData; tifffile, kind `shaped`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from xml.etree import ElementTree

_MOST_CHANNELS: Final = 1024
_MOST_BANDS: Final = 32  # along the last axis of an array whose axes are not named


@dataclass(frozen=True)
class Stack:
    """The planes of a file."""

    channels: tuple[int, ...]  # the plane of each channel at the first position, by its number in the file
    positions: int  # how many slices, or times, or both multiplied, have such channels


def parse_stack(description: str) -> Stack | None:
    """What the description of a TIFF's first page says, or None where it says nothing."""
    try:
        if description.startswith("ImageJ="):
            stack: Stack | None = _imagej(description)
        elif description.rstrip()[-4:] == "OME>":
            stack = _ome(description)
        elif description.startswith("{"):
            stack = _shaped(description)
        else:
            return None
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError, ElementTree.ParseError):
        return None  # a text that is not what it seems says nothing
    return stack if stack and 0 < len(stack.channels) <= _MOST_CHANNELS and min(stack.channels) >= 0 else None


def parse_rows(description: str) -> tuple[int, int, int] | None:
    """Height, width and bands of an array of which tifffile made a page of each row, as it does by default where
    the last axis holds bands; None where the description of the first page says nothing like that.
    """
    try:
        document = json.loads(description)
        height, width, bands = (int(length) for length in document["shape"])
        named = document.get("axes", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    likely = bands <= _MOST_BANDS and 2 * bands <= min(height, width)
    return (height, width, bands) if bands > 1 and (named in ("YXC", "YXS") or (likely and not named)) else None


def _imagej(description: str) -> Stack:
    numbers = {key: int(value) for key, value in re.findall(r"^(\w+)=(\d{1,9})\s*$", description, re.MULTILINE)}
    channels = max(numbers.get("channels", 1), 1)
    slices, frames = max(numbers.get("slices", 1), 1), max(numbers.get("frames", 1), 1)
    positions = max(slices * frames, numbers.get("images", 1) // channels)
    return Stack(tuple(range(min(channels, _MOST_CHANNELS + 1))), positions)


def _shaped(description: str) -> Stack | None:
    document = json.loads(description)
    axes, shape = document["axes"], [int(length) for length in document["shape"]]
    if len(axes) != len(shape) or "YX" not in axes or "C" not in axes[: axes.index("YX")] or min(shape) < 1:
        return None
    leading = dict(zip(axes[: axes.index("YX")], shape, strict=False))
    return _stack(leading, list(leading)[::-1])


def _ome(description: str) -> Stack | None:
    root = ElementTree.fromstring(description.encode())
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return None
    channel = pixels.find("{*}Channel")
    samples = max(int(channel.get("SamplesPerPixel", 1)), 1) if channel is not None else 1
    sizes = {axis: max(int(pixels.get(f"Size{axis}", 1)), 1) for axis in "CZT"}
    sizes["C"] = max(sizes["C"] // samples, 1)
    order = [axis for axis in pixels.get("DimensionOrder", "XYCZT") if axis in sizes]
    stack = _stack(sizes, order)
    parts = [part for part in pixels.findall("{*}TiffData") if part.attrib]
    pages = tuple(_page_of(plane, parts, sizes, order, root.get("UUID")) for plane in stack.channels if parts)
    return replace(stack, channels=pages) if parts else stack


def _page_of(
    plane: int, parts: Sequence[ElementTree.Element], sizes: Mapping[str, int], order: Sequence[str], own: str | None
) -> int:
    """The page of a plane, which the elements TiffData name; -1 where it lies in another file."""
    for part in parts:
        uuid = part.find("{*}UUID")
        if uuid is not None and own is not None and (uuid.text or "").strip() != own:
            continue
        first = sum(int(part.get(f"First{axis}", 0)) * _stride(axis, sizes, order) for axis in order)
        count = int(part.get("PlaneCount", 1 if "IFD" in part.attrib else math.prod(sizes.values())))
        if first <= plane < first + count:
            return int(part.get("IFD", 0)) + plane - first
    return -1


def _stack(sizes: Mapping[str, int], fastest_first: Sequence[str]) -> Stack:
    """Channels and positions of planes that follow one another along some axes."""
    stride = _stride("C", sizes, fastest_first)
    channels = tuple(channel * stride for channel in range(min(sizes["C"], _MOST_CHANNELS + 1)))
    return Stack(channels, math.prod(length for axis, length in sizes.items() if axis != "C"))


def _stride(axis: str, sizes: Mapping[str, int], fastest_first: Sequence[str]) -> int:
    """How many planes lie between two that differ by one along an axis."""
    return math.prod(sizes[other] for other in fastest_first[: list(fastest_first).index(axis)])
