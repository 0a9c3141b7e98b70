"""The signatures of files that are no pictures, or pictures that are not read, so that they can be called by name.

Knows the first bytes of what people in this trade have on their disks. Needs nothing but the standard library.

Source: the formats' own specifications; ISO/IEC 14496-12 for the brands behind `ftyp`.
"""

from typing import Final

_JPEG: Final = "convert it to JPEG"
_PNG: Final = "convert it to PNG"
_TIFF: Final = "convert it to TIFF"
_IMAGE: Final = "give the image itself"
_FRAMES: Final = "save its frames as JPEG"
_UNPACK: Final = "unpack it"
_SAVE: Final = "save its pixels as PNG or TIFF"

_SIGNATURES: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"GIF8", "a GIF picture", _PNG),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", _TIFF),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _TIFF),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture", _PNG),
    (0, b"\xff\x0a", "a JPEG XL picture", _PNG),
    (0, b"8BPS", "a Photoshop picture", _PNG),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture", _TIFF),
    *((0, b"P%d\n" % kind, "a PBM, PGM or PPM picture", _PNG) for kind in range(1, 7)),
    (0, b"SIMPLE  =", "a FITS picture", _TIFF),
    (128, b"DICM", "a DICOM picture", _TIFF),
    (344, b"n+1\0", "a NIfTI volume", "save its slices as PNG or TIFF"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", _SAVE),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", _SAVE),
    (0, b"CDF", "a NetCDF file", _SAVE),
    (0, b"\x80\x04\x95", "a Python pickle", _SAVE),
    (0, b"\x0a\x23\xd7\xce", "a RecordIO stream", _IMAGE),
    (0, b"%PDF", "a PDF document", "export its picture as PNG or JPEG"),
    (0, b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "an RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)", _FRAMES),
    (8, b"AVI ", "an AVI video", _FRAMES),
    (0, b"\0\x05\x16\x07", 'a file of attributes that macOS leaves ("._")', "leave it out"),
)
"""Offset, bytes, name and cure."""

_GZIP: Final = b"\x1f\x8b\x08"
_HEIC: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"mif2", b"msf1")
_LONGEST_BRANDS: Final = 128  # bytes of the box that lists them


def known_file(head: bytes) -> tuple[str, str, str] | None:
    """What a file is by its first bytes, to follow "is", and what to do with it as a file and as a body; else None."""
    if head.startswith(_GZIP):
        return "gzip data", _UNPACK, "unpack it, or send it with the header Content-Encoding: gzip"
    found = _by_brand(head) or next(
        ((name, cure) for offset, signature, name, cure in _SIGNATURES if head.startswith(signature, offset)), None
    )
    if found is None:
        return None
    name, cure = found
    return f"{name}, which is not read", cure, cure


def is_unread_picture(head: bytes) -> bool:
    """Whether the first bytes of a file, 132 of them, are those of a picture of a format that is not read."""
    found = known_file(head)
    return found is not None and " picture" in found[0]


def _by_brand(head: bytes) -> tuple[str, str] | None:
    """What a file is by the brand of the container that many formats share."""
    if head[4:8] != b"ftyp":
        return None
    major, end = head[8:12], min(int.from_bytes(head[:4], "big"), _LONGEST_BRANDS)
    others = [head[place : place + 4] for place in range(16, end, 4)]
    if major in (b"avif", b"avis") or (major in _HEIC and b"avif" in others):
        return "an AVIF picture", _JPEG
    if major in _HEIC:
        return "a HEIC picture", _JPEG
    return ("a raw picture of a Canon camera", _JPEG) if major == b"crx " else ("a video (MP4 or MOV)", _FRAMES)
