"""Seeds of the parsers of `formats`, and how each is called."""

import base64
import io
import json
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segwright.errors import UserError
from segwright.formats.disguises import recognise
from segwright.formats.images import EncodedImage, encode_jpeg
from segwright.formats.manifest import choose_attributes, colour_map, read_manifest, resolve_reference
from segwright.formats.masks import decode_mask, encode_mask
from segwright.formats.palettes import mask_palette, palette_colours, stored_palette
from segwright.formats.pixels import PixelFormat
from segwright.formats.record_protobuf import Tensor, decode_record, encode_record
from segwright.formats.recordio import index_records, read_records, write_record
from segwright.formats.rle import decode_rle_pack
from segwright.palettes import default_palette
from tests.helpers.fuzzing import Target
from tests.helpers.images import chunk
from tests.helpers.rle_pack_writer import brush


def _saved(mode: str, kind: str, **options: Any) -> bytes:
    generator = np.random.default_rng(7)
    pixels = {"RGB": (24, 31, 3), "RGBA": (24, 31, 4), "CMYK": (24, 31, 4)}.get(mode, (24, 31))
    stream = io.BytesIO()
    array = generator.integers(0, 2 if mode == "1" else 255, pixels).astype(np.uint8)
    picture = (
        Image.fromarray(array * (255 if mode == "1" else 1)).convert(mode)
        if mode in "1LP"
        else Image.fromarray(array, mode)
    )
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _sixteen(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(7).integers(0, 65535, (24, 31)).astype(np.uint16)).save(stream, kind)
    return stream.getvalue()


def _multiband(bands: int, **options: Any) -> bytes:
    import tifffile

    stream = io.BytesIO()
    pixels = np.random.default_rng(7).integers(0, 65535, (24, 31, bands)).astype(np.uint16)
    pixels = pixels if options["planarconfig"] == "contig" else pixels.transpose(2, 0, 1)
    tifffile.imwrite(stream, pixels, photometric="minisblack", **options)
    return stream.getvalue()


def _numbers(dtype: str, tag: str = "-9999", **options: Any) -> bytes:
    """A TIFF of some numbers with a tag that names what stands for no data."""
    import tifffile

    stream = io.BytesIO()
    numbers = np.random.default_rng(7).integers(0, 5, (24, 31)).astype(dtype)
    numbers[:3] = 4 if numbers.dtype.kind == "u" else -1 if dtype == "int8" else -9999
    tifffile.imwrite(stream, numbers, metadata=None, extratags=[(42113, "s", 0, tag, True)], **options)
    return stream.getvalue()


def _stack(**options: Any) -> bytes:
    """Four channels as microscopy programs write them."""
    import tifffile

    stream = io.BytesIO()
    pixels = np.random.default_rng(7).integers(0, 65535, (2, 4, 24, 31)).astype(np.uint16)
    tifffile.imwrite(stream, pixels, photometric="minisblack", metadata={"axes": "ZCYX"}, **options)
    return stream.getvalue()


def _pages(*shape: int) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full(shape, 3, np.uint8), photometric="minisblack")
    return stream.getvalue()


def _with_texts() -> bytes:
    """A PNG with a text and a profile that Pillow would refuse."""

    large = zlib.compress(bytes(1 << 21))
    data = _saved("L", "PNG")
    return data[:33] + chunk(b"zTXt", b"k\0\0" + large) + chunk(b"iCCP", b"k\0\0" + large) + data[33:]


def _pictures() -> list[bytes]:
    exif = Image.Exif()
    exif[274] = 6
    return [
        *(_saved(mode, "PNG") for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(_saved(mode, "TIFF", compression="tiff_lzw") for mode in ("L", "RGB")),
        _saved("RGB", "TIFF", exif=exif),
        *(_saved("RGB", kind) for kind in ("BMP", "WEBP")),
        _sixteen("PNG"),
        _sixteen("TIFF"),
        _multiband(5, planarconfig="contig"),
        _multiband(4, planarconfig="separate", compression="zlib"),
        *(_numbers(dtype) for dtype in ("int16", "float32")),
        _numbers("float64", compression="lzw", predictor=True),
        *(_stack(**options) for options in ({"imagej": True}, {"ome": True}, {"compression": "zlib"})),
        _pages(5, 24, 31),
        _pages(24, 31, 5),  # rows as pages
        _with_texts(),
    ]


def _jpegs() -> list[bytes]:
    exif = Image.Exif()
    exif[274] = 8
    picture = np.random.default_rng(7).integers(0, 255, (40, 56, 3)).astype(np.uint8)
    return [
        encode_jpeg(picture, 80),
        _saved("L", "JPEG"),
        _saved("CMYK", "JPEG"),
        _saved("RGB", "JPEG", exif=exif, progressive=True),
    ]


def _masks() -> list[bytes]:
    mask = np.random.default_rng(7).integers(0, 5, (24, 31)).astype(np.uint8)
    return [
        encode_mask(mask, default_palette(5)),
        _saved("1", "PNG"),
        _saved("L", "PNG"),
        _saved("RGBA", "PNG"),
        _saved("P", "GIF"),
        _saved("L", "GIF", interlace=1, transparency=3),
        _sixteen("PNG"),
        _saved("P", "BMP"),
        _saved("P", "TIFF"),
        *(_numbers(dtype) for dtype in ("int8", "int16", "int64", "float16", "float32", "float64")),
        _numbers("uint8", "4", compression="lzw"),
        _numbers("uint32", "4", bigtiff=True, tile=(16, 16)),
        _pages(5, 24, 31),
        _pages(24, 31, 5),  # rows as pages
        _with_texts(),
    ]


def _parse_picture(data: bytes) -> None:
    with suppress(UserError):  # of 16 bits or other bands
        EncodedImage(data, "hostile").decode_reduced(PixelFormat(), 4)
    image = EncodedImage(data, "hostile")
    image.verify()
    for exif_transposed in (False, True):
        image.size(exif_transposed)
        image.decode(replace(image.pixel_format, exif_transposed=exif_transposed))
    image.notes(image.pixel_format.bands)


def _parse_mask(data: bytes) -> None:
    with suppress(UserError):
        decode_mask(data, "hostile")
    with suppress(UserError):
        mask_palette(data)
        if (palette := stored_palette(data, "hostile")) is not None:
            palette_colours(palette, np.arange(5))
    decode_mask(data, "hostile", ((0, (1, 2, 3)), (1, (84, 98, 124))))[::2]


def _manifest() -> bytes:
    line = {
        "source-ref": "s3://bucket/a.jpg",
        "road-ref": "masks/ä b.png",
        "road-ref-metadata": {"internal-color-map": {"0": {"class-name": "a", "hex-color": "#00ff7f"}}},
    }
    return ("\n".join([json.dumps(line)] * 3) + "\n").encode()


def _parse_manifest(data: bytes) -> None:
    lines = read_manifest(data, "hostile")
    names = choose_attributes(lines, None, "hostile")
    for line in lines:
        resolve_reference(line.attributes[names.image], Path(), "image")
        resolve_reference(line.attributes[names.mask], Path(), "mask")
        if names.metadata and names.metadata in line.attributes:
            colour_map(line.attributes[names.metadata], "metadata")


def _records() -> list[bytes]:
    magic = (0xCED7230A).to_bytes(4, "little")
    return [b"".join(map(write_record, (b"\xff\xd8\xff picture", b"ab" * 50, b"1234" + magic + b"5678" + magic)))]


def _parse_records(data: bytes) -> None:
    list(read_records(io.BytesIO(data), "hostile"))
    index_records(io.BytesIO(data), "hostile", len(data))


def _protobuf() -> list[bytes]:
    features: dict[str, Tensor] = {
        "target": np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2),
        "other": np.arange(3, dtype=np.int32),
    }
    return [encode_record(features)]


def _bodies() -> list[bytes]:
    """What people send in place of a picture."""
    picture = _jpegs()[0]
    base64_text = base64.b64encode(picture)
    return [
        *(base64_text, b"data:image/jpeg;base64," + base64_text, picture.hex().encode(), repr(picture).encode()),
        *(json.dumps({"image": base64_text.decode()}).encode(), json.dumps(list(picture)).encode()),
        *(b"--b\r\nContent-Disposition: form-data\r\n\r\n" + picture, b"image=%FF%D8%FF", b"s3://bucket/a.jpg"),
        *(picture.translate(None, b"\r\n\0"), picture.decode("utf-8", "replace").encode(), b"<?xml?><!-- --><svg>"),
        b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf",
    ]


FORMATS: dict[str, Target] = {
    "JPEG": Target(_jpegs, _parse_picture),
    "PNG, TIFF, BMP, WebP": Target(_pictures, _parse_picture),
    "masks": Target(_masks, _parse_mask),
    "bodies in disguise": Target(_bodies, recognise),
    "manifest": Target(lambda: [_manifest()], _parse_manifest),
    "RecordIO": Target(_records, _parse_records),
    "protobuf Record": Target(_protobuf, lambda data: decode_record(data, "hostile")),
    "Label Studio's brush": Target(
        lambda: [bytes(brush(np.random.default_rng(7).random((24, 31)) > 0.7))],
        lambda data: decode_rle_pack(data, 24 * 31 * 4),
    ),
}
