"""Hostile bytes for every parser: seeds that are right, and what becomes of them.

`scripts/fuzz.py` runs many, `tests/test_fuzz.py` a few. A parser may return or raise UserError; anything else is a
fault.
"""

import base64
import gzip
import io
import json
import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.exceptions import HTTPException

from segwright.data.class_tables import parse_class_table
from segwright.errors import DataError, UserError
from segwright.formats.disguises import recognise
from segwright.formats.images import EncodedImage, encode_jpeg
from segwright.formats.manifest import choose_attributes, colour_map, read_manifest, resolve_reference
from segwright.formats.masks import decode_mask, encode_mask
from segwright.formats.palettes import mask_palette, palette_colours, stored_palette
from segwright.formats.pixels import PixelFormat
from segwright.formats.record_protobuf import Record, Value, decode_record, encode_record
from segwright.formats.recordio import index_records, read_records, write_record
from segwright.formats.rle import compress_counts
from segwright.formats.rle_pack import decode_rle_pack
from segwright.importers.canvas import Canvas
from segwright.importers.coco import read_coco
from segwright.importers.colour_tables import read_colour_table
from segwright.importers.dataset import ImportedData
from segwright.importers.label_studio import read_label_studio
from segwright.importers.labelme import read_labelme
from segwright.importers.rle_csv import read_rle_csv
from segwright.importers.voc import read_voc
from segwright.importers.yolo import read_yolo
from segwright.labels import LabelMap, parse_class_names
from segwright.mxnet.params_file import read_params
from segwright.palettes import default_palette
from segwright.serving.content_encoding import Body
from segwright.storage import path_below
from tests.helpers.mxnet_params_writer import Layout, write_params
from tests.helpers.rle_pack_writer import brush

Parse = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """A parser and bytes that it reads."""

    seeds: Callable[[], Sequence[bytes]]
    parse: Parse


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to four small changes: flipped bits, other bytes, lying numbers, cuts, copies, other places."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = (
            chance.randrange(len(changed) + 1) if chance.random() < 0.5 else chance.randrange(min(len(changed), 64) + 1)
        )
        match chance.randrange(7):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 2:
                number = chance.choice((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000000))
                order = chance.choice("<>")
                width = chance.choice(("H", "I"))
                changed[place : place + 4] = struct.pack(
                    order + width, number & (0xFFFF if width == "H" else 0xFFFFFFFF)
                )
            case 3:
                del changed[place:]
            case 4:
                end = place + chance.randrange(1, 32)
                changed[place:place] = changed[place:end]
            case 5:
                del changed[place : place + chance.randrange(1, 32)]
            case _:
                other = chance.randrange(len(changed) + 1)
                changed[place : place + 8] = changed[other : other + 8]
    return bytes(changed)


def attempt(target: Target, data: bytes) -> str | None:
    """What went wrong, or None: parsed, or refused with a sentence."""
    try:
        target.parse(data)
    except UserError as error:
        return None if str(error).strip() else "an error without words"
    except RecursionError as error:  # named apart: it is bounded by the interpreter, but a fault all the same
        return f"RecursionError: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


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

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

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
    decode_mask(data, "hostile", ((0, (1, 2, 3)), (1, (84, 98, 124))))


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
    features: dict[str, Value] = {
        "target": np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2),
        "other": np.arange(3, dtype=np.int32),
    }
    return [encode_record(Record(features=features, label={}))]


def _coco() -> list[bytes]:
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [[1, 1, 20, 2, 10, 20]]},
        {"id": 2, "image_id": 7, "category_id": 5, "segmentation": {"size": [24, 31], "counts": [10, 50, 684]}},
        {
            "id": 3,
            "image_id": 7,
            "category_id": 5,
            "segmentation": {"size": [24, 31], "counts": compress_counts([10, 50, 684])},
            "iscrowd": 1,
        },
        {"id": "4", "image_id": "7", "category_id": 3, "segmentation": [1, 1, 20, 2, 10, 20]},
        {"id": 5, "image_id": 7, "category_id": 3, "segmentation": [[1, 1], [20, 2], [10, 20]]},
        {"id": 6, "image_id": 7, "category_id": 3, "segmentation": None},
    ]
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 24, "width": 31}],
        "annotations": annotations,
        "categories": [
            {"id": 3, "name": "cat", "supercategory": "pets"},
            {"id": "5", "name": "dog"},
            {"id": 0, "name": "pets"},
        ],
    }
    return [json.dumps(document).encode(), json.dumps(document).encode("utf-16")]


@cache
def _folder() -> Path:
    """A folder with one picture, for formats that refer to files."""
    folder = Path(tempfile.mkdtemp(prefix="segwright-fuzz-"))
    (folder / "a.jpg").write_bytes(encode_jpeg(np.zeros((24, 31, 3), np.uint8)))
    return folder


@cache
def _pictures_alone() -> Path:
    """A folder with that picture and nothing else, for formats that look for images below a folder."""
    folder = Path(tempfile.mkdtemp(prefix="segwright-fuzz-"))
    (folder / "a.jpg").write_bytes((_folder() / "a.jpg").read_bytes())
    return folder


def _parse_coco(data: bytes) -> None:
    file = _folder() / "annotations.json"
    file.write_bytes(data)
    _draw(read_coco(file, _folder()))


def _draw(data: ImportedData) -> None:
    """Draw every mask, over a picture that is stored upright and over one that is not."""
    for pair in data.pairs:
        for canvas in (Canvas((24, 31)), Canvas((31, 24), 6)):
            with suppress(DataError):
                framed = replace(canvas, frame=pair.frame(canvas) or "shown")
                assert pair.draw_mask(framed).mask.shape == framed.size


def _small_mask() -> str:
    stream = io.BytesIO()
    Image.fromarray(np.eye(3, dtype=np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def _labelme() -> list[bytes]:
    shapes = [
        {"label": "cat", "shape_type": "polygon", "points": [[1, 1], [20, 2], [10, 20]], "group_id": None, "flags": {}},
        {"label": "dog", "shape_type": "rectangle", "points": [[1, 1], [9, 9]]},
        {"label": "dog", "shape_type": "circle", "points": [[9, 9], [12, 9]]},
        {"label": "dog", "shape_type": "rotation", "points": [[9, 9], [12, 9], [12, 12], [9, 12]]},
        {"label": "dog", "shape_type": "mask", "points": [[9, 9], [12, 12]], "mask": _small_mask()},
        {"label": "wire", "shape_type": "line", "points": [[9, 9], [12, 9]]},
    ]
    return [
        json.dumps(
            {"imagePath": "a.jpg", "imageHeight": 24, "imageWidth": 31, "shapes": shapes, "imageData": None}
        ).encode()
    ]


def _parse_labelme(data: bytes) -> None:
    folder = _folder() / "labelme"
    folder.mkdir(exist_ok=True)
    (folder / "a.jpg").write_bytes((_folder() / "a.jpg").read_bytes())
    (folder / "a.json").write_bytes(data)
    _draw(read_labelme(folder, None, _folder()))


def _voc_lists() -> list[bytes]:
    return [b"# a list\r\na\r\n", b"\xef\xbb\xbfJPEGImages/a.jpg /SegmentationClass/a.png\n", "a 1\n".encode("utf-16")]


def _parse_voc_list(data: bytes) -> None:
    folder = _folder() / "voc"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in "ab":
        (folder / "JPEGImages" / f"{name}.jpg").touch()
        (folder / "SegmentationClass" / f"{name}.png").touch()
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_bytes(data)
    (folder / "ImageSets" / "Segmentation" / "val.txt").write_text("b\n")
    read_voc(folder)


def _label_studio() -> list[bytes]:
    """Both exports, with every kind of region."""
    stroke = np.zeros((24, 31), np.bool_)
    stroke[3:9, 4:20] = True
    values: list[dict[str, Any]] = [
        {"format": "rle", "rle": brush(stroke), "brushlabels": ["a"]},
        {"points": [[1, 1], [50, 9], [9, 50]], "polygonlabels": ["b"]},
        {"x": 9, "y": 9, "width": 20, "height": 30, "rotation": 12, "rectanglelabels": ["b"]},
        {"x": 50, "y": 50, "radiusX": 9, "radiusY": 5, "rotation": 12, "ellipselabels": ["c"]},
    ]
    size = {"original_width": 31, "original_height": 24}
    results = [
        {"id": str(n), "type": "x", "from_name": "tag", "value": value, **size} for n, value in enumerate(values)
    ]
    full = {"id": 1, "data": {"image": "/data/upload/1/a.jpg"}, "annotations": [{"id": 3, "result": results}]}
    minimal = {"id": 1, "image": "s3://b/a.jpg", "tag": [{**value, **size} for value in values]}
    return [json.dumps([document]).encode() for document in (full, minimal)]


def _parse_label_studio(data: bytes) -> None:
    file = _folder() / "label-studio" / "export.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    for pair in read_label_studio(file, _pictures_alone()).pairs:
        for orientation in (1, 6):
            pair.draw_mask(Canvas((24, 31), orientation))


def _yolo() -> list[bytes]:
    """A label file and a description in one, which the parser takes apart."""
    yaml = "path: .\ntrain: images\nval: [images, images]\nnames:\n  0: cat\n  1: 'no'\n"
    labels = "0 0.1 0.1 0.9 0.2 0.5 0.9\n1 0.5 0.5 0.2 0.2\n# x\n1 0 0 1 0 1 1 0 1 0.9\n"
    return [f"{labels}----{yaml}".encode()]


def _parse_yolo(data: bytes) -> None:
    folder = _folder() / "yolo"
    labels, _, yaml = data.partition(b"----")
    for path, content in (
        (folder / "images" / "a.jpg", (_folder() / "a.jpg").read_bytes()),
        (folder / "labels" / "a.txt", labels),
        (folder / "data.yaml", yaml),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for pair in read_yolo(folder / "data.yaml").pairs:
        pair.draw_mask(Canvas((24, 31), 6))


def _rle_csv() -> list[bytes]:
    return [
        b"ImageId,ClassId,EncodedPixels\na.jpg,1,1 3 25 3 49 3\na.jpg,2,100 20\n",
        b"id,class,segmentation,height,width\na,x,0 3 31 3,24,31\na,y,,24,31\n",
        b'ImageId_ClassId;rle\na.jpg_1;"5 3 29 3"\na.jpg_2;\n',
    ]


def _parse_rle_csv(data: bytes) -> None:
    file = _folder() / "rle" / "train.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    for pair in read_rle_csv(file, _pictures_alone()).pairs:
        pair.draw_mask(Canvas((24, 31)))


def _params() -> list[bytes]:
    arrays: list[tuple[str, NDArray[Any]]] = [("conv1.0.weight", np.ones((2, 3, 1), np.float32)), ("b", np.ones(4))]
    layouts: tuple[Layout, ...] = ("V3", "V2", "V1", "oldest")
    files = sorted((Path(__file__).parents[1] / "data" / "gluoncv").glob("*.params"))
    return [file.read_bytes() for file in files] + [write_params(arrays, layout) for layout in layouts]


def _parse_params(data: bytes) -> None:
    size = sum(array.values.nbytes for array in read_params(data, "hostile"))
    assert size <= 2 * len(data), f"{size} bytes of arrays in {len(data)}"


def _parse_name(data: bytes) -> None:
    name = data.decode("utf-8", "surrogateescape")
    below = path_below(_folder(), name).resolve().relative_to(_folder().resolve())
    assert below.parts and str(below) == name


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


def _compressed() -> list[bytes]:
    """Each with the number of its coding in front."""
    plain = _jpegs()[0] + bytes(2000)
    return [b"\0" + gzip.compress(plain) + gzip.compress(b"more"), b"\1" + zlib.compress(plain), b"\2" + plain]


def _inflate(data: bytes) -> None:
    codings = (("gzip",), ("deflate",), ("deflate", "gzip"))[data[0] % 3 if data else 0]
    with suppress(HTTPException):
        assert len(Body(data[1:], codings, 1 << 20).decoded()) < 1 << 20


def _text(parse: Callable[[str, str], object]) -> Parse:
    return lambda data: parse(data.decode("utf-8", "surrogateescape"), "hostile.txt")


TARGETS: dict[str, Target] = {
    "JPEG": Target(_jpegs, _parse_picture),
    "PNG, TIFF, BMP, WebP": Target(_pictures, _parse_picture),
    "masks": Target(_masks, _parse_mask),
    "bodies in disguise": Target(_bodies, recognise),
    "compressed bodies": Target(_compressed, _inflate),
    "manifest": Target(lambda: [_manifest()], _parse_manifest),
    "RecordIO": Target(_records, _parse_records),
    "protobuf Record": Target(_protobuf, lambda data: decode_record(data, "hostile")),
    "MXNet .params": Target(_params, _parse_params),
    "COCO": Target(_coco, _parse_coco),
    "LabelMe": Target(_labelme, _parse_labelme),
    "names": Target(
        lambda: [b"a/b.png", "größe ö/..a/b..png".encode(), b"..a/..b/.c", b"images\\a.png"],
        _parse_name,
    ),
    "lists of VOC": Target(_voc_lists, _parse_voc_list),
    "Label Studio": Target(_label_studio, _parse_label_studio),
    "Label Studio's brush": Target(
        lambda: [bytes(brush(np.random.default_rng(7).random((24, 31)) > 0.7))],
        lambda data: decode_rle_pack(data, 24 * 31 * 4),
    ),
    "YOLO": Target(_yolo, _parse_yolo),
    "run lengths in a CSV": Target(_rle_csv, _parse_rle_csv),
    "label map": Target(
        lambda: [
            b'{"map": {"0": 5, "1": [0, 7]}, "class_names": ["a", "b"]}',
            b'{"scale": "3"}',
            b"7 road\n8 sky # up\n",
        ],
        _text(LabelMap.parse),
    ),
    "class names": Target(lambda: ['["a", "ü", "c"]'.encode(), b"a\nb\n# c\n"], _text(parse_class_names)),
    "class table": Target(
        lambda: [b"Pixel Value, Class\n0, a\n1, b\n255, void\n", b'name,r,g,b,id\n"x, y",1,2,3,7\nz,1,2,4,0\n'],
        _text(parse_class_table),
    ),
    "colour table": Target(
        lambda: [b"road 1 2 3\n#x\nsky, #00ff00\n", b'{"a": [1, 2, 3], "b": "#010204"}'], _text(read_colour_table)
    ),
}
