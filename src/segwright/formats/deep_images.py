"""Images that Pillow cannot hold: TIFFs of any number of bands of any numbers, and PNGs of 16 bits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from segwright.errors import DataError
from segwright.formats.no_data import list_numbers, no_data_in_image
from segwright.formats.pillow import load_pixels, open_image
from segwright.formats.pixels import Note, PixelFormat, Pixels, looks_like_a_band
from segwright.formats.tiff import PALETTE, WHITE_IS_ZERO, Tiff

_EXACT: Final = 1 << 24  # whole numbers up to here are exact in float32
_CURE: Final = "convert it, as by gdal_translate -ot Float32 IN.tif OUT.tif"


@dataclass(frozen=True, eq=False)
class DeepImage:
    """An opened image whose numbers stay as stored, or become float32 where they are not unsigned of 8 or 16 bits.

    `read` decodes all samples as stored, [H, W, samples], or raises DataError; the last is opacity, which is no band,
    where `has_opacity`. `no_data` stands for no data, if a tag says so. `count_pages` counts this image as well.
    """

    size: tuple[int, int]
    pixel_format: PixelFormat
    has_opacity: bool
    read: Callable[[], NDArray[Any]]
    no_data: float | None = None
    count_pages: Callable[[], int] = lambda: 1

    @property
    def band_counts(self) -> tuple[int, ...]:
        """How many bands can be had: all, all and opacity, or grey repeated as colour."""
        own = self.pixel_format.bands
        return (own, own + self.has_opacity, 3 if own == 1 else own)

    @cached_property
    def stored(self) -> NDArray[Any]:
        """Its numbers, [H, W, samples]."""
        return self.read()

    def load(self) -> None:
        """Decode all numbers; raises DataError where that fails."""
        self.stored  # noqa: B018

    def decode(self, bands: int) -> Pixels:
        """Decode it: [H, W, bands] of the format's type, NaN for no data."""
        pixels = self.stored[..., :bands]
        if self.pixel_format.dtype == np.float32:
            gaps = no_data_in_image(pixels, self.no_data)
            with np.errstate(over="ignore"):
                pixels = pixels.astype(np.float32)
            if gaps is not None:
                pixels[gaps] = np.nan
        repeated = bands > pixels.shape[2]
        return np.repeat(pixels[..., :1], bands, axis=2) if repeated else np.ascontiguousarray(pixels)

    def notes(self, bands: int) -> tuple[Note, ...]:
        """What `decode` drops or assumes."""
        notes = []
        if (pages := self.count_pages()) > 1:
            notes.append(Note("pages", pages))
        samples = self.stored.shape[2]
        if self.has_opacity and bands < samples and looks_like_a_band(self.stored[..., -1]):
            notes.append(Note("band", samples, str(samples)))
        if self.pixel_format.dtype != np.float32:
            return tuple(notes)
        shown = self.stored[..., : self.pixel_format.bands]
        gaps = no_data_in_image(shown, self.no_data)
        if gaps is not None:
            notes.append(Note("no-data", int(gaps.any(axis=2).sum()), list_numbers(shown, gaps)))
        if shown.dtype.kind in "iu" and shown.dtype.itemsize > 2:
            known = shown if gaps is None else np.where(gaps, 0, shown)
            if (largest := max(int(known.max()), -int(known.min()))) > _EXACT:
                notes.append(Note("rounded", detail=str(largest)))
        return tuple(notes)


def open_deep_png(image: ImageFile.ImageFile, data: bytes, name: str) -> DeepImage:
    """A PNG of 16 bits, which Pillow has opened: grey is 1 band, colour 3.

    Of colours Pillow gives the high byte of each number, and the low one where they are taken for stored low byte
    first. OpenCV gives both at once, but prints about every oddity of a file and overlooks damage.
    """
    has_colour, has_opacity = bool(data[25] & 2), bool(data[25] & 4)

    def unpacked(raw_mode: str) -> NDArray[Any]:
        image = open_image(data, name)
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        load_pixels(image, name)
        return np.array(image)

    def read() -> NDArray[np.uint16]:
        if not has_colour and not has_opacity:
            return unpacked("I;16B").astype(np.uint16)[..., None]
        if not has_colour:  # Pillow opens it as RGBA: four bytes a pixel, which are two numbers
            return unpacked("RGBA").view(">u2").astype(np.uint16)
        pixels = unpacked(f"{image.mode};16B").astype(np.uint16)
        pixels <<= 8
        pixels |= unpacked(f"{image.mode};16L")
        return pixels

    return DeepImage((image.height, image.width), PixelFormat(3 if has_colour else 1, 16), has_opacity, read)


def open_deep_tiff(tiff: Tiff) -> DeepImage:
    """A TIFF with all its bands. Raises DataError for numbers of no usual type."""
    layout = tiff.layout
    if layout.photometric == PALETTE:
        what = "indices into a palette, of an unusual kind"
        raise DataError(f"{tiff.name} holds {what}: save it as RGB, or without a palette.")
    tiff.check_numbers("Images", _CURE)
    numbers = layout.numbers or "uint"
    bits = 32 if numbers == "float" else layout.bits[0]

    def read() -> NDArray[Any]:
        stored = tiff.read()
        return ~stored if layout.photometric == WHITE_IS_ZERO and tiff.samples == 1 and numbers == "uint" else stored

    size, pixel_format = (
        (layout.height, layout.width),
        PixelFormat(tiff.samples - tiff.has_opacity, bits, False, numbers),
    )
    return DeepImage(size, pixel_format, tiff.has_opacity, read, tiff.no_data, tiff.count_pages)
