"""What the first bytes of a file say: one of the five image formats that are read, or a known other one.

Source: the formats' specifications; ISO/IEC 14496-12 for brands behind `ftyp`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from segwright.errors import DataError, TooLargeError
from segwright.resources import available_memory

Container = Literal["JPEG", "PNG", "TIFF", "BMP", "WebP"]

MAX_PIXELS: Final = 178_956_970
"""The usual limit for images of strangers, in pixels: that of Pillow against decompression bombs (half a gigabyte as
RGB).
"""

_TIFF_SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_JPEG: Final = "convert it to JPEG"
_PNG: Final = "convert it to PNG"
_TIFF: Final = "convert it to TIFF"
_FRAMES: Final = "save its frames as JPEG"
_UNPACK: Final = "unpack it"
_SAVE: Final = "save its pixels as PNG or TIFF"

_UNREAD: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"GIF8", "a GIF image", _PNG),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image", _TIFF),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", _TIFF),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", _PNG),
    (0, b"\xff\x0a", "a JPEG XL image", _PNG),
    (0, b"8BPS", "a Photoshop image", _PNG),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image", _TIFF),
    *((0, b"P%d\n" % kind, "a PBM, PGM or PPM image", _PNG) for kind in range(1, 7)),
    (0, b"SIMPLE  =", "a FITS image", _TIFF),
    (128, b"DICM", "a DICOM image", _TIFF),
    (344, b"n+1\0", "a NIfTI volume", "save its slices as PNG or TIFF"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", _SAVE),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", _SAVE),
    (0, b"CDF", "a NetCDF file", _SAVE),
    (0, b"\x80\x04\x95", "a Python pickle", _SAVE),
    (0, b"\x0a\x23\xd7\xce", "a RecordIO stream", "give the image itself"),
    (0, b"%PDF", "a PDF document", "export its image as PNG or JPEG"),
    (0, b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "an RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)", _FRAMES),
    (8, b"AVI ", "an AVI video", _FRAMES),
    (0, b"\0\x05\x16\x07", 'a file of attributes that macOS leaves ("._")', "leave it out"),
)
"""Offset, first bytes, name and cure of files that are not read."""

_HEIC: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"mif2", b"msf1")
_LONGEST_BRANDS: Final = 128  # bytes of the box that lists them


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


def is_gif(data: bytes) -> bool:
    """Whether the first bytes of a file announce a GIF, which is read as a mask only."""
    return data.startswith((b"GIF87a", b"GIF89a"))


def unread_type(head: bytes) -> tuple[str, str] | None:
    """Name and cure of a known file type that is not read, from the first 348 bytes of a file; else None."""
    if head[4:8] == b"ftyp":
        found: tuple[str, str] | None = _by_brand(head)
    else:
        found = next((entry[2:] for entry in _UNREAD if head.startswith(entry[1], entry[0])), None)
    return found and (f"{found[0]}, which is not read", found[1])


def is_unread_image(head: bytes) -> bool:
    """Whether the first bytes of a file, 132 of them, are those of an image of a format that is not read."""
    found = unread_type(head)
    return found is not None and " image" in found[0]


def check_size(
    height: int, width: int, name: str, bands: int = 3, bits: int = 8, max_pixels: int | None = None
) -> None:
    """Raise DataError for no pixels, and TooLargeError for more than `max_pixels`; other images than RGB hold at most
    as many numbers as the largest RGB image, and half or a quarter as many of 32 or 64 bits. Without `max_pixels`,
    large images are only refused where the memory that is free cannot hold them.
    """
    if height < 1 or width < 1:
        raise DataError(f"{name} has no pixels: its size is {width} x {height}.")
    numbers, too_many, cure = height * width * bands, "", "cut it into smaller images."
    if max_pixels is None:
        memory = available_memory() if numbers > 3 * MAX_PIXELS else None
        if memory is not None and numbers * bits // 8 > memory:
            gigabytes = f"{numbers * bits / 8e9:.1f} GB, but only {memory / 1e9:.1f} GB of memory are free"
            raise TooLargeError(f"{name} has {width} x {height} pixels, {gigabytes}: {cure}")
    elif height * width > max_pixels:
        too_many = f", more than the {max_pixels:,}"
    elif numbers > (most := 3 * max_pixels * 16 // max(bits, 16)):
        too_many = f" of {bands} bands, more than the {most:,} numbers"
    if too_many:
        raise TooLargeError(f"{name} has {width} x {height} pixels{too_many} that are read at most: {cure}")


@contextmanager
def damage_as_data_error(what: str) -> Iterator[None]:
    """Raise DataError, `what` and the decoder's own words, for whatever a decoder raises on damaged bytes."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{what}: {error}.") from error


def _by_brand(head: bytes) -> tuple[str, str]:
    """What a file is by the brands of the container that HEIC, AVIF and videos share."""
    major, end = head[8:12], min(int.from_bytes(head[:4], "big"), _LONGEST_BRANDS)
    others = [head[start : start + 4] for start in range(16, end, 4)]
    if major in (b"avif", b"avis") or (major in _HEIC and b"avif" in others):
        return "an AVIF image", _JPEG
    if major in _HEIC:
        return "a HEIC image", _JPEG
    return ("a raw image of a Canon camera", _JPEG) if major == b"crx " else ("a video (MP4 or MOV)", _FRAMES)
