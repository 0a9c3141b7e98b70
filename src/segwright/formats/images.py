"""Encoded images: one object a file, whose header is parsed once.

Every 8-bit image is RGB by nature: grey, palette and CMYK become RGB, transparency is dropped. Other numbers and
further bands stay as they are (`deep_images`): an image without the requested format is refused, never squeezed. EXIF
orientation is applied on request only: masks carry none, and a pair has to stay aligned.
"""

import io
from functools import cached_property
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.deep_images import DeepImage, open_deep_png, open_deep_tiff
from segwright.formats.disguises import has_changed_line_ends
from segwright.formats.exif import ORIENTATION_TAG, exif_orientation, transpose, transposed_size
from segwright.formats.file_types import check_size, damage_as_data_error, sniff
from segwright.formats.pillow import PillowImage, open_image, stored_bits
from segwright.formats.pixels import RGB, Note, PixelFormat, Pixels
from segwright.formats.png import encode_plain_png
from segwright.formats.tiff import Tiff

IMAGE_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jfif", ".jpe", ".jif", ".pjpeg", ".pjp"),  # what browsers and Windows call JPEG files
)
"""Endings, in lower case, of the files that are looked for as images; their bytes decide what they are."""

_JPEG_COLOURS: Final = {1: "GRAY", 3: "RGB"}
_SCAN: Final = 0xDAFF  # the marker before a scan, FF DA
_MOST_SCANS: Final = 500  # of a progressive JPEG; encoders make about ten, and each passes over the whole image
_DAMAGE: Final = ("Corrupt JPEG data", "Premature end of JPEG")
_MODES_IN_TIFF: Final = {"La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "HSV": "RGB"}
_JPEG_BLOCK: Final = 8  # pixels; also the largest divisor


class EncodedImage:
    """An image as bytes, with what its header says. `name` is for messages only. `height` and `width` are as stored.
    Raises DataError for bytes that are no image and for a damaged header, TooLargeError for more than `max_pixels`, by
    default for more than fit into memory.
    """

    def __init__(self, data: bytes, name: str, max_pixels: int | None = None) -> None:
        self.data, self.name, self.container, self.max_pixels = data, name, sniff(data), max_pixels
        size = _jpeg_size(data, name, max_pixels) if self.container == "JPEG" else None
        self._by_libjpeg = size is not None
        self.height, self.width = size or self._decoder.size

    @property
    def pixel_format(self) -> PixelFormat:
        """The natural format, without EXIF orientation; `decode` in it gives all bands but opacity."""
        return RGB if self._by_libjpeg else self._decoder.pixel_format

    @property
    def no_data(self) -> float | None:
        """The number that stands for no data, if a tag of a TIFF of bands says so."""
        return None if self._by_libjpeg else self._decoder.no_data

    @cached_property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8; 1 also where none is noted."""
        return exif_orientation(self.data, self.container)

    def size(self, exif_transposed: bool = False) -> tuple[int, int]:
        """Height and width, as stored or after `orientation` is applied."""
        return transposed_size(self.height, self.width, self.orientation if exif_transposed else 1)

    def verify(self) -> None:
        """Raise DataError where some pixels cannot be decoded. A JPEG is decoded at an eighth of its size and without
        colour, which passes over every byte yet takes two thirds of the time.
        """
        if not self._by_libjpeg or self._decode_jpeg("GRAY", 1, 1) is None:
            self._decoder.load()

    def decode(self, pixel_format: PixelFormat = RGB) -> Pixels:
        """The pixels: [H, W, bands] of `pixel_format.dtype`; NaN stands for no data.

        8-bit images are given as RGB, as grey (for JPEG the stored luma), or as RGBA where they have transparency, all
        others with all their bands, with opacity as one band more, or grey repeated for 3 bands. Raises DataError for a
        damaged image, and for any other format.
        """
        return self.decode_reduced(pixel_format, largest=1)[0]

    def decode_reduced(self, pixel_format: PixelFormat, largest: int, *, spare: bool = False) -> tuple[Pixels, int]:
        """As `decode`, but a JPEG at 1/f of its size: pixels [ceil(H / f), ceil(W / f), bands], and f.

        f is the largest of 1, 2, 4, 8 up to `largest`. It is 1 for all else: other formats, JPEGs that libjpeg-turbo
        does not turn into RGB or grey (CMYK, or odd), and those of less than 8 pixels a side. An image to be transposed
        is only reduced by what divides both its sides, because that would move a last, narrower block to the front.

        `spare` allows RGB a fourth band without meaning, where that costs nothing: OpenCV works faster on four.
        """
        natural = self.pixel_format
        band_counts = _JPEG_COLOURS if self._by_libjpeg else self._decoder.band_counts
        alike = (natural.numbers, natural.bit_depth) == (pixel_format.numbers, pixel_format.bit_depth)
        if not alike or pixel_format.bands not in band_counts:
            cure = "All images of a model are alike: convert this file, or train on images like it."
            raise DataError(f"{self.name} has {natural} instead of {pixel_format}. {cure}")
        orientation = self.orientation if pixel_format.exif_transposed else 1
        pixels: Pixels | None = None
        if self._by_libjpeg:
            factor = self._divisor(largest, exactly=orientation > 1)
            colours = _JPEG_COLOURS[pixel_format.bands]
            height, width = (-(-length // factor) for length in (self.height, self.width))
            pixels = self._decode_jpeg("RGBX" if spare and colours == "RGB" else colours, height, width)
        if pixels is None:
            pixels, factor = self._decoder.decode(pixel_format.bands), 1
        return transpose(pixels, orientation), factor

    def notes(self, bands: int) -> tuple[Note, ...]:
        """What `decode` drops or assumes for so many bands; decodes the image unless that has been done."""
        return () if self._by_libjpeg else self._decoder.notes(bands)

    @cached_property
    def _decoder(self) -> PillowImage | DeepImage:
        """Decodes all but the JPEGs that libjpeg-turbo takes."""
        tiff = Tiff.parse(self.data, self.name, self.max_pixels) if self.container == "TIFF" else None
        if tiff is not None and not tiff.is_ordinary:
            return open_deep_tiff(tiff)
        image = open_image(self.data, self.name, self.max_pixels)
        if stored_bits(image, self.data) > 8:
            return open_deep_png(image, self.data, self.name)
        return PillowImage(image, self.name, tiff)

    def _divisor(self, largest: int, exactly: bool) -> int:
        """The largest of 1, 2, 4, 8 up to `largest`, that divides both sides where `exactly`."""
        if max(self.height, self.width) < _JPEG_BLOCK:  # different scales would give the same size
            return 1
        factor = 1 << min(max(largest, 1), _JPEG_BLOCK).bit_length() - 1
        while exactly and (self.height % factor or self.width % factor):
            factor //= 2
        return factor

    def _decode_jpeg(self, colours: str, min_height: int, min_width: int) -> NDArray[np.uint8] | None:
        """Pixels by libjpeg-turbo, at the smallest of its scales, eighths, that gives at least this size; None where
        Pillow has to judge. Raises DataError for damaged pixels, over which Pillow would pass in silence.
        """
        try:
            pixels = simplejpeg.decode_jpeg(self.data, colorspace=colours, min_height=min_height, min_width=min_width)
        except ValueError as error:
            complaint = str(error)
            if complaint.startswith(_DAMAGE) and "extraneous bytes" not in complaint:
                raise DataError(f"{self.name} is truncated or damaged: {complaint}.") from error
            return None
        return np.asarray(pixels)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 92) -> bytes:
    """JPEG bytes of uint8 [H, W, 3] RGB pixels."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorsubsampling="444"))


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 pixels: [H, W, 3] are RGB, [H, W] one channel, such as class numbers."""
    if image.ndim == 2:
        return encode_plain_png(image)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def encode_tiff(image: Image.Image) -> bytes:
    """An image of Pillow's as an uncompressed TIFF file, so that it is read as files are: the same pixels, of the mode
    that they have or, where TIFF has none like it, of the nearest; and their EXIF orientation.
    """
    with damage_as_data_error("the image is truncated or damaged"):
        image.load()
    orientation, exif = image.getexif().get(ORIENTATION_TAG), Image.Exif()
    if orientation in range(1, 9):
        exif[ORIENTATION_TAG] = orientation
    mode = "RGBA" if "transparency" in image.info else _MODES_IN_TIFF.get(image.mode, image.mode)
    stream = io.BytesIO()
    (image if image.mode == mode else image.convert(mode)).save(stream, "TIFF", exif=exif, compression="raw")
    return stream.getvalue()


def _jpeg_size(data: bytes, name: str, max_pixels: int | None) -> tuple[int, int] | None:
    """Height and width, or None for what libjpeg-turbo refuses or does not turn into RGB (CMYK)."""
    if has_changed_line_ends(data):
        what = "of which each line feed has got a carriage return, as in a transfer as text"
        raise DataError(f"{name} is a JPEG file {what}: copy it anew as binary data.")
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    check_size(height, width, name, max_pixels=max_pixels)
    # how often the marker of a scan occurs, at even and at odd offsets: a fifth of the time of bytes.count
    pairs = (np.frombuffer(data, "<u2", (len(data) - first) // 2, first) for first in (0, 1))
    if sum(np.count_nonzero(each == _SCAN) for each in pairs) > _MOST_SCANS:
        what = f"a JPEG file of more than {_MOST_SCANS} scans, which takes hours to decode"
        raise DataError(f"{name} is {what}: save it anew.")
    return None if colours in ("CMYK", "YCCK") else (height, width)
