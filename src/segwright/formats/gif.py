"""GIF files, which hold class numbers as palette PNGs do.

Knows Pillow's reader, kept to files of one picture. Refuses to know what the numbers mean.
"""

import io

from PIL import GifImagePlugin, ImageFile

from segwright.errors import DataError
from segwright.formats.signatures import check_size

_SIGNATURES = (b"GIF87a", b"GIF89a")


def is_gif(data: bytes) -> bool:
    """Whether the first bytes of a file announce a GIF."""
    return data.startswith(_SIGNATURES)


def open_gif(data: bytes, name: str) -> ImageFile.ImageFile:
    """Open the bytes of a GIF without decoding its pixels, which are palette indices.

    Raises DataError for a damaged file and one of several pictures, TooLargeError for more than MAX_PIXELS.
    """
    try:
        picture = GifImagePlugin.GifImageFile(io.BytesIO(data))
        check_size(picture.height, picture.width, name)
        moving = picture.is_animated
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a stranger's bytes
        raise DataError(f"{name} is a GIF file that is damaged or of an unusual kind: {error}.") from error
    if moving:
        raise DataError(f"{name} is a GIF of several pictures: save the one that counts as PNG.")
    return picture
