"""Small exports as tools write them, with the quirks of each: what is drawn, and what is said of the rest."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.rle import compress_counts, encode_regions
from segwright.importers import FormatOptions, ImportFormat, import_data
from tests.helpers.imported import HEIGHT, WIDTH, checked, masks, save_image

BOX = [1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0]
POINTS = [[1, 1], [5, 1], [5, 4], [1, 4]]


def expected(value: int = 1) -> NDArray[np.uint8]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1:4, 1:5] = value
    return mask


def pictures(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        save_image(folder / name, seed=number)


def write(file: Path, content: Any) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return str(file)


def imported(kind: ImportFormat, source: Path | str, output: Path, images: Path | None = None) -> tuple[str, ...]:
    """Import, see that every mask is the box, and return the classes."""
    import_data(kind, str(source), output, options=FormatOptions(images=images))
    for name, mask in masks(output).items():
        np.testing.assert_array_equal(mask, expected(int(mask.max())), name)
        assert mask.any()
    return checked(output).class_names


def test_label_studio_coco(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "0a1b2c3d-a.jpg", "1a1b2c3d-b.jpg")
    content = {
        "images": [
            {"width": WIDTH, "height": HEIGHT, "id": 0, "file_name": "images\\0a1b2c3d-a.jpg"},
            {"width": WIDTH, "height": HEIGHT, "id": 1, "file_name": "images\\1a1b2c3d-b.jpg"},
        ],
        "categories": [{"id": 0, "name": "car"}, {"id": 1, "name": "tree"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": n, "segmentation": [BOX], "bbox": [], "ignore": 0, "iscrowd": 0}
            for n in (0, 1)
        ],
        "info": {"year": 2024, "contributor": "Label Studio"},
    }
    source = write(tmp_path / "result.json", content)
    assert imported("coco", source, tmp_path / "out") == ("background", "car", "tree")
    (tmp_path / "images").rename(tmp_path / "gone")
    pictures(tmp_path / "home", "a.jpg", "b.jpg")
    assert imported("coco", source, tmp_path / "out2", tmp_path / "home") == ("background", "car", "tree")


def test_label_studio_coco_with_images_of_the_local_disk_or_of_addresses(tmp_path: Path) -> None:
    pictures(tmp_path / "disk" / "day 1", "a.jpg", "b.jpg")
    stated = ("/data/local-files/?d=day%201/a.jpg", "https://host/day/b.jpg?X-Amz-Signature=1/2")
    content = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(stated)],
        "categories": [{"id": 0, "name": "car"}],
        "annotations": [{"id": n, "image_id": n, "category_id": 0, "segmentation": [BOX]} for n in (0, 1)],
    }
    imported("coco", write(tmp_path / "result.json", content), tmp_path / "out", tmp_path / "disk")


def test_cvat_coco(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures(tmp_path / "cvat" / "images" / "default", "a.jpg", "sub/b.jpg")
    rle = {"size": [HEIGHT, WIDTH], "counts": dict(encode_regions(expected()))[1].tolist()}
    attributes = {"occluded": False, "rotation": 30.0}
    content = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "categories": [{"id": 1, "name": "car", "supercategory": ""}],
        "images": [
            {"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "a.jpg", "license": 0, "flickr_url": ""},
            {"id": 2, "width": WIDTH, "height": HEIGHT, "file_name": "sub/b.jpg", "license": 0, "date_captured": 0},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [BOX], "area": 12.0, "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 1, "segmentation": rle, "area": 12.0, "iscrowd": 1},
            {
                "id": 3,
                "image_id": 2,
                "category_id": 1,
                "segmentation": [],
                "bbox": [0, 0, 8, 6],
                "attributes": attributes,
            },
        ],
    }
    source = write(tmp_path / "cvat" / "annotations" / "instances_default.json", content)
    assert imported("coco", tmp_path / "cvat", tmp_path / "out") == ("background", "car")
    assert "annotations without an outline, only a box, left out: 1 (in sub/b.jpg)" in caplog.text
    (tmp_path / "cvat" / "images").rename(tmp_path / "home")
    with pytest.raises(DataError, match="Give their folder with --images DIR"):
        import_data("coco", source, tmp_path / "out2")
    imported("coco", source, tmp_path / "out2", tmp_path / "home")


def test_labelbox_hasty_and_superannotate_coco(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "set/a.jpg", "b.jpg")
    counts = dict(encode_regions(expected()))[1].tolist()
    rle = {"size": [HEIGHT, WIDTH], "counts": compress_counts(counts)}
    content = {
        "info": {"image_count": 2},
        "images": [
            {"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "https://storage/labelbox/set/a.jpg?sig=x"},
            {"id": "ck1x", "width": None, "height": None, "file_name": "b.jpg", "dataset_name": "set"},
        ],
        "annotations": [
            {"id": "u-1", "image_id": 1, "category_id": 3, "segmentation": rle, "isthing": 1},
            {"id": "u-2", "image_id": "ck1x", "category_id": 3, "segmentation": [[*BOX, *BOX[:2]]], "area": None},
        ],
        "categories": [{"supercategory": "car", "id": 3, "name": "car", "isthing": 1, "color": [1, 2, 3]}],
    }
    source = write(tmp_path / "export.json", content)
    assert imported("coco", source, tmp_path / "out", tmp_path / "images") == ("background", "car")


def test_via_and_makesense_coco(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures(tmp_path, "a.jpg", "b.jpg")
    content = {
        "info": {"description": "VIA"},
        "images": [
            {"id": 0, "width": WIDTH, "height": HEIGHT, "file_name": "a.jpg", "coco_url": "a.jpg"},
            {"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 1, "image_id": "0", "category_id": 1, "segmentation": BOX, "area": 12, "bbox": [1, 1, 4, 3]},
            {"id": 2, "image_id": "1", "category_id": "1", "segmentation": [BOX], "iscrowd": 0},
            {"id": 3, "image_id": "1", "category_id": None, "segmentation": BOX},
        ],
        "categories": [{"supercategory": "type", "id": 1, "name": "car"}],
    }
    imported("coco", write(tmp_path / "via_export_coco.json", content), tmp_path / "out")
    assert "1 of 3 annotations left out, not readable: annotations.2" in caplog.text


def test_labelme_5_with_embedded_images(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.ones((3, 4), np.uint8) * 255).save(stream, "PNG")
    whole = base64.b64encode(stream.getvalue()).decode()
    shapes: list[dict[str, Any]] = [
        {"label": "car", "points": [[1.0, 1.0], [5.0, 4.0]], "group_id": None, "shape_type": "rectangle", "flags": {}},
        {"label": "car", "points": [[1, 1], [4, 3]], "shape_type": "mask", "mask": whole, "description": ""},
    ]
    for number, shape in enumerate(shapes):
        image = base64.b64encode(save_image(tmp_path / "gone.png", seed=number)).decode()
        content = {"version": "5.5.0", "flags": {}, "shapes": [shape], "imagePath": f"..\\x\\{number}.png"}
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        data = image if number else f"data:image/png;base64,{image}"
        write(tmp_path / "in" / f"{number}.json", {**content, "imageData": data, **size})
    assert imported("labelme", tmp_path / "in", tmp_path / "out") == ("_background_", "car")


def test_x_anylabeling(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures(tmp_path / "in", *(f"{number}.jpg" for number in range(5)))
    rest: dict[str, Any] = {
        "group_id": None,
        "difficult": False,
        "flags": {},
        "attributes": {},
        "kie_linking": [],
        "score": None,
    }
    kinds = ("rectangle", "rotation", "quadrilateral", "polygon", "polygon")
    for number, kind in enumerate(kinds):
        shapes = [{"label": "car", "points": POINTS, "shape_type": kind, "direction": 0.5, **rest}]
        shapes.append({"label": "wire", "points": POINTS, "shape_type": "linestrip", **rest})
        content: dict[str, Any] = {
            "version": "2.3.6",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"{number}.jpg",
            "imageData": None,
        }
        write(tmp_path / "in" / f"{number}.json", {**content, "imageHeight": HEIGHT, "imageWidth": WIDTH})
    assert imported("labelme", tmp_path / "in", tmp_path / "out") == ("_background_", "car")
    assert "shapes of type linestrip, which have no inside, left out: 5" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"_via_settings": {}, "_via_img_metadata": {"a": {"regions": [{"shape_attributes": {}}]}}}, "project of VIA"),
        ({"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": {"name": "polygon"}}]}}, "project of VIA"),
        ({"info": {}, "categories": {"label": {"labels": []}}, "items": []}, "datum convert -f coco"),
        ([{"id": 1, "annotations": [{"result": [{"from_name": "t", "to_name": "i"}]}]}], "import-data label-studio"),
        ([{"id": 1, "image": "a.jpg", "tag": [{"format": "rle", "brushlabels": ["x"]}]}], "import-data label-studio"),
        ({"description": "", "objects": [{"classTitle": "x", "geometryType": "polygon"}]}, "is of Supervisely"),
        ({"data_row": {"id": "x"}, "projects": {}}, "is Labelbox's own export"),
        ({"version": "5.0", "shapes": [], "imagePath": "a.jpg"}, "give its folder to import-data labelme"),
    ],
)
def test_other_tools_own_files_are_recognised(tmp_path: Path, content: Any, words: str) -> None:
    source = write(tmp_path / "in" / "a.json", content)
    with pytest.raises(DataError, match=words):
        import_data("coco", source, tmp_path / "out")
    if "labelme" not in words:
        with pytest.raises(DataError, match=rf"no JSON files of LabelMe.*{words}"):
            import_data("labelme", str(tmp_path / "in"), tmp_path / "out")


def test_every_format_says_what_the_files_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "annotations.xml").write_text("<?xml?><annotations><version>1.1</version></annotations>")
    for kind in ("voc", "label-studio", "yolo", "coco", "labelme", "cityscapes"):
        with pytest.raises(
            DataError, match=r"annotations.xml is CVAT's XML: export 'Segmentation mask 1.1', for import"
        ):
            import_data(kind, str(tmp_path / "in"), tmp_path / "out")
    source = write(tmp_path / "in" / "a.json", {"images": [], "annotations": [], "categories": []})
    with pytest.raises(DataError, match="give it to import-data coco"):
        import_data("label-studio", source, tmp_path / "out")
    with pytest.raises(DataError, match=r"names no images\.$"):
        import_data("coco", source, tmp_path / "out")
