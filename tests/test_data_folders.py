import logging
from pathlib import Path

import pytest

from segwright.data.folders import find_pairs, list_images
from segwright.errors import DataError
from segwright.storage import FileBlob


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "train").mkdir()
    (tmp_path / "train_annotation").mkdir()
    return tmp_path / "train", tmp_path / "train_annotation"


def keys(images: Path, masks: Path) -> list[str]:
    return [pair.key for pair in find_pairs(images, masks).pairs]


def test_pairs_by_relative_path_sorted_whatever_the_ending(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "b.JPG", "a.jpeg", "sub/a.tif", "c d.webp", "e.bmp", "f.PNG", "notes.txt")
    touch(masks, "b.png", "a.PNG", "sub/a.tiff", "c d.bmp", "e.tif", "f.png", "b.txt")
    pairing = find_pairs(images, masks)
    assert [pair.key for pair in pairing.pairs] == ["a", "b", "c d", "e", "f", "sub/a"]
    assert pairing.pairs[5].image == FileBlob(images / "sub" / "a.tif")
    assert pairing.pairs[5].mask == FileBlob(masks / "sub" / "a.tiff")
    assert pairing.unpaired_images == () and pairing.unpaired_masks == ()


def test_dots_inside_names_belong_to_the_name(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.1.jpg", "a.2.jpg")
    touch(masks, "a.1.png", "a.2.png")
    assert keys(images, masks) == ["a.1", "a.2"]


def test_what_has_no_partner_is_told(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.jpg", "b.jpg")
    touch(masks, "a.png", "c.png")
    pairing = find_pairs(images, masks)
    assert pairing.unpaired_images == (str(images / "b.jpg"),) and pairing.unpaired_masks == (str(masks / "c.png"),)


def test_files_in_other_sub_folders_pair_by_name_where_it_is_unique(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "x/1.jpg", "x/2.jpg", "y/2.jpg", "3.jpg")
    touch(masks, "masks/1.png", "masks/2.png", "4.png")
    pairing = find_pairs(images, masks)
    assert [(pair.key, pair.mask) for pair in pairing.pairs] == [("x/1", FileBlob(masks / "masks/1.png"))]
    assert len(pairing.unpaired_images) == 3 and len(pairing.unpaired_masks) == 2
    assert len(pairing.assumed) == 1 and "(1 pair, for example x/1.jpg with masks/1.png)" in pairing.assumed[0]


def test_hidden_names_and_other_channels_are_skipped(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(
        images,
        "a.jpg",
        ".hidden.jpg",
        ".ipynb_checkpoints/b.jpg",
        "train_annotation/a.png",
        "sub/validation/c.jpg",
    )
    touch(masks, "a.png", "b.png", "c.png", "train/a.png")
    pairing = find_pairs(images, masks)
    assert [pair.image for pair in pairing.pairs] == [FileBlob(images / "a.jpg")]
    assert pairing.unpaired_images == ()
    assert pairing.unpaired_masks == (str(masks / "b.png"), str(masks / "c.png"))


def test_folders_that_are_left_out_are_named(folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    images, masks = folders
    touch(images, "a.jpg", "model/b.jpg")
    touch(masks, "a.png")
    with caplog.at_level(logging.WARNING, "segwright"):
        find_pairs(images, masks)
    assert f"{images / 'model'} is left out" in caplog.text


def test_only_masks_are_foreign_among_pictures_to_predict(tmp_path: Path) -> None:
    touch(tmp_path, "model/a.jpg", "label_map/b.jpg", "test_annotation/c.png")
    assert [stem for stem, _ in list_images([tmp_path])] == ["label_map/b", "model/a"]


def test_splits_below_an_ordinary_folder_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "images/train/a.jpg", "images/validation/b.jpg", "images/train_annotation/c.jpg")
    touch(tmp_path, "masks/train/a.png", "masks/validation/b.png", "masks/train_annotation/c.png")
    assert keys(tmp_path / "images", tmp_path / "masks") == ["train/a", "validation/b"]


def test_two_files_with_one_key_are_refused(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.jpg", "a.png")
    touch(masks, "a.png")
    with pytest.raises(DataError, match=r"a\.jpg and .*a\.png"):
        find_pairs(images, masks)


def test_loops_of_links_end(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    touch(tmp_path, "elsewhere/a.jpg")
    touch(masks, "linked/a.png")
    (images / "linked").symlink_to(tmp_path / "elsewhere")
    (images / "loop").symlink_to(images)
    assert keys(images, masks) == ["linked/a"]


def test_nothing_pairs_says_what_was_looked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    with pytest.raises(DataError, match=r"train holds no images \(\.jpg"):
        find_pairs(images, masks)
    touch(images, "a.jpg")
    with pytest.raises(DataError, match=r"train_annotation holds no masks \(\.png"):
        find_pairs(images, masks)
    touch(masks, "b.jpg")
    with pytest.raises(DataError, match="JPEG"):
        find_pairs(images, masks)
    touch(masks, "b.png", "c.png")
    with pytest.raises(DataError, match=r"None of the 1 images in .*train has a mask in .*annotation, which holds 2"):
        find_pairs(images, masks)
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        find_pairs(tmp_path / "nowhere", masks)
    with pytest.raises(DataError, match=r"a\.jpg is not a folder"):
        find_pairs(images / "a.jpg", masks)


def test_images_to_predict_come_from_files_and_folders(tmp_path: Path) -> None:
    touch(tmp_path, "one.dat", "folder/b.jpg", "folder/sub/c.PNG", "folder/.d.jpg", "folder/e.txt")
    assert list_images([tmp_path / "one.dat", tmp_path / "folder"]) == [
        ("one", FileBlob(tmp_path / "one.dat")),
        ("b", FileBlob(tmp_path / "folder/b.jpg")),
        ("sub/c", FileBlob(tmp_path / "folder/sub/c.PNG")),
    ]


def test_images_that_cannot_be_listed_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.jpg", "y/a.png", "empty/note.txt")
    with pytest.raises(DataError, match=r"x/a\.jpg and .*y/a\.png"):
        list_images([tmp_path / "x", tmp_path / "y" / "a.png"])
    with pytest.raises(DataError, match="empty holds no images"):
        list_images([tmp_path / "empty"])
    with pytest.raises(DataError, match="nowhere does not exist"):
        list_images([tmp_path / "nowhere"])
