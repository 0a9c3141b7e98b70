"""Seeds of the parsers of `importers`, and how each is called."""

import base64
import io
import json
import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segwright.errors import DataError
from segwright.formats.images import encode_jpeg
from segwright.formats.rle import compress_counts
from segwright.importers.coco import read_coco
from segwright.importers.colours import read_colour_table
from segwright.importers.dataset import ImportedData
from segwright.importers.geometry import ImageGeometry
from segwright.importers.label_studio import read_label_studio
from segwright.importers.labelme import read_labelme
from segwright.importers.rle_csv import read_rle_csv
from segwright.importers.voc import read_voc
from segwright.importers.yolo import read_yolo
from tests.helpers.fuzzing import Target, parse_text
from tests.helpers.rle_pack_writer import brush


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


def _parse_coco(data: bytes) -> None:
    file = _folder() / "annotations.json"
    file.write_bytes(data)
    _draw(read_coco(file, _folder()))


def _draw(data: ImportedData) -> None:
    """Draw every mask, over a picture that is stored upright and over one that is not."""
    for pair in data.pairs:
        for geometry in (ImageGeometry((24, 31)), ImageGeometry((31, 24), 6)):
            with suppress(DataError):
                framed = replace(geometry, frame=pair.frame(geometry) or "shown")
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
            pair.draw_mask(ImageGeometry((24, 31), orientation))


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
        pair.draw_mask(ImageGeometry((24, 31), 6))


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
        pair.draw_mask(ImageGeometry((24, 31)))


IMPORTERS: dict[str, Target] = {
    "COCO": Target(_coco, _parse_coco),
    "LabelMe": Target(_labelme, _parse_labelme),
    "lists of VOC": Target(_voc_lists, _parse_voc_list),
    "Label Studio": Target(_label_studio, _parse_label_studio),
    "YOLO": Target(_yolo, _parse_yolo),
    "run lengths in a CSV": Target(_rle_csv, _parse_rle_csv),
    "colour table": Target(
        lambda: [b"road 1 2 3\n#x\nsky, #00ff00\n", b'{"a": [1, 2, 3], "b": "#010204"}'], parse_text(read_colour_table)
    ),
}
