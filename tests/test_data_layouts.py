from pathlib import Path

import pytest

from segwright.data.layouts import find_layout, find_split, undivided
from segwright.errors import DataError


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("names", "channels"),
    [
        (("train", "valid", "test"), ("train", "train", "valid", "valid")),
        (("train", "val"), ("train", "train", "val", "val")),
        (
            ("train/images", "train/masks", "val/images", "val/masks"),
            ("train/images", "train/masks", "val/images", "val/masks"),
        ),
        (
            ("images/train", "images/val", "labels/train", "labels/val"),
            ("images/train", "labels/train", "images/val", "labels/val"),
        ),
        (
            (
                "training/JPEGImages",
                "training/SegmentationClass",
                "validation/JPEGImages",
                "validation/SegmentationClass",
            ),
            (
                *("training/JPEGImages", "training/SegmentationClass"),
                *("validation/JPEGImages", "validation/SegmentationClass"),
            ),
        ),
        (
            ("train", "trainannot", "val", "valannot", "test", "testannot"),
            ("train", "trainannot", "val", "valannot"),
        ),
        (("train", "train_labels", "test", "test_labels"), ("train", "train_labels", "test", "test_labels")),
        (
            ("leftImg8bit/train/aachen", "leftImg8bit/val/ulm", "gtFine/train/aachen", "gtFine/val/ulm"),
            ("leftImg8bit/train", "gtFine/train", "leftImg8bit/val", "gtFine/val"),
        ),
        (
            ("img_dir/train", "ann_dir/train", "img_dir/val", "ann_dir/val"),
            ("img_dir/train", "ann_dir/train", "img_dir/val", "ann_dir/val"),
        ),
    ],
)
def test_folders_as_tools_write_them(tmp_path: Path, names: tuple[str, ...], channels: tuple[str, ...]) -> None:
    folders(tmp_path, *names)
    layout = find_layout(tmp_path)
    assert layout is not None
    assert tuple(layout.channels.values()) == tuple(tmp_path / channel for channel in channels)
    assert ("test is not trained on" in layout.description) == ("test" in names and "test" not in channels)


@pytest.mark.parametrize("names", [("train",), ("images", "masks"), ("train/images", "val/images"), ("p1", "p2"), ()])
def test_other_folders_are_no_layout(tmp_path: Path, names: tuple[str, ...]) -> None:
    folders(tmp_path, *names)
    assert find_layout(tmp_path) is None


def test_two_folders_for_one_channel_are_refused(tmp_path: Path) -> None:
    folders(tmp_path, "train", "train_masks", "train_labels", "val", "val_masks")
    with pytest.raises(DataError, match=r"masks for train: .*train_labels, .*train_masks.*a location each"):
        find_layout(tmp_path)


def test_single_splits_are_found_and_folders_that_are_not_divided(tmp_path: Path) -> None:
    folders(tmp_path, "images", "masks", "masks/p1", "test", "test_annotation", "train", "label_map")
    assert find_split(tmp_path, "") == (tmp_path / "images", tmp_path / "masks")
    assert find_split(tmp_path, "test") == (tmp_path / "test", tmp_path / "test_annotation")
    assert find_split(tmp_path, "train") == (tmp_path / "train", None)
    assert find_split(tmp_path, "validation") is None
    folders(tmp_path, "labels")
    with pytest.raises(DataError, match=r"Several folders could hold the masks: .*Leave one of them there\."):
        find_split(tmp_path, "")


def test_undivided_data_are_told_how_to_go_on(tmp_path: Path) -> None:
    folders(tmp_path, "imgs", "masks")
    assert "imgs and masks are there, but not divided into train and validation" in undivided(tmp_path)
    folders(tmp_path / "voc", "JPEGImages", "SegmentationClass")
    assert undivided(tmp_path).endswith("`segwright split` does that.")
    folders(tmp_path / "half", "train", "train_annotation")
    assert "train and train_annotation are there" in undivided(tmp_path / "half")
    assert "import-data voc" in undivided(tmp_path / "voc")
    folders(tmp_path, "empty/other")
    assert undivided(tmp_path / "empty") == ""
