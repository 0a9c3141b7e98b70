"""What Pillow cannot hold: TIFFs of any number of bands of 8 or 16 bits, and PNGs of 16 bits.

Knows how these files lay out their numbers, and decodes them without losing bits or bands. Refuses to know which of
them a caller wants (`images` does), and leaves TIFFs that are ordinary pictures of 8 bits to Pillow.

Memory is bounded: a picture has at most MAX_PIXELS pixels and 3 * MAX_PIXELS numbers in all its bands (`signatures`),
which is checked before anything is decoded, and a piece of it (strip or tile) is not larger either.

Source: TIFF 6.0; PNG specification (third edition).
"""

import importlib.util
import io
import logging
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from segwright.errors import DataError
from segwright.formats.containers import load_picture, open_picture
from segwright.formats.signatures import MAX_PIXELS, check_size

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

# Odd tags are no news to users: what cannot be read becomes an error anyway.
logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)

_COLOURS: Final = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Samples of TIFF's kinds of colour: white or black is zero, RGB, palette, CMYK, YCbCr, Lab."""

_WHITE_IS_ZERO: Final = 0
_PALETTE: Final = 3
_OPACITY: Final = frozenset(((1,), (2,)))  # ExtraSamples: associated or unassociated alpha and nothing else
_SAMPLE_KINDS: Final = {
    1: "unsigned whole", 2: "signed whole", 3: "floating-point", 5: "complex", 6: "complex",
}  # fmt: skip

_DEFLATE: Final = frozenset((8, 32946))
_LARGEST_TILE: Final = 1 << 24  # numbers in a tile of a picture that is smaller than it
_PLAIN_COMPRESSIONS: Final = frozenset((1, *_DEFLATE))
_COMPRESSIONS: Final = frozenset((*_PLAIN_COMPRESSIONS, 5, 32773, 50000))  # LZW, PackBits, Zstandard
_HAS_IMAGECODECS: Final = importlib.util.find_spec("imagecodecs") is not None


@dataclass(frozen=True)
class BandPicture:
    """A picture whose numbers are kept as they are stored.

    `bands` does not count opacity, which `read` returns after them where `has_opacity`. `read` decodes: uint8 or
    uint16 [H, W, samples]; it raises DataError for a damaged file.
    """

    height: int
    width: int
    bands: int
    bit_depth: int
    has_opacity: bool
    read: Callable[[], NDArray[Any]]

    def offers(self, bands: int) -> bool:
        """Whether this number of bands can be had: all, all and opacity, or grey repeated as colour."""
        return bands in (self.bands, self.bands + self.has_opacity) or (self.bands, bands) == (1, 3)

    def check(self) -> None:
        """Decode it and forget it; DataError where that fails."""
        self.read()

    def pixels(self, bands: int) -> Pixels:
        """Decode it: uint8 or uint16 [H, W, bands]."""
        stored = self.read()
        if bands > stored.shape[2]:
            return np.repeat(stored[..., :1], bands, axis=2)
        return np.ascontiguousarray(stored[..., :bands])


def open_deep_png(data: bytes, name: str) -> BandPicture:
    """Open a PNG of 16 bits: grey is 1 band, colour 3."""
    picture = open_picture(data, name)
    has_colour, has_opacity = bool(data[25] & 2), bool(data[25] & 4)

    def read() -> NDArray[np.uint16]:
        if not has_colour and not has_opacity:
            return _unpacked(data, name, "I;16B").astype(np.uint16)[..., None]
        if not has_colour:  # Pillow opens it as RGBA: four bytes a pixel, which are two numbers
            return _unpacked(data, name, "RGBA").view(">u2").astype(np.uint16)
        pixels = _unpacked(data, name, f"{picture.mode};16B").astype(np.uint16)
        pixels <<= 8
        pixels |= _unpacked(data, name, f"{picture.mode};16L")
        return pixels

    return BandPicture(picture.height, picture.width, 3 if has_colour else 1, 16, has_opacity, read)


def open_tiff(data: bytes, name: str) -> BandPicture | None:
    """Open the first page of a TIFF, or return None where it is an ordinary picture that Pillow reads.

    Ordinary are grey, palette, RGB, CMYK, YCbCr and Lab of up to 8 bits without further samples but opacity. All other
    files keep all their bands; opacity is what ExtraSamples calls so, if nothing else is extra. Raises DataError for
    damaged files and for numbers other than unsigned ones of 8 or 16 bits, TooLargeError for more than MAX_PIXELS.
    """
    try:
        page = TiffFile(io.BytesIO(data)).pages.first
        layout = _Layout.of(page)
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # a stranger's bytes: what a decoder raises on them is not limited to OSError
        raise DataError(f"{name} is a TIFF file that is damaged or of an unusual kind: {error}.") from error
    check_size(layout.height, layout.width, name, layout.samples)
    layout.check_numbers(name)
    if layout.is_ordinary:
        return None
    return BandPicture(
        layout.height,
        layout.width,
        layout.samples - layout.has_opacity,
        layout.bits[0],
        layout.has_opacity,
        lambda: _read_tiff(page, layout, data, name),
    )


@dataclass(frozen=True)
class _Layout:
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

    @classmethod
    def of(cls, page: TiffPage) -> "_Layout":
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
        )

    @property
    def has_opacity(self) -> bool:
        return self.extra in _OPACITY and self.samples == _COLOURS.get(self.photometric, 0) + 1

    @property
    def is_ordinary(self) -> bool:
        if self.is_planar and self.has_opacity:  # Pillow does not read all of these
            return False
        colours = self.samples - self.has_opacity
        return max(self.bits) <= 8 and colours == _COLOURS.get(self.photometric)

    def check_numbers(self, name: str) -> None:
        """Raise DataError for numbers that are no image's."""
        allowed = (1, 2, 4, 8) if self.is_ordinary else (8, 16)
        deep_palette = self.photometric == _PALETTE and max(self.bits) > 8
        if self.kind != 1 or len(self.bits) != 1 or self.bits[0] not in allowed or deep_palette or self.depth != 1:
            kind = _SAMPLE_KINDS.get(self.kind, "unusual")
            bits = " and ".join(str(number) for number in self.bits)
            what = "indices into a palette" if deep_palette else "a volume" if self.depth != 1 else "a picture"
            raise DataError(
                f"{name} holds {what} of {kind} numbers of {bits} bits. Images have unsigned whole numbers of 8 or 16 "
                "bits: convert it to one of these, for example scaled to 0 ... 65535."
            )


def _unpacked(data: bytes, name: str, raw_mode: str) -> NDArray[Any]:
    """What Pillow makes of a PNG's pixels when told that they are stored as `raw_mode`: [H, W] or [H, W, samples].

    Pillow keeps the high byte of each number of a colour PNG. Taken for one with the low byte first, the same pixels
    give the low byte. OpenCV would give both at once, but prints about every oddity of a file and overlooks damage.
    """
    picture = open_picture(data, name)
    picture.tile = [tile._replace(args=raw_mode) for tile in picture.tile]
    load_picture(picture, name)
    return np.array(picture)


def _read_tiff(page: TiffPage, layout: _Layout, data: bytes, name: str) -> NDArray[Any]:
    """Decode one page: uint8 or uint16 [H, W, samples]."""
    _check_compression(layout, name)
    try:
        _check_pieces(page, layout, data)
        stored = page.asarray(squeeze=False, maxworkers=1)  # [planes, 1, H, W, samples of a plane]
        pixels = stored[:, 0].transpose(1, 2, 0, 3).reshape(layout.height, layout.width, layout.samples)
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # as above
        raise DataError(f"{name} is truncated or damaged: {error}.") from error
    if layout.photometric == _WHITE_IS_ZERO and layout.samples == 1:
        pixels = ~pixels
    return np.ascontiguousarray(pixels)


def _check_compression(layout: _Layout, name: str) -> None:
    """Raise DataError for a compression that is not read, or not without imagecodecs."""
    if layout.compression in (_COMPRESSIONS if _HAS_IMAGECODECS else _PLAIN_COMPRESSIONS):
        return
    if layout.compression in _COMPRESSIONS:
        raise DataError(
            f"{name} is compressed (TIFF's number {layout.compression}) in a way that needs one more package: "
            "pip install 'segwright[decoders]', or save it with deflate or without compression."
        )
    raise DataError(
        f"{name} is compressed (TIFF's number {layout.compression}) in a way that is not read for bands like "
        "these: save it with LZW, deflate, PackBits, Zstandard or without compression."
    )


def _check_pieces(page: TiffPage, layout: _Layout, data: bytes) -> None:
    """Raise ValueError where strips or tiles are missing, lie outside of the file or are larger than any picture.

    tifffile fills what is missing with zeros. Its own inflating, used without imagecodecs, does not stop at the size
    that is expected.
    """
    size = math.prod(page.chunks) * layout.bits[0] // 8
    if math.prod(page.chunks) > 3 * MAX_PIXELS:
        raise ValueError(f"a strip or tile of {size:,} bytes is larger than any picture")
    expected = math.prod(page.chunked)
    if expected * math.prod(page.chunks) > 4 * layout.height * layout.width * layout.samples + 4 * _LARGEST_TILE:
        raise ValueError(f"{expected} strips or tiles of {size:,} bytes are far more than the picture")
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
