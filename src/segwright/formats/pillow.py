"""Images by Pillow: kept to the five formats (and GIF for masks), and decoded to 8-bit grey, RGB or RGBA.

Source: PNG specification (third edition), section 11.2.1, byte 8 of IHDR; TIFF 6.0, tag 258 BitsPerSample.
"""

import io
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from segwright.errors import DataError
from segwright.formats.disguises import recognise, was_taken_for_text
from segwright.formats.exif import ORIENTATION_TAG, without_orientation
from segwright.formats.file_types import Container, check_size, damage_as_data_error, sniff
from segwright.formats.pixels import RGB, Note, PixelFormat, looks_like_a_band
from segwright.formats.png import without_texts
from segwright.formats.tiff import Tiff

# Pillow's classes rather than Image.open: no other format can slip in, nothing is imported on first use in a
# thread, and images between half of the limit and the limit raise no warning.
_READERS: Final[dict[Container, type[ImageFile.ImageFile]]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_SAFE: Final = {"TIFF": without_orientation, "PNG": without_texts}
_FORMATS: Final = "JPEG, PNG, TIFF, BMP or WebP image"
_TIFF_BITS_PER_SAMPLE: Final = 258

_8_BIT_MODES: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")
_WITH_OPACITY: Final = ("LA", "La", "RGBA", "RGBa")
_CONVERTED_FIRST: Final = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}  # which Pillow does not convert to grey
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


def open_image(data: bytes, name: str, max_pixels: int | None = None) -> ImageFile.ImageFile:
    """Open one image without decoding its pixels, which will be as stored, whatever orientation is noted. Raises
    DataError for none of the five formats and for a damaged header, TooLargeError as `check_size` does.
    """
    container = sniff(data)
    if container is None or (container == "BMP" and was_taken_for_text(data)):
        found = recognise(data)
        what = f"{found.what}: {found.cure}" if found else f"not a {_FORMATS}, whatever its name says"
        raise DataError(f"{name} is {what if data else 'empty'}.")
    safe = _SAFE[container](data) if container in _SAFE else data
    what = f"{name} is a {container} file that is damaged or of an unusual kind, such as more than four bands"
    with damage_as_data_error(what):
        image = _READERS[container](io.BytesIO(safe))
        if container == "TIFF":  # Pillow would look for an orientation in the XMP data, too, and transpose the pixels
            image.getexif()[ORIENTATION_TAG] = 1
    check_size(image.height, image.width, name, max_pixels=max_pixels)
    return image


def load_pixels(image: ImageFile.ImageFile, name: str) -> None:
    """Decode all pixels of an opened image in place; DataError when the file is truncated or damaged."""
    with damage_as_data_error(f"{name} is truncated or damaged"):
        image.load()


def stored_bits(image: ImageFile.ImageFile, data: bytes) -> int:
    """Bits per channel as the file stores them, which Pillow's mode hides (16-bit RGB opens as 8-bit "RGB")."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        return data[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))
    return 8


def read_gif(data: bytes, name: str) -> Image.Image:
    """The decoded image in a GIF: of mode L where its whole palette is grey, as GIF has no grey of its own, else P.
    Raises DataError for a damaged file and one of several images, TooLargeError as `check_size` does.
    """
    with damage_as_data_error(f"{name} is a GIF file that is damaged or of an unusual kind"):
        image = GifImagePlugin.GifImageFile(io.BytesIO(data))
        check_size(image.height, image.width, name)
        if image.is_animated:
            raise DataError(f"{name} is a GIF of several images: save the one that counts as PNG.")
        image.load()
        palette = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    if image.mode != "P" or (palette != palette[:, :1]).any():
        return image
    image.info.pop("transparency", None)
    return image.convert("L")


@dataclass(frozen=True, eq=False)
class PillowImage:
    """An opened image of up to 8 bits, which is RGB by nature; `tiff` is its file where it is one."""

    image: ImageFile.ImageFile
    name: str
    tiff: Tiff | None = None

    pixel_format: ClassVar[PixelFormat] = RGB
    no_data: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.image.mode not in _8_BIT_MODES:
            unusual = f"an unusual pixel format (Pillow's mode {self.image.mode})"
            raise DataError(f"{self.name} has {unusual}: convert it to 8-bit RGB.")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as stored."""
        return self.image.height, self.image.width

    @property
    def band_counts(self) -> tuple[int, ...]:
        """How many bands can be had: grey, colour, and colour with opacity if it has that."""
        return (1, 3, 4) if self.image.has_transparency_data else (1, 3)

    def load(self) -> None:
        """Decode all pixels, or raise DataError."""
        load_pixels(self.image, self.name)

    def decode(self, bands: int) -> NDArray[np.uint8]:
        """Decode it: uint8 [H, W, bands]."""
        self.load()
        image: Image.Image = self.image
        if image.mode in _CONVERTED_FIRST:
            image = image.convert(_CONVERTED_FIRST[image.mode])
        # A palette's transparency would make convert() warn that it is lost, which is what is wanted here.
        transparency = image.info.pop("transparency", None) if bands != 4 else None
        pixels = np.array(image if image.mode == _MODES[bands] else image.convert(_MODES[bands]))
        if transparency is not None:
            image.info["transparency"] = transparency
        return pixels.reshape(*pixels.shape[:2], bands)

    def notes(self, bands: int) -> tuple[Note, ...]:
        """What `decode` drops."""
        self.load()
        notes = []
        pages = self.tiff.count_pages() if self.tiff else int(getattr(self.image, "n_frames", 1))
        if pages > 1:
            notes.append(Note("pages", pages))
        if bands < 4 and self.image.mode in _WITH_OPACITY:
            samples = len(self.image.getbands())
            if looks_like_a_band(np.asarray(self.image.getchannel(samples - 1))):
                notes.append(Note("band", samples, "4"))
        return tuple(notes)
