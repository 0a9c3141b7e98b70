import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tifffile import TiffWriter

from segwright.formats import images
from segwright.formats.exif import exif_orientation, transpose
from segwright.formats.file_types import Container, sniff
from segwright.formats.images import EncodedImage, encode_jpeg
from segwright.formats.masks import decode_mask
from segwright.formats.pixels import PixelFormat
from tests.helpers.images import verify

UPRIGHT = PixelFormat(exif_transposed=True)
CONTAINERS: tuple[Container, ...] = ("JPEG", "PNG", "TIFF", "WebP")
ORIENTATIONS = range(1, 9)


def picture(height: int = 21, width: int = 34) -> NDArray[np.uint8]:
    rows, columns = np.indices((height, width))
    return np.stack([40 + rows * 4, 200 - columns * 3, 90 + rows + columns], axis=-1).astype(np.uint8)


def noted(container: Container, orientation: int, image: NDArray[np.uint8] | None = None) -> bytes:
    """A picture with an orientation beside it."""
    exif = Image.Exif()
    exif[274] = orientation
    kinds: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WebP": {"lossless": True}}
    options = kinds.get(container, {})
    stream = io.BytesIO()
    Image.fromarray(picture() if image is None else image).save(stream, container, exif=exif, **options)
    return stream.getvalue()


def exif_block(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    """A TIFF structure of one tag, with the orientation as a number of two bytes (or of another type)."""
    header = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return header + struct.pack(order + "HHHIHHI", 1, 274, kind, 1, orientation, 0, 0)


def jpeg_with(*segments: bytes) -> bytes:
    """A JPEG that begins with these segments, each a marker and its content."""
    plain = encode_jpeg(picture())
    packed = b"".join(segment[:2] + struct.pack(">H", len(segment)) + segment[2:] for segment in segments)
    return plain[:2] + packed + plain[2:]


def is_order(data: bytes, expected: int) -> bool:
    return exif_orientation(data, sniff(data)) == expected


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_stand_upright_on_request_only(container: Container, orientation: int) -> None:
    data = noted(container, orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    decoded = EncodedImage(data, "x").decode(UPRIGHT)
    assert decoded.shape == expected.shape and decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - expected).max() <= (2 if container == "JPEG" else 0)
    assert EncodedImage(data, "x").size(exif_transposed=True) == expected.shape[:2]
    facts = verify(data, "x", exif_transposed=True)
    assert (facts.height, facts.width) == expected.shape[:2]
    assert facts.orientation == orientation and facts.pixel_format == UPRIGHT

    stored = EncodedImage(data, "x").decode()
    assert np.abs(stored.astype(int) - picture()).max() <= (8 if container == "JPEG" else 0)
    assert EncodedImage(data, "x").size() == (21, 34)
    facts = verify(data, "x")
    assert (facts.height, facts.width, facts.orientation, facts.pixel_format) == (21, 34, orientation, PixelFormat())


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_jpegs_at_reduced_scale_stand_upright(orientation: int) -> None:
    data = noted("JPEG", orientation, picture(34, 52))
    stored, _ = EncodedImage(data, "x").decode_reduced(PixelFormat(), 2)
    reduced, factor = EncodedImage(data, "x").decode_reduced(UPRIGHT, 2)
    assert factor == 2 and stored.shape == (17, 26, 3)
    assert (reduced == transpose(stored, orientation)).all()
    assert reduced.shape == ((26, 17, 3) if orientation >= 5 else (17, 26, 3))


@pytest.mark.parametrize(("size", "orientation", "factor"), [((36, 52), 3, 4), ((36, 50), 6, 2), ((33, 52), 8, 1)])
def test_what_has_to_be_turned_is_reduced_without_rest(size: tuple[int, int], orientation: int, factor: int) -> None:
    assert EncodedImage(noted("JPEG", orientation, picture(*size)), "x").decode_reduced(UPRIGHT, 8)[1] == factor


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_bands_of_a_tiff_stand_upright(orientation: int, bands: int, bigtiff: bool, order: Literal["<", ">"]) -> None:
    stored = np.arange(7 * 5 * bands, dtype=np.uint16).reshape(7, 5, bands)
    stream = io.BytesIO()
    with TiffWriter(stream, bigtiff=bigtiff, byteorder=order) as writer:
        planar: dict[str, Any] = {} if bands == 1 else {"planarconfig": "contig"}
        shown = stored[..., 0] if bands == 1 else stored
        writer.write(shown, photometric="minisblack", extratags=[(274, 3, 1, orientation, True)], **planar)
    data = stream.getvalue()
    pixel_format = verify(data, "x", exif_transposed=True).pixel_format
    assert pixel_format == PixelFormat(bands, 16, exif_transposed=True)
    assert (EncodedImage(data, "x").decode(pixel_format) == transpose(stored, orientation)).all()
    assert (EncodedImage(data, "x").decode(PixelFormat(bands, 16)) == stored).all()
    assert EncodedImage(data, "x").size(exif_transposed=True) == transpose(stored, orientation).shape[:2]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_masks_and_images_in_tiff_keep_their_pixels(orientation: int, compression: str) -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    exif = Image.Exif()
    exif[274] = orientation
    stream = io.BytesIO()
    Image.fromarray(numbers).save(stream, "TIFF", exif=exif, compression=compression)
    assert (decode_mask(stream.getvalue(), "x").numbers == numbers).all()
    assert (EncodedImage(stream.getvalue(), "x").decode(PixelFormat(1, 8))[..., 0] == numbers).all()


def test_an_orientation_in_xmp_data_turns_nothing() -> None:
    stream = io.BytesIO()
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(picture()).save(stream, "TIFF", tiffinfo={700: xmp})
    assert (EncodedImage(stream.getvalue(), "x").decode() == picture()).all()
    assert is_order(stream.getvalue(), 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_note_of_a_jpeg_is_found_behind_other_segments(order: str) -> None:
    exif = b"\xff\xe1Exif\0\0" + exif_block(6, order)
    assert is_order(jpeg_with(exif), 6)
    assert is_order(jpeg_with(b"\xff\xe0JFIF", b"\xff\xe1http://ns.adobe.com/xap/1.0/\0", b"\xff\xfe" * 500, exif), 6)
    padded = jpeg_with(b"\xff\xe0JFIF", exif)
    for padding in (b"\xff\xff\xff", b"\0\0"):
        assert is_order(padded[:10] + padding + padded[10:], 6)


def test_the_note_of_a_png_is_found_before_and_behind_its_pixels() -> None:
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "PNG")
    plain, block = stream.getvalue(), exif_block(8, ">")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    for position in (33, len(plain) - 12):
        data = plain[:position] + chunk + plain[position:]
        assert is_order(data, 8)
        assert (EncodedImage(data, "x").decode(UPRIGHT) == transpose(picture(), 8)).all()


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II",
        b"XX" + exif_block(6)[2:],
        exif_block(0),
        exif_block(9),
        exif_block(65535),
        exif_block(6, kind=2),
        exif_block(6)[:12],
        b"II*\0\xff\xff\xff\xff",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
        b"MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 40,
    ],
)
def test_a_damaged_note_counts_as_none(block: bytes) -> None:
    data = jpeg_with(b"\xff\xe1Exif\0\0" + block)
    assert is_order(data, 1)
    assert (EncodedImage(data, "x").decode(UPRIGHT) == EncodedImage(encode_jpeg(picture()), "x").decode()).all()


def test_a_directory_that_claims_to_be_endless_is_left() -> None:
    entry = struct.pack("<HHQQ", 274, 3, 1, 6)
    for before, expected in ((3, 6), (70_000, 1)):
        block = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63) + bytes(20 * before) + entry
        assert is_order(block, expected)


def test_no_bytes_upset_the_search() -> None:
    random = np.random.default_rng(0)
    for container in CONTAINERS:
        data = np.frombuffer(noted(container, 6), np.uint8)
        for _ in range(150):
            mutated = data.copy()
            places = random.integers(2, min(len(data), 300), 4)
            mutated[places] = random.integers(0, 256, 4)
            assert exif_orientation(mutated.tobytes(), container) in ORIENTATIONS
            assert exif_orientation(mutated[: int(places[0])].tobytes(), container) in ORIENTATIONS


def test_nothing_is_looked_for_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "exif_orientation", lambda *_: pytest.fail("EXIF was read"))
    data = noted("JPEG", 6)
    assert EncodedImage(data, "x").decode().shape == (21, 34, 3)
    assert EncodedImage(data, "x").size() == (21, 34)
    assert EncodedImage(data, "x").decode_reduced(PixelFormat(), 2)[0].shape == (11, 17, 3)
