"""GeoTIFFs: the tags that say where an image lies, and masks in its place.

Source: OGC GeoTIFF 1.1, section 7 and annex B; GDAL, drivers GTiff and COG.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffTag, TiffWriter

from segwright.formats.file_types import damage_as_data_error
from segwright.formats.masks import palette_of_256
from segwright.formats.no_data import NO_DATA_TAG
from segwright.labels import IGNORE

ExtraTag = tuple[int, int | str, int, Any, bool]
"""A tag as tifffile writes it: number, type, count, value (texts as bytes), and whether only the first page has it."""

_TRANSFORMATIONS: Final = (33922, 34264)  # ModelTiepoint, ModelTransformation: one of them places the pixels
_PLACE: Final = (33550, *_TRANSFORMATIONS, 34735, 34736, 34737)  # ModelPixelScale; the keys, their doubles and texts
_ASCII: Final = 2  # the type of texts
_TILE: Final = 512  # pixels a side, as in GDAL's driver COG; overviews end where one holds the image
_LARGEST_CLASSIC: Final = 1 << 31  # bytes of a mask that surely fit into a TIFF of four gigabytes, overviews included


def place_tags(tiff: bytes, name: str) -> tuple[ExtraTag, ...]:
    """The tags of a TIFF that say where its first image lies, and in which coordinates; none where it has no place.
    Raises DataError for a damaged file.
    """
    with damage_as_data_error(f"{name} is a TIFF file that is damaged or of an unusual kind"):
        tags = TiffFile(io.BytesIO(tiff)).pages.first.tags
        if not any(code in tags for code in _TRANSFORMATIONS):
            return ()
        found = [tags[code] for code in _PLACE if code in tags]
        return tuple((tag.code, int(tag.dtype), int(tag.count), _value(tiff, tag), True) for tag in found)


def _value(tiff: bytes, tag: TiffTag) -> Any:
    """The value of a tag; a text as the bytes that it is: names of coordinate systems are not all ASCII, and the keys
    count their bytes.
    """
    return tiff[tag.valueoffset : tag.valueoffset + tag.valuebytecount] if tag.dtype == _ASCII else tag.value


def write_geotiff_mask(
    path: Path, mask: NDArray[np.uint8], palette: NDArray[np.uint8], place: Sequence[ExtraTag]
) -> None:
    """Write class numbers, uint8 [H, W], as a GeoTIFF at a place: a palette image of tiles, compressed without loss one
    by one, with overviews of the nearest pixels, each half as large, and 255 as the number of no data. `palette` is
    uint8 [C, 3].
    """
    no_data: ExtraTag = (NO_DATA_TAG, "s", 0, str(IGNORE), False)
    colours = palette_of_256(palette).T.astype(np.uint16) * 257  # 16 bits in TIFF
    level, reduced = mask, False
    with TiffWriter(path, bigtiff=mask.nbytes > _LARGEST_CLASSIC) as writer:
        while True:
            writer.write(
                level,
                photometric="palette",
                colormap=colours,
                tile=(_TILE, _TILE),
                compression="zlib",
                subfiletype=int(reduced),
                extratags=[no_data] if reduced else [*place, no_data],
                metadata=None,
                software=False,
            )
            if max(level.shape) <= _TILE:
                return
            level, reduced = level[::2, ::2], True
