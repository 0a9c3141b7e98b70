from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.importers import FormatOptions, import_data
from segwright.importers.geometry import ImageGeometry
from segwright.importers.yolo import draw_labels
from segwright.labels import IGNORE
from segwright.storage import BytesBlob
from tests.helpers.imported import HEIGHT, WIDTH, checked, masks, names, save_image

LEFT = "0 0 0 0.5 0 0.5 1 0 1\n"
CORNER = "1 0 0 0.25 0 0.25 0.5 0 0.5\n"
YAML = "path: ../datasets/mine\ntrain: images/train\nval: images/val\nnames:\n  0: car\n  1: tree\n"


def half(value: int = 1) -> NDArray[np.uint8]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = value
    return mask


def save_pair(
    folder: Path, name: str, labels: str | None = LEFT, images: str = "images", texts: str = "labels"
) -> None:
    save_image(folder / images / f"{name}.jpg")
    if labels is not None:
        file = folder / texts / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(labels, newline="")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    for name in ("train/a", "train/b", "val/c"):
        save_pair(data, name)
    (data / "data.yaml").write_text(YAML)
    return tmp_path


def run(folder: Path, source: str = "data", **options: Any) -> dict[str, NDArray[np.uint8]]:
    chosen = FormatOptions(**options)
    import_data("yolo", str(folder / source), folder / "out", options=chosen, overwrite=True)
    return masks(folder / "out")


def test_polygons_become_classes_after_background_and_the_yaml_divides(folder: Path) -> None:
    save_pair(folder / "data", "train/a", CORNER + LEFT)
    found = run(folder)
    assert checked(folder / "out").class_names == ("background", "car", "tree")
    assert names(folder / "out" / "train") == {"a.jpg", "b.jpg"}
    assert names(folder / "out" / "validation") == {"c.jpg"}
    expected = half()
    expected[:3, :2] = 2  # the smaller lies above, whatever the order
    np.testing.assert_array_equal(found["a"], expected)
    np.testing.assert_array_equal(found["b"], half())


def test_a_class_called_background_is_class_zero(folder: Path) -> None:
    (folder / "data" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [Background, no, car]\n")
    save_pair(folder / "data", "train/a", "0 0 0 1 0 1 1 0 1\n2 0 0 0.5 0 0.5 1 0 1\n")
    found = run(folder)
    assert checked(folder / "out").class_names == ("background", "no", "car")
    np.testing.assert_array_equal(found["a"], half(2))
    np.testing.assert_array_equal(found["b"], half(0))


@pytest.mark.parametrize(
    "yaml",
    [
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['car', 'tree']\n",
        "train: /content/datasets/mine-3/train/images\nvalid: C:\\mine\\valid\\images\nnames: ['car', 'tree']\n",
        "path: /somewhere/else\ntrain: [train/images]\nval: valid/images\nnames: {0: car, 1: tree}\n",
        "path: .\ntrain: ./train\nval: ./valid\nnames:\n- car\n- tree\n",
    ],
)
def test_paths_of_other_machines_and_roboflows(tmp_path: Path, yaml: str) -> None:
    data = tmp_path / "data"
    save_pair(data, "a_jpg.rf.01", images="train/images", texts="train/labels")
    save_pair(data, "b_jpg.rf.02", images="valid/images", texts="valid/labels")
    (data / "data.yaml").write_text(yaml)
    found = run(tmp_path, "data/data.yaml")
    assert names(tmp_path / "out" / "validation") == {"b_jpg.rf.02.jpg"}
    for mask in found.values():
        np.testing.assert_array_equal(mask, half())


def test_lists_of_images_as_cvat_writes_them(folder: Path) -> None:
    data = folder / "data"
    (data / "data.yaml").write_text("path: ./\ntrain: train.txt\nval: val.txt\nnames:\n  0: car\n")
    (data / "train.txt").write_text("images/train/a.jpg\r\ndata/images/train/b.jpg\r\n")
    (data / "val.txt").write_text("./images/val/c.jpg\n")
    found = run(folder)
    assert set(found) == {"a", "b", "c"}
    assert names(folder / "out" / "validation") == {"c.jpg"}
    np.testing.assert_array_equal(found["a"], half())


@pytest.mark.parametrize(("images", "texts"), [("images", "labels"), (".", ".")])
def test_folders_without_a_description(tmp_path: Path, images: str, texts: str) -> None:
    data = tmp_path / "data"
    for name in ("x", "y", "z"):
        save_pair(data, name, images=images, texts=texts)
    (data / "classes.txt").write_text("boat\nship\n")
    found = run(tmp_path)
    assert checked(tmp_path / "out").class_names == ("background", "boat", "ship")
    assert set(found) == {"x", "y", "z"}
    np.testing.assert_array_equal(found["x"], half())


def test_label_files_elsewhere_name_their_images(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("x", "y"):
        save_pair(data, name, images="img", texts="ann/txt")
    (data / "classes.txt").write_text("boat\n")
    with pytest.raises(DataError, match=r"none of the 2 images.* has a label file.*--images DIR"):
        run(tmp_path)
    found = run(tmp_path, images=data / "img")
    assert checked(tmp_path / "out").class_names == ("background", "boat")
    assert set(found) == {"x", "y"}
    np.testing.assert_array_equal(found["x"], half())


def test_names_beside_the_labels(tmp_path: Path) -> None:
    for name in ("x", "y"):
        save_pair(tmp_path / "data", name)
    (tmp_path / "data" / "labels" / "classes.txt").write_text("boat\n")
    run(tmp_path)
    assert checked(tmp_path / "out").class_names == ("background", "boat")


def test_without_names_classes_are_called_by_their_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_pair(tmp_path / "data", "x", "7 0 0 0.5 0 0.5 1 0 1\n")
    save_pair(tmp_path / "data", "y")
    run(tmp_path)
    assert checked(tmp_path / "out").class_names == ("background", "0", "7")
    assert "classes are called by their numbers" in caplog.text


@pytest.mark.parametrize("listed", [True, False])
def test_images_may_lie_elsewhere(folder: Path, listed: bool) -> None:
    data = folder / "data"
    if listed:
        (data / "data.yaml").write_text("path: .\ntrain: train.txt\nval: val.txt\nnames:\n  0: car\n")
        (data / "train.txt").write_text("data/images/train/a.jpg\ndata/images/train/b.jpg\n")
        (data / "val.txt").write_text("data/images/val/c.jpg\n")
    for name in ("train/a", "train/b", "val/c"):
        file = data / "images" / f"{name}.jpg"
        save_image(folder / "photos" / file.name)
        file.unlink()
    with pytest.raises(DataError, match="--images DIR"):
        run(folder)
    found = run(folder, images=folder / "photos")
    assert names(folder / "out" / "validation") == {"c.jpg"}
    assert set(found) == {"a", "b", "c"}
    np.testing.assert_array_equal(found["c"], half())


def test_images_without_labels_are_background(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_pair(folder / "data", "train/none", None)
    save_pair(folder / "data", "train/empty", "")
    found = run(folder)
    assert not found["none"].any() and not found["empty"].any()
    assert "images without a label file, which are all background: 1 of 5" in caplog.text


def test_lines_that_are_no_outline_are_left_out_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = (
        "0 0.5 0.5 0.2 0.2",  # a box
        "0 0.5 0.5 0.2 0.2 0.9",  # with its confidence
        "1 0.5 0.5",
        "1 ? 0 0 1 1 1",
        "-1 0 0 0.5 0 0.5 1",
        "1 nan 0 0.5 0 0.5 1",
        "0 10 10 40 10 40 40",
        "9 0.5 0 1 0 1 0.5 0.5 0.5",  # no such class
        "0 -0.02 0 0.5 0 0.5 1.01 0 1 0.87",  # slightly outside, and a confidence
        "",
    )
    save_pair(folder / "data", "train/a", "\r\n".join(lines))
    expected = half()
    expected[:3, 4:] = IGNORE
    np.testing.assert_array_equal(run(folder)["a"], expected)
    for words in (
        "five numbers), left out: 2",
        "polygons of fewer than three points, left out: 1",
        "label lines that are not a class number and points, left out: 3",
        "polygons with coordinates far outside of 0 to 1, left out: 1",
        "polygons of class numbers that have no name, ignored: 1",
    ):
        assert words in caplog.text


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("0 0.5 0.5 0.2 0.2\n", "this is a data set for detection"),
        ("0 10 10 40 10 40 40\n", "fractions of width and height"),
        ("", "nothing to learn"),
        ("car\n", "a line is a class number and three points or more"),
    ],
)
def test_sets_without_outlines_are_refused(folder: Path, labels: str, words: str) -> None:
    for name in ("train/a", "train/b", "val/c"):
        save_pair(folder / "data", name, labels)
    with pytest.raises(DataError, match=words):
        run(folder)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_outlines_of_a_turned_photograph_lie_over_the_stored_pixels(
    folder: Path, orientation: int, caplog: pytest.LogCaptureFixture
) -> None:
    upright = np.full((48, 32, 3), 40, np.uint8)
    upright[8:24, 16:24] = 220
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = folder / "data" / "images" / "train" / "turned.png"
    Image.fromarray(upright).transpose(turns[orientation]).save(file, exif=exif)
    outline = f"0 0.5 {8 / 48} 0.75 {8 / 48} 0.75 0.5 0.5 0.5\n"
    (folder / "data" / "labels" / "train" / "turned.txt").write_text(outline)
    stored = np.asarray(Image.open(file))[..., 0] > 128
    np.testing.assert_array_equal(run(folder)["turned"] == 1, stored)
    assert "1 of 4 (turned.png)" in caplog.text and "apply_exif_orientation" in caplog.text


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("a: &a [x]\nnames: [*a]\n", "a class number and its name"),
        ("names: [a\n", "is not valid YAML"),
        ("- a\n", "is no data.yaml"),
        ("names: " + "[" * 1500, "is not valid YAML"),
        ("train: x\nkpt_shape: [17, 3]\nnames: [a]\n", "describes poses"),
        ("names: {a: b}\n", "a class number and its name"),
        ("train: nowhere\nnames: [a]\n", "no images at nowhere"),
    ],
)
def test_descriptions_that_cannot_be_used_are_refused(folder: Path, yaml: str, words: str) -> None:
    (folder / "data" / "data.yaml").write_text(yaml)
    with pytest.raises(DataError, match=words):
        run(folder, "data/data.yaml")


def test_images_of_one_name_in_both_splits_keep_their_folders(folder: Path) -> None:
    save_pair(folder / "data", "val/a")
    run(folder)
    assert names(folder / "out" / "train") == {"train_/a.jpg", "train_/b.jpg"}
    assert names(folder / "out" / "validation") == {"val/a.jpg", "val/c.jpg"}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, WIDTH - 1),
            st.integers(0, HEIGHT - 1),
            st.integers(1, WIDTH),
            st.integers(1, HEIGHT),
        ),
        max_size=6,
    )
)
def test_rectangles_are_drawn_to_the_pixel(boxes: list[tuple[int, int, int, int, int]]) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    lines = []
    for number, x, y, width, height in sorted(boxes, key=lambda box: -box[3] * box[4]):
        expected[y : y + height, x : x + width] = number + 1
        points = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        lines.append(" ".join([str(number), *(f"{column / WIDTH} {row / HEIGHT}" for column, row in points)]))
    labels = BytesBlob("a.txt", "\n".join(lines).encode())
    drawn = draw_labels(labels, {number: number + 1 for number in range(4)}, ImageGeometry((HEIGHT, WIDTH)))
    np.testing.assert_array_equal(drawn.mask, expected)
    assert drawn.shapes == len(boxes)


@given(st.binary(max_size=200))
def test_any_bytes_are_lines(data: bytes) -> None:
    draw_labels(BytesBlob("a.txt", data), {0: 1}, ImageGeometry((HEIGHT, WIDTH)))


def test_roboflows_paths_stay_in_their_folder_though_another_set_lies_beside(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        save_pair(tmp_path / "mine" / split, f"mine_{split}")
        save_pair(tmp_path / split, f"other_{split}")
    (tmp_path / "mine" / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnames: [car]\n")
    import_data("yolo", str(tmp_path / "mine"), tmp_path / "out")
    assert set(masks(tmp_path / "out")) == {"mine_train", "mine_valid"}
