"""What Pillow cannot hold: TIFFs of any number of bands of any numbers, and PNGs of 16 bits.

Knows how their numbers become pixels without losing bits or bands. Refuses to know which of them a caller wants
(`images` does), and leaves TIFFs that are ordinary pictures of 8 bits to Pillow.

Source: TIFF 6.0; PNG specification (third edition).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.no_data import listed_numbers, no_data_in_image
from segwright.formats.notes import Note
from segwright.formats.pillow import load_picture, open_picture
from segwright.formats.pixel_form import PixelFormat, Pixels
from segwright.formats.tiff import PALETTE, WHITE_IS_ZERO, Tiff

_EXACT: Final = 1 << 24  # whole numbers up to here are exact in float32
_OPACITY_LEVELS: Final = 16
_LOOKED_AT: Final = 1 << 16  # pixels, about
_CURE: Final = "convert it, as by gdal_translate -ot Float32 IN.tif OUT.tif"


@dataclass(frozen=True)
class BandPicture:
    """A picture whose numbers are kept as they are stored, or become float32 where they are not unsigned of 8 or 16
    bits.

    `form.bands` does not count opacity, which `read` returns after them where `has_opacity`. `read` decodes: [H, W,
    samples] as stored; it raises DataError for a damaged file. `no_data` is the number that stands for none, if a tag
    says so. `count_pages` counts the pictures in the file, this one included.
    """

    height: int
    width: int
    form: PixelFormat
    has_opacity: bool
    read: Callable[[], NDArray[Any]]
    no_data: float | None = None
    count_pages: Callable[[], int] = lambda: 1

    def offers(self, bands: int) -> bool:
        """Whether this number of bands can be had: all, all and opacity, or grey repeated as colour."""
        own = self.form.bands
        return bands in (own, own + self.has_opacity) or (own, bands) == (1, 3)

    def check(self) -> tuple[Note, ...]:
        """Decode it and forget it; what is to be said of it in its natural form. DataError where that fails."""
        return self._notes(self.read(), self.form.bands)

    def pixels(self, bands: int) -> Pixels:
        """Decode it: [H, W, bands] of the form's type, NaN for no data."""
        return self._fitted(self.read(), bands)

    def noted_pixels(self, bands: int) -> tuple[Pixels, tuple[Note, ...]]:
        """As `pixels`, with what is to be said of them."""
        stored = self.read()
        return self._fitted(stored, bands), self._notes(stored, bands)

    def _fitted(self, stored: NDArray[Any], bands: int) -> Pixels:
        pixels = stored[..., :bands]
        if self.form.dtype == np.float32:
            gaps = no_data_in_image(pixels, self.no_data)
            with np.errstate(over="ignore"):
                pixels = pixels.astype(np.float32)
            if gaps is not None:
                pixels[gaps] = np.nan
        if bands > pixels.shape[2]:
            return np.repeat(pixels[..., :1], bands, axis=2)
        return np.ascontiguousarray(pixels)

    def _notes(self, stored: NDArray[Any], bands: int) -> tuple[Note, ...]:
        notes = []
        if (pages := self.count_pages()) > 1:
            notes.append(Note("pages", pages))
        if self.has_opacity and bands < stored.shape[2] and looks_like_a_band(stored[..., -1]):
            notes.append(Note("band", stored.shape[2], str(stored.shape[2])))
        if self.form.dtype != np.float32:
            return tuple(notes)
        shown = stored[..., : self.form.bands]
        gaps = no_data_in_image(shown, self.no_data)
        if gaps is not None:
            notes.append(Note("no-data", int(gaps.any(axis=2).sum()), listed_numbers(shown, gaps)))
        if shown.dtype.kind in "iu" and shown.dtype.itemsize > 2:
            known = shown if gaps is None else np.where(gaps, 0, shown)
            if (largest := max(int(known.max()), -int(known.min()))) > _EXACT:
                notes.append(Note("rounded", detail=str(largest)))
        return tuple(notes)


def looks_like_a_band(opacity: NDArray[Any]) -> bool:
    """Whether a channel that is called opacity, [H, W], shows a picture: many values between nothing and full."""
    step = max(math.isqrt(opacity.size // _LOOKED_AT), 1)
    opacity = opacity[::step, ::step]
    full = np.iinfo(opacity.dtype).max if opacity.dtype.kind in "iu" else 1
    between = opacity[(opacity != 0) & (opacity != full)]
    return 2 * between.size > opacity.size and len(np.unique(between)) >= _OPACITY_LEVELS


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

    return BandPicture(picture.height, picture.width, PixelFormat(3 if has_colour else 1, 16), has_opacity, read)


def open_tiff(tiff: Tiff) -> BandPicture:
    """A TIFF with all its bands: those of its first page, or of all channels of its first position where a microscopy
    program says that pages are channels. Opacity is what ExtraSamples calls so, if nothing else is extra.

    Raises DataError for numbers of no usual type.
    """
    layout = tiff.layout
    if layout.photometric == PALETTE:
        raise DataError(
            f"{tiff.name} holds indices into a palette, of an unusual kind: save it as RGB, or without a palette."
        )
    tiff.check_numbers("Images", _CURE)
    numbers = layout.numbers or "uint"
    bits = 32 if numbers == "float" else layout.bits[0]

    def read() -> NDArray[Any]:
        stored = tiff.read()
        return ~stored if layout.photometric == WHITE_IS_ZERO and tiff.samples == 1 and numbers == "uint" else stored

    return BandPicture(
        layout.height,
        layout.width,
        PixelFormat(tiff.samples - tiff.has_opacity, bits, numbers=numbers),
        tiff.has_opacity,
        read,
        tiff.no_data,
        tiff.count_pages,
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
