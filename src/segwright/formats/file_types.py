"""What can be said of a picture before a decoder sees it: its format, and whether it is too large.

Knows the signatures of the five formats that are read and the largest picture that is accepted. Needs nothing but the
standard library, for those who read no pictures. Refuses to know headers and pixels.
"""

from typing import Final, Literal

from segwright.errors import DataError, TooLargeError

Container = Literal["JPEG", "PNG", "TIFF", "BMP", "WebP"]

MAX_PIXELS: Final = 178_956_970
"""Largest picture that is opened, in pixels: Pillow's own limit against decompression bombs (half a gigabyte
as RGB). Pictures of other bands have at most as many numbers as the largest RGB picture, three for each pixel, and
half or a quarter as many where they take 32 or 64 bits.
"""

_TIFF_SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def sniff(data: bytes) -> Container | None:
    """The format that the first bytes of a file announce, or None when it is none of the five."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(_TIFF_SIGNATURES):
        return "TIFF"
    if data.startswith(b"BM"):
        return "BMP"
    return "WebP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def check_size(height: int, width: int, name: str, bands: int = 3, bits: int = 8) -> None:
    """Raise TooLargeError for a picture with more than MAX_PIXELS, or with more numbers in all its bands than are read,
    and DataError for one without pixels.
    """
    if height < 1 or width < 1:
        raise DataError(f"{name} has no pixels: its size is {width} x {height}.")
    if height * width > MAX_PIXELS:
        raise TooLargeError(
            f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are read at most: "
            "cut it into smaller pictures."
        )
    most = 3 * MAX_PIXELS * 16 // max(bits, 16)
    if height * width * bands > most:
        raise TooLargeError(
            f"{name} has {width} x {height} pixels of {bands} bands, more than the {most:,} numbers that "
            "are read at most: cut it into smaller pictures."
        )
