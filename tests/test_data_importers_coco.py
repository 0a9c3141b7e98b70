import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.data.importers import FormatOptions, import_data
from segwright.errors import DataError, LabelError
from segwright.formats.run_lengths import compress_counts, encode_regions
from tests.imported import HEIGHT, WIDTH, checked, masks, names, save_image

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 90, "name": "cat"}]
DOG, CAT = 1, 2


def box(left: int, top: int, right: int, bottom: int) -> list[float]:
    """The polygon of whole pixels."""
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(inside: NDArray[np.bool_]) -> list[int]:
    counts: list[int] = dict(encode_regions(inside.astype(np.uint8)))[1].tolist()
    return counts


def region(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def document(*annotations: dict[str, Any], images: int = 2) -> dict[str, Any]:
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH} for number in range(images)
        ],
        "annotations": [
            {"id": 100 + index, "image_id": 0, "category_id": 7, "iscrowd": 0, **annotation}
            for index, annotation in enumerate(annotations)
        ],
        "categories": CATEGORIES,
    }


def write(folder: Path, content: Any, name: str = "annotations.json", images: int = 2) -> str:
    for number in range(images):
        save_image(folder / "images" / f"{number}.png", seed=number)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder / name)


def first_mask(folder: Path, *annotations: dict[str, Any]) -> NDArray[np.uint8]:
    """The mask of image 0 with these annotations."""
    import_data("coco", write(folder, document(*annotations)), folder / "out", overwrite=True)
    return masks(folder / "out")["0"]


def test_classes_are_background_and_the_categories_in_their_order(tmp_path: Path) -> None:
    found = first_mask(
        tmp_path, {"segmentation": [box(1, 1, 4, 3)]}, {"category_id": 90, "segmentation": [box(5, 0, 8, 6)]}
    )
    assert checked(tmp_path / "out").class_names == ("background", "dog", "cat")
    expected = region(1, 1, 4, 3) * DOG + region(5, 0, 8, 6) * CAT
    np.testing.assert_array_equal(found, expected)
    assert not masks(tmp_path / "out")["1"].any()


def test_polygons_and_both_kinds_of_run_lengths_draw_the_same(tmp_path: Path) -> None:
    expected = region(2, 1, 7, 5) | region(0, 0, 1, 1)
    counts = run_lengths(expected)
    size = [HEIGHT, WIDTH]
    for segmentation in (
        [box(2, 1, 7, 5), box(0, 0, 1, 1)],
        {"size": size, "counts": counts},
        {"size": size, "counts": compress_counts(counts)},
    ):
        np.testing.assert_array_equal(first_mask(tmp_path, {"segmentation": segmentation, "iscrowd": 1}), expected)


def test_small_annotations_lie_over_large_ones_and_later_ones_over_equal_ones(tmp_path: Path) -> None:
    small = {"category_id": 90, "segmentation": [box(2, 2, 4, 4)]}
    large = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": run_lengths(region(0, 0, 6, 6))}}
    expected = region(0, 0, 6, 6) * DOG + region(2, 2, 4, 4)
    np.testing.assert_array_equal(first_mask(tmp_path, small, large), expected)
    np.testing.assert_array_equal(first_mask(tmp_path, large, small), expected)
    same = {"segmentation": [box(2, 2, 4, 4)]}
    np.testing.assert_array_equal(first_mask(tmp_path, small, same), region(2, 2, 4, 4) * DOG)
    np.testing.assert_array_equal(first_mask(tmp_path, same, small), region(2, 2, 4, 4) * CAT)


def test_boxes_and_stubs_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first_mask(
        tmp_path,
        {"segmentation": [box(0, 0, 4, 4), [1, 1, 2, 2]]},
        {"segmentation": [], "bbox": [0, 0, 3, 3]},
        {"bbox": [0, 0, 3, 3]},
    )
    assert "annotations without an outline, only a box, left out: 2 (in 0.png)" in caplog.text
    assert "polygons of fewer than three points, left out: 1 (in 0.png)" in caplog.text


def test_images_without_annotations_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "segwright"):
        first_mask(tmp_path, {"segmentation": [box(0, 0, 4, 4)]})
    assert "1 of 2 images have no annotation and are all background" in caplog.text


def test_two_annotation_files_divide_the_pairs(tmp_path: Path) -> None:
    dogs = document({"segmentation": [box(0, 0, 4, 4)]}, images=1)
    cats = {**dogs, "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "background"}]}
    for name, content in (("train", dogs), ("val", cats)):
        write(tmp_path, content, f"annotations/instances_{name}2017.json", images=0)
        write(tmp_path, {}, f"annotations/captions_{name}2017.json", images=0)
        save_image(tmp_path / f"{name}2017" / "0.png", seed=len(name))
    summary = import_data("coco", str(tmp_path), tmp_path / "out")
    assert summary.divided == "by the two annotation files"
    assert checked(tmp_path / "out").class_names == ("background", "dog", "cat")
    for side, folder in (("train", "train2017"), ("validation", "val2017")):
        assert (tmp_path / "out" / side / "0.png").read_bytes() == (tmp_path / folder / "0.png").read_bytes()


def test_the_layout_of_roboflow_is_found(tmp_path: Path) -> None:
    for folder in ("train", "valid", "test"):
        write(
            tmp_path,
            document({"segmentation": [box(0, 0, 4, 4)]}, images=1),
            f"{folder}/_annotations.coco.json",
            images=0,
        )
        save_image(tmp_path / folder / "0.png")
    import_data("coco", str(tmp_path), tmp_path / "out")
    assert names(tmp_path / "out" / "train") == names(tmp_path / "out" / "validation") == {"0.png"}


def test_names_never_lead_out_of_the_folder_of_images(tmp_path: Path) -> None:
    content = document({"segmentation": [box(0, 0, 4, 4)]})
    content["images"][0]["file_name"] = "..\\..\\images\\0.png"
    content["images"][1]["file_name"] = "/images/1.png"
    import_data("coco", write(tmp_path / "data", content), tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"images/0", "images/1"}
    save_image(tmp_path / "secret.png")
    content["images"][1]["file_name"] = "../../secret.png"
    with pytest.raises(DataError, match=r"1 of 2 images are not in .*: ../../secret.png"):
        import_data("coco", write(tmp_path / "data", content), tmp_path / "out2")


def test_images_are_found_by_their_names_alone_where_their_folders_are_those_of_another_machine(tmp_path: Path) -> None:
    content = document({"segmentation": [box(0, 0, 4, 4)]})
    content["images"][0]["file_name"] = "/data/upload/0.png"
    content["images"][1]["file_name"] = "images\\7\\1.png"
    import_data("coco", write(tmp_path, content), tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"0", "1"}


def test_images_are_looked_for_where_one_says(tmp_path: Path) -> None:
    source = write(tmp_path / "a", document({"segmentation": [box(0, 0, 4, 4)]}), images=0)
    with pytest.raises(DataError, match=r"names the image 0.png, which is in none of .*: give --images DIR"):
        import_data("coco", source, tmp_path / "out")
    for number in range(2):
        save_image(tmp_path / "b" / f"{number}.png")
    import_data("coco", source, tmp_path / "out", options=FormatOptions(images=tmp_path / "b"))
    assert len(masks(tmp_path / "out")) == 2


def test_an_image_that_the_camera_noted_as_turned_gets_its_mask_turned_back(tmp_path: Path) -> None:
    content = document({"segmentation": [box(1, 0, 3, 5)]})
    content["images"][0] |= {"height": WIDTH, "width": HEIGHT, "file_name": "turned.jpg"}
    source = write(tmp_path, content)
    picture = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    exif = picture.getexif()
    exif[274] = 6  # a quarter turn clockwise stands it upright
    picture.save(tmp_path / "images" / "turned.jpg", exif=exif)
    import_data("coco", source, tmp_path / "out")
    expected = np.zeros((WIDTH, HEIGHT), np.uint8)
    expected[0:5, 1:3] = DOG
    np.testing.assert_array_equal(masks(tmp_path / "out")["turned"], np.rot90(expected))


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"segmentation": [[0, 0, 1, 1, 2]]}, "annotation 100: a polygon has 5 numbers"),
        ({"segmentation": [[0, 0, 1e9, 1, 2, 5]]}, "annotation 100: a point of it lies more than a million"),
        (
            {"segmentation": {"size": [6, 8], "counts": [40]}},
            "annotation 100: the counts of the run lengths add up to 40",
        ),
        ({"segmentation": {"size": [6, 8], "counts": "0P"}}, "annotation 100: compressed run lengths break off"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "the run-length mask is of 9x9 pixels"),
        ({"segmentation": {"size": [6, 8]}}, r"annotations.0.segmentation is {'size': .6, 8.}"),
        ({"segmentation": [["a"]]}, r"annotations.0.segmentation.0.0 is 'a'"),
        ({"segmentation": "text"}, "annotations.0.segmentation"),
        ({"category_id": 3}, "annotations.0 has the category_id 3, but there is no such category"),
        ({"image_id": 33}, "annotations.0 has the image_id 33, but there is no such image"),
    ],
)
def test_bad_annotations_are_named(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        first_mask(tmp_path, {"segmentation": [box(0, 0, 4, 4)], **annotation})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": None}, "categories is None"),
        ({"images": []}, "names no images"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "category id 1 occurs twice"),
        (
            {"images": [{"id": n, "file_name": f"{n}.png", "height": 9, "width": 9} for n in (0, 1)]},
            "image 0.png describes is of 9x9 pixels",
        ),
        ({"images": [{"id": 0, "file_name": "0.png"}] * 2}, "image id 0 occurs twice"),
        ({"annotations": [{"image_id": 0, "segments_info": []}]}, "panoptic annotations, which are not read"),
        ("[{}]", "is a list of results"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is a list of results"),
        ('{"images": ' + "[" * 100_000, "is not valid JSON"),
        ("{}", "images is missing"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    content = {**document(), **change} if isinstance(change, dict) else change
    with pytest.raises(DataError, match=message):
        import_data("coco", write(tmp_path, content), tmp_path / "out")


def test_more_categories_than_classes_are_refused(tmp_path: Path) -> None:
    content = {**document(), "categories": [{"id": index, "name": f"c{index}"} for index in range(300)]}
    with pytest.raises(LabelError, match=r"annotations.json, background and categories: there are 301 class names"):
        import_data("coco", write(tmp_path, content), tmp_path / "out")


def test_a_folder_of_several_files_that_do_not_tell_their_sides_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no annotation file"):
        import_data("coco", str(tmp_path), tmp_path / "out")
    for name in ("one.json", "two.json"):
        write(tmp_path, document(), name)
    with pytest.raises(DataError, match=r"holds 2 files \*.json"):
        import_data("coco", str(tmp_path), tmp_path / "out")
