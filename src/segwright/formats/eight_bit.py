"""Pictures of up to 8 bits, which are RGB by nature, as Pillow reads them.

Knows Pillow's modes. Refuses to know files of other numbers or bands.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from segwright.formats.deep_images import looks_like_a_band
from segwright.formats.notes import Note
from segwright.formats.pillow import load_picture
from segwright.formats.pixel_form import RGB, PixelFormat
from segwright.formats.tiff import Tiff

EIGHT_BIT_MODES: Final = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")
)

_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
_NOT_TO_GREY: Final = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB"}
"""Modes that Pillow converts to some others only by way of these."""

_WITH_OPACITY: Final = ("LA", "La", "RGBA", "RGBa")


@dataclass(frozen=True)
class EightBitPicture:
    """A picture of up to 8 bits, opened by Pillow; `tiff` is its file where it is one."""

    picture: ImageFile.ImageFile
    name: str
    tiff: Tiff | None = None

    form: ClassVar[PixelFormat] = RGB
    no_data: ClassVar[None] = None

    @property
    def height(self) -> int:
        """Pixels, as stored."""
        return self.picture.height

    @property
    def width(self) -> int:
        """Pixels, as stored."""
        return self.picture.width

    def offers(self, bands: int) -> bool:
        """Whether it can be had with this number of bands: grey, colour, and colour with opacity if it has that."""
        return bands in (1, 3) or (bands == 4 and self.picture.has_transparency_data)

    def check(self) -> tuple[Note, ...]:
        """Decode it and forget it; what is to be said of it as RGB. DataError where that fails."""
        load_picture(self.picture, self.name)
        return self._notes(RGB.bands)

    def pixels(self, bands: int) -> NDArray[np.uint8]:
        """Decode it: uint8 [H, W, bands]."""
        load_picture(self.picture, self.name)
        picture: Image.Image = self.picture
        if picture.mode in _NOT_TO_GREY:
            picture = picture.convert(_NOT_TO_GREY[picture.mode])
        if bands != 4:
            # A palette's transparency would make convert() warn that it is lost, which is what is wanted here.
            picture.info.pop("transparency", None)
        pixels = np.array(picture.convert(_MODES[bands]))
        return pixels.reshape(*pixels.shape[:2], bands)

    def noted_pixels(self, bands: int) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """As `pixels`, with what is to be said of them."""
        return self.pixels(bands), self._notes(bands)

    def _notes(self, bands: int) -> tuple[Note, ...]:
        """What is dropped of the decoded picture."""
        notes = []
        pages = self.tiff.count_pages() if self.tiff else int(getattr(self.picture, "n_frames", 1))
        if pages > 1:
            notes.append(Note("pages", pages))
        if bands < 4 and self.picture.mode in _WITH_OPACITY:
            samples = len(self.picture.getbands())
            if looks_like_a_band(np.asarray(self.picture.getchannel(samples - 1))):
                notes.append(Note("band", samples, "4"))
        return tuple(notes)
