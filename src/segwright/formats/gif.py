"""GIF files as masks: palette indices as in palette PNGs, or grey values.

Knows Pillow's reader, kept to files of one picture. GIF has no grey of its own: who saves grey gets a palette of the
greys that occur, whose indices mean nothing.
"""

import io
from typing import Final

import numpy as np
from PIL import GifImagePlugin, Image

from segwright.errors import DataError
from segwright.formats.damage import damage_as_data_error
from segwright.formats.file_types import check_size

_SIGNATURES: Final = (b"GIF87a", b"GIF89a")


def is_gif(data: bytes) -> bool:
    """Whether the first bytes of a file announce a GIF."""
    return data.startswith(_SIGNATURES)


def read_gif(data: bytes, name: str) -> Image.Image:
    """The decoded picture in a GIF: of mode L where its whole palette is grey, else of mode P.

    Raises DataError for a damaged file and one of several pictures, TooLargeError for more than MAX_PIXELS.
    """
    with damage_as_data_error(f"{name} is a GIF file that is damaged or of an unusual kind"):
        picture = GifImagePlugin.GifImageFile(io.BytesIO(data))
        check_size(picture.height, picture.width, name)
        if picture.is_animated:
            raise DataError(f"{name} is a GIF of several pictures: save the one that counts as PNG.")
        picture.load()
        palette = np.array(picture.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    if picture.mode != "P" or (palette != palette[:, :1]).any():
        return picture
    picture.info.pop("transparency", None)
    return picture.convert("L")
