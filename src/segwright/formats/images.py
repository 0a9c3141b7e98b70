"""Pictures: bytes to pixels and back.

Knows how the usual formats become bands of numbers, how to find out cheaply whether a file is whole, and how to
decode a JPEG at a fraction of its size. Every 8-bit picture is RGB by nature: grey, palette and CMYK become RGB,
transparency is dropped. Other numbers and further bands stay as they are (`multiband`): what does not have the form
that is asked for is refused and never squeezed. What is dropped or assumed is noted (`notes`). The orientation noted by
a camera (EXIF) is applied on request only: masks carry none, and a pair has to stay aligned. Refuses to know masks.
"""

import io
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.deep_images import open_deep_png, open_tiff
from segwright.formats.disguises import has_changed_line_ends
from segwright.formats.eight_bit import EIGHT_BIT_MODES, EightBitPicture
from segwright.formats.exif import exif_orientation, transposed_size, turned
from segwright.formats.file_types import check_size, sniff
from segwright.formats.notes import Note
from segwright.formats.pillow import open_picture, stored_bits
from segwright.formats.pixel_form import RGB as RGB
from segwright.formats.pixel_form import PixelFormat as PixelFormat
from segwright.formats.pixel_form import Pixels as Pixels
from segwright.formats.tiff import Tiff

IMAGE_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jfif", ".jpe", ".jif", ".pjpeg", ".pjp"),  # what browsers and Windows call JPEG files
)
"""Endings, in lower case, of the files that are looked for as images; their bytes decide what they are."""

_JPEG_COLOURS: Final = {1: "GRAY", 3: "RGB"}
_SPARE: Final = {"RGB": "RGBX"}
_SCAN: Final = 0xDAFF  # the marker before a scan, FF DA
_MOST_SCANS: Final = 500  # of a progressive JPEG; encoders make about ten, and each passes over the whole picture
_DAMAGE: Final = ("Corrupt JPEG data", "Premature end of JPEG")
_JPEG_BLOCK: Final = 8  # pixels; also the largest divisor


@dataclass(frozen=True)
class ImageFacts:
    """What `verify_image` finds out: height and width, after rotation where that was asked for; the natural form of
    the file, with which `decode_image` gives just that size; and the orientation that is noted, 1 to 8, 1 also where
    none is.
    """

    height: int
    width: int
    form: PixelFormat
    orientation: int
    notes: tuple[Note, ...] = ()
    """What is dropped or assumed in the natural form."""
    no_data: float | None = None
    """The number that stands for no data, if a tag of a TIFF of bands says so."""


def decode_image(data: bytes, name: str, form: PixelFormat = RGB) -> Pixels:
    """Pixels of one picture: [H, W, bands] of `form.dtype`.

    8-bit pictures are given as RGB, as grey (Pillow's L; for JPEG the stored luma, which is the same but for
    rounding), or as RGBA where they have transparency. Pictures of 16 bits or of further bands have all their bands;
    opacity comes as one band more where asked for, and grey of 16 bits is repeated for 3 bands. `name` is for messages
    only. In numbers that become float32, NaN stands for no data. Raises DataError for bytes that are no picture, for
    damaged ones, and for any other form.
    """
    return decode_reduced(data, name, form, largest=1)[0]


def decode_noted_image(data: bytes, name: str, form: PixelFormat) -> tuple[Pixels, tuple[Note, ...]]:
    """As `decode_image`, with what is dropped or assumed."""
    if sniff(data) == "JPEG":
        return decode_image(data, name, form), ()
    pixels, notes = _opened_as(data, name, form).noted_pixels(form.bands)
    return turned(pixels, exif_orientation(data, sniff(data)) if form.upright else 1), notes


def decode_reduced(
    data: bytes, name: str, form: PixelFormat, largest: int, *, spare: bool = False
) -> tuple[Pixels, int]:
    """As `decode_image`, but a JPEG at 1/f of its size: pixels [ceil(H / f), ceil(W / f), bands], and f.

    f is the largest of 1, 2, 4, 8 up to `largest`. It is 1 for all else: other formats, JPEGs that libjpeg-turbo does
    not turn into RGB or grey (CMYK, or odd), and those of less than 8 pixels a side. A picture that has to be turned is
    only reduced by what divides both its sides, because turning would move a last, narrower block to the front.

    `spare` allows RGB a fourth band without meaning, where that costs nothing: OpenCV works faster on four.
    """
    container = sniff(data)
    orientation = exif_orientation(data, container) if form.upright else 1
    decoded = None
    if container == "JPEG":
        decoded = _decode_jpeg(data, name, form, largest, whole=orientation > 1, spare=spare)
    pixels, factor = decoded or (_opened_as(data, name, form).pixels(form.bands), 1)
    return turned(pixels, orientation), factor


def verify_image(data: bytes, name: str, upright: bool = False) -> ImageFacts:
    """Size, form and orientation of one picture, after making sure that all of it can be decoded.

    JPEG is read at an eighth of its size and without colour, which passes over every byte yet takes two thirds of
    the time. `upright` exchanges the sides where a noted orientation asks for it. Raises DataError for everything
    that `decode_image` refuses in any form.
    """
    container = sniff(data)
    orientation = exif_orientation(data, container)
    size = _verify_jpeg(data, name) if container == "JPEG" else None
    form = PixelFormat(upright=upright)
    notes, no_data = tuple[Note, ...](), None
    if size is None:
        picture = _open(data, name)
        notes, no_data = picture.check(), picture.no_data
        size = picture.height, picture.width
        form = replace(picture.form, upright=upright)
    height, width = transposed_size(*size, orientation) if upright else size
    return ImageFacts(height, width, form, orientation, notes, no_data)


def image_size(data: bytes, name: str, upright: bool = False) -> tuple[int, int]:
    """Height and width of one picture from its header alone; DataError for what is none.

    `upright` exchanges them where a noted orientation asks for it.
    """
    container = sniff(data)
    size = _jpeg_size(data, name) if container == "JPEG" else None
    if size is None:
        picture = _open(data, name)
        size = picture.height, picture.width
    return transposed_size(*size, exif_orientation(data, container)) if upright else size


def encode_jpeg(image: NDArray[np.uint8], quality: int = 92) -> bytes:
    """JPEG bytes of uint8 [H, W, 3] RGB pixels."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorsubsampling="444"))


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 pixels: [H, W, 3] are RGB, [H, W] one channel, such as class numbers."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


class _Picture(Protocol):
    """An opened picture in its natural form."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def form(self) -> PixelFormat: ...
    @property
    def no_data(self) -> float | None: ...
    def offers(self, bands: int) -> bool: ...
    def check(self) -> tuple[Note, ...]: ...
    def pixels(self, bands: int) -> Pixels: ...
    def noted_pixels(self, bands: int) -> tuple[Pixels, tuple[Note, ...]]: ...


def _open(data: bytes, name: str) -> _Picture:
    """Read the header; DataError for what is no picture."""
    tiff = Tiff.parse(data, name) if sniff(data) == "TIFF" else None
    if tiff is not None and not tiff.is_ordinary:
        return open_tiff(tiff)
    picture = open_picture(data, name)
    if stored_bits(picture, data) > 8:
        return open_deep_png(data, name)
    if picture.mode not in EIGHT_BIT_MODES:
        raise DataError(f"{name} has an unusual pixel format (Pillow's mode {picture.mode}): convert it to 8-bit RGB.")
    return EightBitPicture(picture, name, tiff)


def _opened_as(data: bytes, name: str, form: PixelFormat) -> _Picture:
    """Open whatever is no JPEG for libjpeg-turbo; DataError where it cannot have the form."""
    picture = _open(data, name)
    natural = picture.form
    if (natural.numbers, natural.bit_depth) != (form.numbers, form.bit_depth) or not picture.offers(form.bands):
        raise DataError(
            f"{name} has {natural} instead of {form}. All images of a model are alike: convert this file, or train on "
            "images like it."
        )
    return picture


def _decode_jpeg(
    data: bytes, name: str, form: PixelFormat, largest: int, *, whole: bool, spare: bool
) -> tuple[NDArray[np.uint8], int] | None:
    """Pixels by libjpeg-turbo and the divisor of their size, or None where Pillow has to judge.

    `whole` allows only divisors that leave no rest; `spare` makes RGB four bands.
    """
    size = _jpeg_size(data, name)
    if size is None or form.dtype != np.uint8 or form.bands not in _JPEG_COLOURS:
        return None
    factor = _divisor(size, largest, whole)
    height, width = (-(-split // factor) for split in size)
    colours = _JPEG_COLOURS[form.bands]
    if spare:
        colours = _SPARE.get(colours, colours)
    try:
        # libjpeg-turbo takes the smallest of its scales, eighths, that gives at least this size.
        pixels = simplejpeg.decode_jpeg(data, colorspace=colours, min_height=height, min_width=width)
    except ValueError as error:
        _check_damaged(error, name)
        return None
    return np.asarray(pixels), factor


def _divisor(size: tuple[int, int], largest: int, whole: bool) -> int:
    """The largest of 1, 2, 4, 8 up to `largest`; 1 where different scales would give the same size."""
    if max(size) < _JPEG_BLOCK:
        return 1
    factor = 1 << min(max(largest, 1), _JPEG_BLOCK).bit_length() - 1
    while whole and any(split % factor for split in size):
        factor //= 2
    return factor


def _verify_jpeg(data: bytes, name: str) -> tuple[int, int] | None:
    """Size of a JPEG that libjpeg-turbo reads without complaint, or None where Pillow has to judge."""
    size = _jpeg_size(data, name)
    if size is None:
        return None
    try:
        simplejpeg.decode_jpeg(data, colorspace="GRAY", min_height=1, min_width=1)
    except ValueError as error:
        _check_damaged(error, name)
        return None
    return size


def _check_damaged(error: ValueError, name: str) -> None:
    """Raise DataError where libjpeg-turbo found pixels damaged, over which Pillow would pass in silence."""
    complaint = str(error)
    if complaint.startswith(_DAMAGE) and "extraneous bytes" not in complaint:
        raise DataError(f"{name} is truncated or damaged: {complaint}.") from error


def _jpeg_size(data: bytes, name: str) -> tuple[int, int] | None:
    """Height and width, or None for what libjpeg-turbo refuses or does not turn into RGB (CMYK)."""
    if has_changed_line_ends(data):
        raise DataError(
            f"{name} is a JPEG file of which each line feed has got a carriage return, as in a transfer as text: copy "
            "it anew as binary data."
        )
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    check_size(height, width, name)
    if _scans(data) > _MOST_SCANS:
        raise DataError(
            f"{name} is a JPEG file of more than {_MOST_SCANS} scans, which takes hours to decode: save it anew."
        )
    return None if colours in ("CMYK", "YCCK") else (height, width)


def _scans(data: bytes) -> int:
    """How often the marker of a scan occurs, at even and at odd places: a fifth of the time of bytes.count."""
    pairs = (np.frombuffer(data, "<u2", (len(data) - first) // 2, first) for first in (0, 1))
    return sum(int(np.count_nonzero(each == _SCAN)) for each in pairs)
