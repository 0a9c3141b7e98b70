"""TIFF files: what their numbers are, which pages make up one image, and how tifffile reads them.

Memory is bounded: sizes of images, strips and tiles are checked before anything is decoded.

Source: TIFF 6.0; Adobe's TIFF Technical Notes; libtiff's list of compressions.
"""

import importlib.util
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from segwright.errors import DataError
from segwright.formats.file_types import check_size, damage_as_data_error
from segwright.formats.no_data import NO_DATA_TAG, parse_no_data
from segwright.formats.pixels import Numbers
from segwright.formats.stacks import Stack, parse_rows, parse_stack

WHITE_IS_ZERO: Final = 0
PALETTE: Final = 3
LOSSY: Final = {
    6: "JPEG", 7: "JPEG", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    34887: "LERC", 34892: "JPEG", 34934: "JPEG XR", 22610: "JPEG XR", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""Compressions that may change numbers."""

_COLOURS: Final = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # samples: white or black is 0, RGB, palette, CMYK...
_OPACITY: Final = frozenset(((1,), (2,)))  # ExtraSamples: associated or unassociated alpha and nothing else
_KINDS: Final[dict[int, Numbers]] = {1: "uint", 2: "int", 3: "float"}
_KINDS_IN_WORDS: Final = {1: "unsigned whole", 2: "signed whole", 3: "floating-point", 5: "complex", 6: "complex"}
_BITS_OF_PILLOW: Final = frozenset((1, 2, 4, 8))
_NOT_BY_PILLOW: Final = LOSSY.keys() - {6, 7}
_BITS: Final[dict[Numbers, tuple[int, ...]]] = {"uint": (8, 16, 32, 64), "int": (8, 16, 32, 64), "float": (16, 32, 64)}

_DEFLATE: Final = frozenset((8, 32946))
_LARGEST_TILE: Final = 1 << 24  # numbers in a tile of an image that is smaller than it
_NOT_COMPRESSED: Final = 1
_PLAIN_COMPRESSIONS: Final = frozenset((_NOT_COMPRESSED, *_DEFLATE))
_COMPRESSIONS: Final = frozenset((*_PLAIN_COMPRESSIONS, 5, 32773, 50000))  # LZW, PackBits, Zstandard
_FLOAT_PREDICTOR: Final = 3
_HAS_IMAGECODECS: Final = importlib.util.find_spec("imagecodecs") is not None

_NOT_FOR_PILLOW: Final = b"MM\0+"  # BigTIFFs whose high bytes come first, which Pillow 13 takes for damaged
_MOST_PAGES: Final = 1000  # that are counted
_ALONE: Final = Stack((0,), 1)


@dataclass(frozen=True)
class TiffLayout:
    """The tags of a TIFF page that say what its numbers are, as whole numbers; `bits` are those that occur."""

    height: int
    width: int
    depth: int
    samples: int
    bits: tuple[int, ...]
    kind: int
    is_planar: bool
    photometric: int
    extra: tuple[int, ...]
    compression: int
    predictor: int

    @classmethod
    def of(cls, page: TiffPage) -> "TiffLayout":
        """Copy the tags; raises whatever comes of tags that are no numbers."""
        bits: Any = page.bitspersample  # a tuple where samples differ
        return cls(
            height=int(page.imagelength),
            width=int(page.imagewidth),
            depth=max(int(page.imagedepth), int(page.tiledepth)),
            samples=int(page.samplesperpixel),
            bits=tuple(int(number) for number in bits) if isinstance(bits, tuple) else (int(bits),),
            kind=int(page.sampleformat),
            is_planar=int(page.planarconfig) == 2,
            photometric=int(page.photometric),
            extra=tuple(int(number) for number in page.extrasamples),
            compression=int(page.compression),
            predictor=int(page.predictor),
        )

    @property
    def numbers(self) -> Numbers | None:
        """The kind of its numbers, or None for complex and other ones."""
        return _KINDS.get(self.kind)

    @property
    def has_readable_numbers(self) -> bool:
        """Whether these are numbers of one type that NumPy has."""
        return self.numbers is not None and len(self.bits) == 1 and self.bits[0] in _BITS[self.numbers]


@dataclass(frozen=True, eq=False)
class Tiff:
    """A TIFF file, opened at its first image.

    `planes` are the pages of the image's channels, all of one `layout`; a number is that of a plane that follows the
    first page without a page of its own, and 0 alone stands for an image whose rows are pages.
    """

    name: str
    data: bytes
    file: TiffFile
    planes: tuple[TiffPage | int, ...]
    layout: TiffLayout
    stack: Stack

    @classmethod
    def parse(cls, data: bytes, name: str, max_pixels: int | None = None) -> "Tiff":
        """Read tags. Raises DataError for damaged files, TooLargeError as `check_size` does."""
        with damage_as_data_error(f"{name} is a TIFF file that is damaged or of an unusual kind"):
            file = TiffFile(io.BytesIO(data))
            page = file.pages.first
            stack = parse_stack(page.description) or _ALONE
            layout = TiffLayout.of(page)
            planes = _planes(file, stack, layout, data) if stack.channels != (0,) else (page,)
            if whole := _of_rows(file, layout, page.description, data):
                planes, layout, stack = (0,), whole, _ALONE
            elif not planes:
                planes, stack = (page,), _ALONE
            elif isinstance(planes[0], TiffPage):
                layout = TiffLayout.of(planes[0])
        check_size(layout.height, layout.width, name, layout.samples * len(planes), max(layout.bits), max_pixels)
        return cls(name, data, file, planes, layout, stack)

    @property
    def samples(self) -> int:
        """Numbers of each pixel, those of all channels together."""
        return self.layout.samples * len(self.planes)

    @property
    def has_opacity(self) -> bool:
        """Whether the last of them is opacity: what ExtraSamples calls so, if nothing else is extra."""
        colours = _COLOURS.get(self.layout.photometric, 0)
        return len(self.planes) == 1 and self.layout.extra in _OPACITY and self.samples == colours + 1

    @property
    def is_ordinary(self) -> bool:
        """Whether Pillow reads all of it: an image of up to 8 bits."""
        layout, colours = self.layout, self.samples - self.has_opacity
        if len(self.planes) > 1 or self.data.startswith(_NOT_FOR_PILLOW) or layout.compression in _NOT_BY_PILLOW:
            return False
        if layout.is_planar and self.has_opacity:  # Pillow does not read all of these
            return False
        plain = layout.kind == 1 and _BITS_OF_PILLOW.issuperset(layout.bits)
        return plain and colours == _COLOURS.get(layout.photometric)

    @property
    def no_data(self) -> float | None:
        """The number that stands for no data by GDAL's tag, if there is one."""
        tag = self.file.pages.first.tags.get(NO_DATA_TAG)
        return None if tag is None else parse_no_data(tag.value)

    @property
    def decodes(self) -> bool:
        """Whether `read` knows its compression; Pillow knows others."""
        return self.layout.compression in (_COMPRESSIONS if _HAS_IMAGECODECS else _PLAIN_COMPRESSIONS)

    def check_numbers(self, what: str, cure: str) -> None:
        """Raise DataError where the numbers are of no type that is read; `what` has others, `cure` says what to do."""
        layout = self.layout
        if layout.has_readable_numbers and layout.depth == 1:
            return
        bits = " and ".join(str(number) for number in layout.bits)
        raise DataError(
            f"{self.name} holds {'a volume' if layout.depth != 1 else 'an image'} of "
            f"{_KINDS_IN_WORDS.get(layout.kind, 'unusual')} numbers of {bits} bits. {what} have whole numbers of 8, "
            f"16, 32 or 64 bits or floating-point numbers of 16, 32 or 64: {cure}."
        )

    def read(self) -> NDArray[Any]:
        """Decode it: [H, W, samples], as stored. Raises DataError for damaged bytes and what cannot be decoded."""
        number = self.layout.compression
        if number not in _COMPRESSIONS:
            kind = f"{LOSSY[number]}, " if number in LOSSY else ""
            raise DataError(
                f"{self.name} is compressed ({kind}TIFF's number {number}) in a way that is not read: save it with "
                "LZW, deflate, PackBits, Zstandard or without compression, as by gdal_translate -co COMPRESS=DEFLATE."
            )
        if not self.decodes or (not _HAS_IMAGECODECS and self.layout.predictor == _FLOAT_PREDICTOR):
            raise DataError(
                f"{self.name} is compressed (TIFF's number {number}) in a way that needs one more package: "
                "pip install 'segwright[decoders]', or save it with deflate or without compression."
            )
        with damage_as_data_error(f"{self.name} is truncated or damaged"):
            planes = [self._plane(plane) for plane in self.planes]
            return np.ascontiguousarray(planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2))

    def read_page(self, page: TiffPage) -> NDArray[Any]:
        """The numbers of another page, [H, W, samples]. Raises DataError for what cannot be decoded."""
        layout = TiffLayout.of(page)
        check_size(layout.height, layout.width, self.name, layout.samples, max(layout.bits))
        return replace(self, planes=(page,), layout=layout, stack=_ALONE).read()

    def count_pages(self) -> int:
        """How many images it holds, the first included, up to a thousand: pages, slices or times."""
        return self.stack.positions if self.stack.positions > 1 else 1 + sum(1 for _ in self.further_pages())

    def further_pages(self) -> Iterator[TiffPage]:
        """The pages after the first image, up to a thousand, but neither masks nor smaller copies of it."""
        height, width = self.layout.height, self.layout.width
        for index in range(len(self.planes), _MOST_PAGES if self.planes != (0,) else 0):
            page = _page(self.file, index)
            if page is None:
                return
            ratio = abs(int(page.imagelength) * width - int(page.imagewidth) * height)
            is_smaller = int(page.imagelength) < height and ratio <= max(height, width)  # as pyramids have it
            if not page.is_reduced and not page.is_mask and not is_smaller:
                yield page

    def _plane(self, plane: TiffPage | int) -> NDArray[Any]:
        shape = (self.layout.height, self.layout.width, self.layout.samples)
        if isinstance(plane, int):
            page = self.file.pages.first
            dtype = np.dtype(page.dtype).newbyteorder(self.file.byteorder)
            start = page.dataoffsets[0] + plane * math.prod(shape) * dtype.itemsize
            stored = np.frombuffer(self.data, dtype, math.prod(shape), start)
            return stored.reshape(shape).astype(page.dtype)
        _check_pieces(plane, self.layout, self.data)
        stored = plane.asarray(squeeze=False, maxworkers=1)  # [planes, 1, H, W, samples of a plane]
        return stored[:, 0].transpose(1, 2, 0, 3).reshape(shape)


def _planes(file: TiffFile, stack: Stack, layout: TiffLayout, data: bytes) -> tuple[TiffPage | int, ...]:
    """The channels of an image, or nothing where the file does not hold them alike; ImageJ writes large stacks without
    compression as planes that follow the only page.
    """
    planes: list[TiffPage | int] = []
    for index in stack.channels:
        page = _page(file, index)
        if page is not None and TiffLayout.of(page) == layout:
            planes.append(page)
        elif page is None and planes and _page(file, 1) is None and _holds(file, layout, index, data):
            planes.append(index)
        else:
            return ()
    return tuple(planes)


def _of_rows(file: TiffFile, row: TiffLayout, description: str, data: bytes) -> TiffLayout | None:
    """The layout of an image whose rows are pages, without compression; None for another one."""
    height, width, bands = parse_rows(description) or (0, 0, 0)
    whole = replace(row, height=height, width=width, samples=bands)
    is_row = (row.height, row.width, row.samples) == (width, bands, 1)
    return whole if height and is_row and _holds(file, whole, 0, data) else None


def _holds(file: TiffFile, layout: TiffLayout, index: int, data: bytes) -> bool:
    """Whether a plane without compression and without a page of its own lies inside the file."""
    size = layout.height * layout.width * layout.samples * max(layout.bits) // 8
    plain = layout.compression == _NOT_COMPRESSED and layout.has_readable_numbers
    return plain and not layout.is_planar and file.pages.first.dataoffsets[0] + (index + 1) * size <= len(data)


def _page(file: TiffFile, index: int) -> TiffPage | None:
    """A page by its number; None beyond the last one whose tags can be read."""
    try:
        page = file.pages[index]
        if not isinstance(page, TiffPage):
            return None
        TiffLayout.of(page)
    except MemoryError:
        raise
    except Exception:  # beyond the last, or damaged
        return None
    return page


def _check_pieces(page: TiffPage, layout: TiffLayout, data: bytes) -> None:
    """Raise ValueError where strips or tiles are missing (tifffile takes them for zeros), lie outside of the file or
    are far more than the image; without imagecodecs also where they inflate to more than is expected.
    """
    size = math.prod(page.chunks) * layout.bits[0] // 8
    expected = math.prod(page.chunked)
    if expected * math.prod(page.chunks) > 4 * layout.height * layout.width * layout.samples + 4 * _LARGEST_TILE:
        raise ValueError(f"{expected} strips or tiles of {size:,} bytes are far more than the image")
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(pieces) < expected:
        raise ValueError(f"{expected} strips or tiles are expected, {len(pieces)} are listed")
    for start, length in pieces[:expected]:
        if not 0 < start < start + length <= len(data):
            raise ValueError(f"a strip or tile of {length} bytes at {start} is not inside of its {len(data)} bytes")
        if layout.compression in _DEFLATE and not _HAS_IMAGECODECS:
            inflated = zlib.decompressobj().decompress(data[start : start + length], size + 1)
            if len(inflated) > size:
                raise ValueError(f"a strip or tile is larger than the {size} bytes that are expected")
