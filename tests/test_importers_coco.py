import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError, LabelError
from segwright.importers import FormatOptions, SplitOptions, import_data
from tests.helpers.coco import CAT, CATEGORIES, DOG, GOOD, box, document, first_mask, region, write
from tests.helpers.imported import HEIGHT, WIDTH, checked, masks, names, save_image

GROUP = {"id": 0, "name": "fishes", "supercategory": "none"}


def test_classes_are_background_and_the_categories_in_their_order(tmp_path: Path) -> None:
    found = first_mask(
        tmp_path, {"segmentation": [box(1, 1, 4, 3)]}, {"category_id": 90, "segmentation": [box(5, 0, 8, 6)]}
    )
    assert checked(tmp_path / "out").class_names == ("background", "dog", "cat")
    expected = region(1, 1, 4, 3) * DOG + region(5, 0, 8, 6) * CAT
    np.testing.assert_array_equal(found, expected)
    assert not masks(tmp_path / "out")["1"].any()


def test_images_without_annotations_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "segwright"):
        first_mask(tmp_path, {"segmentation": [box(0, 0, 4, 4)]})
    assert "1 of 2 images without annotations, all background" in caplog.text


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
    for split, folder in (("train", "train2017"), ("validation", "val2017")):
        assert (tmp_path / "out" / split / "0.png").read_bytes() == (tmp_path / folder / "0.png").read_bytes()


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


def test_names_never_lead_out_of_the_folder_of_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = document({"segmentation": [box(0, 0, 4, 4)]})
    content["images"][0]["file_name"] = "..\\..\\images\\0.png"
    content["images"][1]["file_name"] = "/images/1.png"
    import_data("coco", write(tmp_path / "data", content), tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"images/0", "images/1"}
    save_image(tmp_path / "secret.png")
    content["images"][1]["file_name"] = "../../secret.png"
    with pytest.raises(DataError, match="No pair is left to validate with"):
        import_data("coco", write(tmp_path / "data", content), tmp_path / "out2")
    assert "1 of 2 images left out, not found: secret.png" in caplog.text


def test_images_are_found_by_their_names_alone_where_their_folders_are_those_of_another_machine(tmp_path: Path) -> None:
    content = document({"segmentation": [box(0, 0, 4, 4)]})
    content["images"][0]["file_name"] = "/data/upload/0.png"
    content["images"][1]["file_name"] = "images\\7\\1.png"
    import_data("coco", write(tmp_path, content), tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"0", "1"}


def test_images_are_looked_for_where_one_says(tmp_path: Path) -> None:
    source = write(tmp_path / "a", document({"segmentation": [box(0, 0, 4, 4)]}), images=0)
    message = r"none of the 2 images is there, for example 0.png; looked for in .*folder with --images DIR"
    with pytest.raises(DataError, match=message):
        import_data("coco", source, tmp_path / "out")
    for number in range(2):
        save_image(tmp_path / "b" / f"{number}.png")
    import_data("coco", source, tmp_path / "out", options=FormatOptions(images=tmp_path / "b"))
    assert len(masks(tmp_path / "out")) == 2


def test_images_are_found_by_as_much_of_their_path_as_tells_them_apart(tmp_path: Path) -> None:
    content = document(GOOD, {**GOOD, "image_id": 2, "category_id": 90}, images=4)
    stated = ("north/1.jpg", "south/1.jpg", "C:\\data\\1a2b3c4d-My%20photo.JPG", "https://host/x/last.png?token=a/b")
    for image, name in zip(content["images"], stated, strict=True):
        image["file_name"] = name
    source = write(tmp_path / "a", content, images=0)
    for name in ("2024/North/1.jpg", "2024/south/1.jpg", "2024/other/My photo.jpg", "last.webp"):
        save_image(tmp_path / "b" / name)
    save_image(tmp_path / "b" / "__MACOSX" / "2024" / "north" / "1.jpg")
    import_data("coco", source, tmp_path / "out", options=FormatOptions(images=tmp_path / "b"))
    found = masks(tmp_path / "out")
    assert set(found) == {"2024/North/1", "2024/south/1", "2024/other/My photo", "last"}
    np.testing.assert_array_equal(found["2024/North/1"], region(0, 0, 4, 4) * DOG)
    np.testing.assert_array_equal(found["2024/other/My photo"], region(0, 0, 4, 4) * CAT)


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


def test_ids_may_be_text_here_and_numbers_there(tmp_path: Path) -> None:
    content = document({**GOOD, "image_id": "0", "category_id": 7.0}, {**GOOD, "image_id": "b", "category_id": 90})
    content["images"][1]["id"] = "b"
    content["categories"] = [{"id": "7", "name": "dog"}, {"id": "90", "name": "cat"}]
    import_data("coco", write(tmp_path, content), tmp_path / "out")
    found = masks(tmp_path / "out")
    np.testing.assert_array_equal(found["0"], region(0, 0, 4, 4) * DOG)
    np.testing.assert_array_equal(found["1"], region(0, 0, 4, 4) * CAT)


def test_a_category_that_only_groups_others_is_no_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = document(GOOD, {**GOOD, "image_id": 1, "category_id": 90})
    content["categories"] = [GROUP, *({**one, "supercategory": "fishes"} for one in CATEGORIES)]
    with caplog.at_level("INFO", "segwright"):
        import_data("coco", write(tmp_path, content), tmp_path / "out")
    assert checked(tmp_path / "out").class_names == ("background", "dog", "cat")
    np.testing.assert_array_equal(masks(tmp_path / "out")["1"], region(0, 0, 4, 4) * CAT)
    assert "categories left out, which only group others: fishes" in caplog.messages


def test_groups_of_groups_are_no_classes_and_classes_that_nobody_used_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = document(GOOD)
    content["categories"] = [
        {"id": 1, "name": "Animals", "supercategory": None},
        {"id": 2, "name": "pets", "supercategory": "animals "},
        {"id": 7, "name": "dog", "supercategory": "Pets"},
        {"id": 8, "name": "cat", "supercategory": "pets"},
        {"id": 9, "name": "stone", "supercategory": "stone"},
    ]
    with caplog.at_level("INFO", "segwright"):
        import_data("coco", write(tmp_path, content), tmp_path / "out")
    assert checked(tmp_path / "out").class_names == ("background", "dog", "cat", "stone")
    assert "categories left out, which only group others: Animals, pets" in caplog.messages
    assert "categories without annotations, which stay classes: cat, stone" in caplog.messages


def test_a_group_that_is_annotated_itself_stays_a_class(tmp_path: Path) -> None:
    content = document({**GOOD, "category_id": 0})
    content["categories"] = [GROUP, {"id": 7, "name": "dog", "supercategory": "fishes"}]
    import_data("coco", write(tmp_path, content), tmp_path / "out")
    assert checked(tmp_path / "out").class_names == ("background", "fishes", "dog")


def test_a_category_called_background_is_class_0_however_it_is_written(tmp_path: Path) -> None:
    content = document({**GOOD, "category_id": 90})
    content["categories"] = [{"id": 7, "name": "Background"}, {"id": 90, "name": 12}]
    import_data("coco", write(tmp_path, content), tmp_path / "out")
    assert checked(tmp_path / "out").class_names == ("background", "12")


def test_repeated_entries_are_merged_where_they_agree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = document(GOOD, {"category_id": 90, "image_id": 5, "segmentation": [box(6, 0, 8, 2)]})
    content["images"] += [content["images"][1], {**content["images"][0], "id": 5}]
    content["categories"] = [*CATEGORIES, CATEGORIES[0]]
    import_data("coco", write(tmp_path, content), tmp_path / "out")
    np.testing.assert_array_equal(masks(tmp_path / "out")["0"], region(0, 0, 4, 4) * DOG + region(6, 0, 8, 2) * CAT)
    for words in ("of image ids that occur before, left out: 1", "of category ids that occur before, left out: 1"):
        assert words in caplog.text
    assert "images listed several times, drawn once with all annotations: 0.png" in caplog.text


def test_images_that_are_missing_or_no_images_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = document(GOOD, images=5)
    source = write(tmp_path, content, images=4)
    (tmp_path / "images" / "2.png").write_bytes(b"")
    whole = (tmp_path / "images" / "3.png").read_bytes()
    (tmp_path / "images" / "3.png").write_bytes(whole[: len(whole) // 2])
    import_data("coco", source, tmp_path / "out", split=SplitOptions(0.4))
    assert set(masks(tmp_path / "out")) == {"0", "1"}
    assert "1 of 5 images left out, not found: 4.png" in caplog.text
    assert "2 of 4 pairs left out, not readable" in caplog.text and "2.png is empty" in caplog.text


def test_two_images_that_only_one_file_could_be_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = document(GOOD, images=4)
    content["images"][2]["file_name"], content["images"][3]["file_name"] = "a/9.png", "b/9.png"
    source = write(tmp_path, content)
    save_image(tmp_path / "images" / "9.png")
    import_data("coco", source, tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"0", "1"}
    assert "2 of 4 images left out, as only one file is there for several of a name: a/9.png" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path, encoding: str) -> None:
    source = write(tmp_path, document(GOOD))
    Path(source).write_text(json.dumps(document(GOOD)), encoding)
    import_data("coco", source, tmp_path / "out")
    assert len(masks(tmp_path / "out")) == 2


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
        (
            {"images": [{"id": 0, "file_name": "0.png"}, {"id": "0", "file_name": "1.png"}]},
            "image id 0 occurs twice, for 0.png and 1.png",
        ),
        (
            {"images": [{"id": 0}, 5]},
            "names no images. 2 of 2 images left out, not readable: images.0 .*file_name is missing",
        ),
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


def test_the_layout_of_roboflow_says_which_of_the_files_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("train", "valid", "test", "__MACOSX"):
        save_image(tmp_path / folder / "0.png")
        write(tmp_path, document(GOOD, images=1), f"{folder}/_annotations.coco.json", images=0)
        (tmp_path / folder / "._annotations.coco.json").write_bytes(b"\0\5\x16\7")
    with caplog.at_level("INFO", "segwright"):
        import_data("coco", str(tmp_path), tmp_path / "out")
    not_used = "test/_annotations.coco.json not used, being neither for training nor for validation"
    assert not_used in caplog.messages


def test_without_a_file_for_validation_the_one_for_training_is_divided(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        write(tmp_path / folder, document(GOOD), "_annotations.coco.json")
    (tmp_path / "package.json").write_text("{}")
    assert import_data("coco", str(tmp_path), tmp_path / "out").divided == "drawn by seed 0"


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


def test_given_images_lie_in_folders_that_are_called_as_their_files_are(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write(tmp_path / "export", document(GOOD, images=1), f"{split}/_annotations.coco.json", images=0)
        save_image(tmp_path / "home" / split / "0.png", seed=len(split))
    options = FormatOptions(images=tmp_path / "home")
    import_data("coco", str(tmp_path / "export"), tmp_path / "out", options=options)
    for split, folder in (("train", "train"), ("validation", "valid")):
        home = tmp_path / "home" / folder / "0.png"
        assert (tmp_path / "out" / split / "0.png").read_bytes() == home.read_bytes()
