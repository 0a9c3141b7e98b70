import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError, LabelError
from segwright.importers import FormatOptions, import_data
from segwright.labels import IGNORE
from tests.helpers.imported import HEIGHT, WIDTH, checked, masks, save_image


def rectangle(label: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    return {"label": label, "points": [[left, top], [right, bottom]], "shape_type": "rectangle"}


def write(folder: Path, name: str, *shapes: dict[str, Any], **change: Any) -> None:
    """An image and its label file, as LabelMe writes them."""
    save_image(folder / f"{name}.png")
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": f"{Path(name).name}.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **change,
    }
    (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "data", "plain", rectangle("road", 0, 3, 8, 6), rectangle("car", 2, 2, 4, 4))
    write(tmp_path / "data", "sub folder/other one", rectangle("car", 0, 0, 2, 2))
    return tmp_path


def run(folder: Path, classes: str | None = None) -> Path:
    if classes is not None:
        (folder / "labels.txt").write_text(classes)
    options = FormatOptions(class_names=None if classes is None else folder / "labels.txt")
    import_data("labelme", str(folder / "data"), folder / "out", options=options, overwrite=True)
    return folder / "out"


def test_shapes_are_drawn_in_their_order_on_background(folder: Path) -> None:
    output = run(folder)
    assert checked(output).class_names == ("_background_", "car", "road")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[3:] = 2
    expected[2:4, 2:4] = 1
    found = masks(output)
    np.testing.assert_array_equal(found["plain"], expected)
    assert found["sub folder/other one"].sum() == 4


def test_class_names_give_the_order_and_the_first_two_are_labelmes_own(folder: Path) -> None:
    write(folder / "data", "third", rectangle("__ignore__", 0, 0, 8, 2), rectangle("road", 0, 4, 8, 6))
    output = run(folder, "__ignore__\n_background_\nroad\nperson\ncar\n")
    assert checked(output).class_names == ("_background_", "road", "person", "car")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:2] = IGNORE
    expected[4:] = 1
    np.testing.assert_array_equal(masks(output)["third"], expected)


def test_without_a_background_class_the_rest_is_ignored(folder: Path) -> None:
    found = masks(run(folder, "road\ncar\n"))
    assert set(np.unique(found["plain"])) == {0, 1, IGNORE}


def test_every_shape_with_an_inside_is_drawn(folder: Path) -> None:
    small = io.BytesIO()
    Image.fromarray(np.array([[0, 1, 1], [1, 1, 0]], np.uint8)).save(small, "PNG")
    write(
        folder / "data",
        "shapes",
        {"label": "road", "points": [[0, 0], [8, 0], [0, 6]], "shape_type": "polygon"},
        {"label": "road", "points": [[5, 3], [7, 3], [7, 5], [5, 5]]},
        {"label": "car", "points": [[4, 4], [4, 5.2]], "shape_type": "circle"},
        {
            "label": "car",
            "points": [[6, 5], [8, 6]],
            "shape_type": "mask",
            "mask": base64.b64encode(small.getvalue()).decode(),
        },
    )
    expected = np.array(
        [
            [2, 2, 2, 2, 2, 2, 2, 0],
            [2, 2, 2, 2, 2, 2, 0, 0],
            [2, 2, 2, 2, 2, 0, 0, 0],
            [2, 2, 2, 1, 1, 2, 2, 0],
            [2, 2, 0, 1, 1, 2, 2, 0],
            [2, 0, 0, 0, 0, 0, 0, 1],
        ]
    )
    found = masks(run(folder))["shapes"]
    centres = np.add.outer((np.arange(HEIGHT) + 0.5) / HEIGHT, (np.arange(WIDTH) + 0.5) / WIDTH)
    off_the_slope = np.abs(centres - 1) > 1e-9
    np.testing.assert_array_equal(found[off_the_slope], expected[off_the_slope])


@pytest.mark.parametrize(("left", "top", "pixels"), [(-1, 0, 2), (6, 4, 4), (7, 1, 3), (20, 20, 0)])
def test_a_mask_that_hangs_over_the_edge_is_cut_off(folder: Path, left: int, top: int, pixels: int) -> None:
    piece = io.BytesIO()
    Image.fromarray(np.array([[1, 1], [1, 1], [1, 0]], np.uint8)).save(piece, "PNG")
    data = base64.b64encode(piece.getvalue()).decode()
    shape = {"label": "car", "points": [[left, top], [left + 1, top + 2]], "shape_type": "mask", "mask": data}
    write(folder / "data", "edge", shape)
    found = masks(run(folder))["edge"]
    assert (found == 1).sum() == pixels
    if pixels:
        assert found[max(top, 0), max(left, 0)] == 1


def test_lines_and_points_are_left_out_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat = [{"label": "wire", "points": [[0, 0], [5, 5]], "shape_type": kind} for kind in ("line", "line", "point")]
    write(folder / "data", "flat", *flat, rectangle("car", 0, 0, 2, 2))
    output = run(folder)
    assert checked(output).class_names == ("_background_", "car", "road")
    assert "shapes of type line, which have no inside, left out: 2 (in flat.png)" in caplog.messages
    assert "shapes of type point, which have no inside, left out: 1 (in flat.png)" in caplog.messages


@pytest.mark.parametrize("kind", ["rectangle", "rotation", "quadrilateral", "oriented_rectangle"])
def test_boxes_of_four_points_are_polygons(folder: Path, kind: str) -> None:
    shape = {"label": "car", "points": [[4, 0], [8, 0], [8, 3], [4, 3]], "shape_type": kind, "difficult": False}
    write(folder / "data", "box", {**shape, "group_id": None, "attributes": {}, "direction": 1.57})
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:3, 4:] = 1
    np.testing.assert_array_equal(masks(run(folder))["box"], expected)


def test_an_image_lies_where_the_path_says_or_in_the_file_itself(folder: Path) -> None:
    image = save_image(folder / "images" / "far.png", seed=5)
    write(folder / "data", "far", rectangle("car", 0, 0, 2, 2), imagePath="..\\images\\far.png")
    write(
        folder / "data",
        "within",
        rectangle("car", 0, 0, 2, 2),
        imagePath="C:\\gone\\missing.jpg",
        imageData=base64.b64encode(image).decode(),
    )
    (folder / "data" / "far.png").unlink()
    (folder / "data" / "within.png").unlink()
    output = run(folder)
    assert set(masks(output)) == {"plain", "sub folder/other one", "far", "within"}
    for name in ("far.png", "within.png"):
        (written,) = (output / split / name for split in ("train", "validation") if (output / split / name).exists())
        assert written.read_bytes() == image


def test_shapes_of_a_turned_photograph_are_turned_back(folder: Path) -> None:
    # LabelMe shows photographs upright, and writes the size of what it shows.
    write(
        folder / "data",
        "turned",
        rectangle("car", 1, 0, 3, 5),
        imagePath="turned.jpg",
        imageHeight=WIDTH,
        imageWidth=HEIGHT,
    )
    picture = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    exif = picture.getexif()
    exif[274] = 6
    picture.save(folder / "data" / "turned.jpg", exif=exif)
    upright = np.zeros((WIDTH, HEIGHT), np.uint8)
    upright[0:5, 1:3] = 1
    np.testing.assert_array_equal(masks(run(folder))["turned"], np.rot90(upright))


def test_files_of_other_programs_are_left_out_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "data" / "names.json").write_text('["road"]')
    assert len(masks(run(folder))) == 2
    assert "1 JSON file left out, not of LabelMe" in caplog.text
    for file in (folder / "data").rglob("*.json"):
        file.write_text("{}")
    with pytest.raises(DataError, match="holds no JSON files of LabelMe"):
        run(folder)


NAN = float("nan")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"points": [[0, 0], [1, 1]]}, "polygons of fewer than three points"),
        ({"points": []}, "polygons of fewer than three points"),
        ({"points": [[0, 0]], "shape_type": "circle"}, "shapes of type circle with another number of points"),
        (
            {"points": [[0, 0], [1, 1], [2, 2]], "shape_type": "rectangle"},
            "shapes of type rectangle with another number of points",
        ),
        ({"points": [[1, 1], [1, 4]], "shape_type": "rectangle"}, "shapes that cover no pixel, as they have no area"),
        ({"points": [[3, 3], [3, 3]], "shape_type": "circle"}, "shapes that cover no pixel, as they have no area"),
        ({"points": [[20, 20], [25, 25]], "shape_type": "rectangle"}, "or lie outside of the image"),
        ({"points": [[0, 0], [1, 1]], "shape_type": "cube"}, "shapes of the unknown type 'cube'"),
        ({"points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": "!"}, "shapes of type mask that cannot be read"),
        ({"points": [[0, 0], [1, 1]], "shape_type": "mask"}, "shapes of type mask that cannot be read"),
        ({"points": [], "shape_type": "mask"}, "shapes of type mask without two points near the image"),
        ({"points": [[0, 0], [1e9, 1], [2, 2]]}, "points that are no numbers or lie more than a million pixels away"),
        ({"points": [[0, 0], [NAN, 1], [2, 2]]}, "shapes that cannot be read, such as those of points that are no"),
        ({"points": [[0, 0], [None, 1], [2, 2]]}, "shapes that cannot be read"),
        ({"points": [[0, 0, 0]]}, "shapes that cannot be read"),
        ({"points": None}, "shapes that cannot be read"),
        ({"label": None, "points": []}, "shapes that cannot be read"),
        ({"label": " ", "points": [[0, 0], [4, 0], [4, 4]]}, "shapes without a label"),
    ],
)
def test_single_bad_shapes_are_left_out_and_counted(
    folder: Path, caplog: pytest.LogCaptureFixture, shape: dict[str, Any], words: str
) -> None:
    write(folder / "data", "bad", {"label": "slip", **shape}, rectangle("car", 0, 0, 2, 2), {"label": "slip", **shape})
    output = run(folder)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:2, :2] = 1
    np.testing.assert_array_equal(masks(output)["bad"], expected)
    (line,) = [message for message in caplog.messages if words in message]
    assert line.endswith("left out: 2 (in bad.png)")


def test_labels_of_nothing_but_slips_are_no_classes(folder: Path) -> None:
    write(folder / "data", "bad", {"label": "caar", "points": [[0, 0], [1, 1]]}, {"label": 7, "points": [[0, 0]] * 3})
    assert checked(run(folder)).class_names == ("_background_", "7", "car", "road")


def test_a_set_in_which_nothing_can_be_drawn_is_refused(folder: Path) -> None:
    for file in (folder / "data").rglob("*.json"):
        content = json.loads(file.read_text())
        content["shapes"] = [{"label": "car", "points": [[0, 0], [5, 5]]}]
        file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="None of the 2 images has a shape that can be drawn"):
        run(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"imagePath": "gone.png"}, "has the imagePath 'gone.png', but there is no such image in"),
        ({"imagePath": "../../../../etc/passwd"}, "there is no such image"),
        ({"imagePath": "bad\0.png"}, "there is no such image"),
        ({"imagePath": None}, "has the imagePath None"),
        ({"imagePath": "", "imageData": "###"}, "bad.json, imageData is not base64 text"),
        ({"imagePath": "", "imageData": "aGVsbG8="}, "bad.json, imageData is not a JPEG, PNG"),
        ({"imagePath": "bad.json.png"}, "is not a JPEG, PNG"),
        ({"imageHeight": "tall"}, "bad.json is not in the form that was expected: imageHeight is 'tall'"),
        ({"shapes": None}, "bad.json is not in the form that was expected: shapes is None"),
    ],
)
def test_files_without_an_image_or_of_another_form_are_left_out_and_named(
    folder: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any], words: str
) -> None:
    write(folder / "data", "bad", rectangle("car", 0, 0, 2, 2), **change)
    (folder / "data" / "bad.json.png").write_text("no picture")
    assert set(masks(run(folder))) == {"plain", "sub folder/other one"}
    assert words in caplog.text and "left out" in caplog.text
    (folder / "data" / "plain.json").unlink()
    (folder / "data" / "sub folder" / "other one.json").unlink()
    with pytest.raises(DataError):
        run(folder)


def test_an_image_of_another_size_is_refused(folder: Path) -> None:
    write(folder / "data", "bad", rectangle("car", 0, 0, 2, 2), imageHeight=5, imageWidth=5)
    with pytest.raises(DataError, match=r"bad.json describes is of 5x5 pixels, but its image is of 8x6"):
        run(folder)


def test_images_are_looked_for_where_one_says(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder / "data", "far", rectangle("car", 0, 0, 2, 2), imagePath="D:\\pictures\\far.png")
    (folder / "data" / "far.png").rename(folder / "far.png")
    assert "far" not in masks(run(folder))
    assert "give the folder of the images with --images DIR" in caplog.text
    (folder / "pictures" / "2024").mkdir(parents=True)
    (folder / "far.png").rename(folder / "pictures" / "2024" / "far.png")
    options = FormatOptions(images=folder / "pictures")
    import_data("labelme", str(folder / "data"), folder / "out", options=options, overwrite=True)
    assert masks(folder / "out")["far"].sum() == 4


def test_traces_of_macs_and_hidden_files_are_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("._plain.json", ".DS_Store", "__MACOSX/._plain.json", "__MACOSX/plain.json", ".hidden/plain.json"):
        (folder / "data" / name).parent.mkdir(exist_ok=True)
        (folder / "data" / name).write_bytes(b'\0\5\x16\7 "shapes" "imagePath"')
    assert set(masks(run(folder))) == {"plain", "sub folder/other one"}
    assert "label files" not in caplog.text and "JSON files" not in caplog.text


def test_images_without_a_label_file_are_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_image(folder / "data" / "unlabelled.png")
    run(folder)
    assert "1 image left out, without labels: " in caplog.text


def test_several_label_files_of_an_image_are_warned_about(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copyfile(folder / "data" / "plain.json", folder / "data" / "again.json")
    assert {"plain", "again"} <= set(masks(run(folder)))
    (warning,) = [message for message in caplog.messages if "images with several label files" in message]
    assert warning.count(".png") == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_byte_order_mark_is_no_obstacle(folder: Path, encoding: str) -> None:
    file = folder / "data" / "plain.json"
    file.write_text(file.read_text(), encoding)
    assert len(masks(run(folder))) == 2


def test_labels_that_the_class_names_lack_are_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(
        LabelError, match=r"plain.json has the label 'road', which .*labels.txt does not name. Did you mean 'roads'"
    ):
        run(folder, "_background_\nroads\ncar\n")


def test_a_file_that_is_no_json_is_named_and_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "data" / "broken.json").write_text('{"shapes": [], "imagePath": ')
    assert len(masks(run(folder))) == 2
    assert "1 of 3 label files left out" in caplog.text and "broken.json is not valid JSON" in caplog.text


@pytest.mark.parametrize("word", ["background", "Background", "__background__"])
def test_the_usual_words_for_background_are_background(folder: Path, word: str) -> None:
    found = masks(run(folder, f"{word}\nroad\ncar\n"))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[3:] = 1
    expected[2:4, 2:4] = 2
    np.testing.assert_array_equal(found["plain"], expected)
    write(folder / "data", "third", rectangle("car", 0, 0, 8, 6), rectangle(word, 0, 0, 2, 2))
    found = masks(run(folder))
    assert checked(folder / "out").class_names == ("_background_", "car", "road")
    assert (found["third"] == 0).sum() == 4
