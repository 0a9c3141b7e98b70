import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from segwright.data.folders import find_pairs, list_images
from segwright.errors import DataError
from segwright.storage import FileBlob, S3Location
from segwright.storage import locations as places
from segwright.storage.s3 import S3Blob
from tests.helpers.files import touch


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
    assert f"{images / 'model'} is left out, because of another channel's name." in caplog.text


def test_only_masks_are_foreign_among_images_to_predict(tmp_path: Path) -> None:
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


def test_images_and_masks_side_by_side_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "b_mask.png", "a.jpg", "a_mask.png", "c.jpg", "a_vis.png", "notes.txt")
    pairing = find_pairs(tmp_path, tmp_path)
    assert [(pair.key, pair.image, pair.mask) for pair in pairing.pairs] == [
        ("a", FileBlob(tmp_path / "a.jpg"), FileBlob(tmp_path / "a_mask.png")),
        ("b", FileBlob(tmp_path / "b.jpg"), FileBlob(tmp_path / "b_mask.png")),
    ]
    assert pairing.unpaired_images == (str(tmp_path / "a_vis.png"), str(tmp_path / "c.jpg"))
    assert pairing.assumed == (
        'masks are named as their images plus "_mask" (2 pairs, for example a.jpg with a_mask.png)',
    )


def test_one_folder_is_known_through_links_and_other_spellings(tmp_path: Path) -> None:
    touch(tmp_path, "data/a.png", "data/a_mask.png")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for other in (tmp_path / "link", tmp_path / "data" / ".." / "data"):
        assert [pair.mask.name for pair in find_pairs(tmp_path / "data", other).pairs] == [
            str(tmp_path / "data/a_mask.png")
        ]


def test_a_mask_is_never_its_own_image(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.png", "one/b.png")
    with pytest.raises(DataError, match=r"2 masks would be their own images: images and masks lie in one folder"):
        find_pairs(tmp_path / "one", tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a.png").symlink_to(tmp_path / "one" / "a.png")
    (tmp_path / "two" / "b.png").hardlink_to(tmp_path / "one" / "b.png")
    with pytest.raises(DataError, match=r"2 masks would be their own images, for example .*one/a\.png"):
        find_pairs(tmp_path / "one", tmp_path / "two")


def test_masks_in_a_sub_folder_of_the_images_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "data/a.png", "data/b.png", "data/masks/a.png", "data/masks/b.png")
    pairing = find_pairs(tmp_path / "data", tmp_path / "data" / "masks")
    assert [(pair.key, pair.mask.name) for pair in pairing.pairs] == [
        ("a", str(tmp_path / "data/masks/a.png")),
        ("b", str(tmp_path / "data/masks/b.png")),
    ]
    assert pairing.unpaired_images == () and not pairing.assumed


def test_what_is_known_of_names_is_said_where_nothing_pairs(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.jpg", "b.jpg")
    touch(masks, "task-3-annotation-3-by-1-tag-tree-0.png", "task-4-annotation-4-by-1-tag-car-0.png")
    with pytest.raises(DataError, match=r"images are a\.jpg, b\.jpg, masks task-3.*import-data label-studio"):
        find_pairs(images, masks)


def test_masks_of_single_objects_are_told_from_masks_of_classes(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.jpg", "b.jpg")
    touch(masks, "a_0.png", "a_1.png", "b_0.png")
    with pytest.raises(DataError, match="2 masks begin with the name of the image a: a mask holds all classes"):
        find_pairs(images, masks)


@pytest.mark.parametrize(("ending", "cure"), [("json", "labelme"), ("txt", "yolo"), ("npy", "arrays")])
def test_annotations_that_are_no_masks_are_named_with_what_reads_them(
    folders: tuple[Path, Path], ending: str, cure: str
) -> None:
    images, masks = folders
    touch(images, "a.jpg")
    touch(masks, f"a.{ending}")
    with pytest.raises(DataError, match=rf"train_annotation holds no masks .* but \.{ending} \(1\)\. .*{cure}"):
        find_pairs(images, masks)


def test_a_gif_gives_way_to_a_mask_of_the_same_name(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.jpg", "b.jfif")
    touch(masks, "a.png", "a.gif", "b.gif")
    pairing = find_pairs(images, masks)
    assert [Path(pair.mask.name).name for pair in pairing.pairs] == ["a.png", "b.gif"]
    assert [str(unread) for unread in pairing.unread] == [f"1 file is not read: .gif (1), for example {masks}/a.gif"]


def test_images_that_are_not_read_are_counted_by_ending(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.jpg", "b.jpe", "c.heic", "d.HEIC", "e.nii.gz", "f.gif", "sub/g.mp4", "notes.txt", ".h.heic")
    touch(images, "__MACOSX/a.jpg", "._a.jpg", "Thumbs.db", "i.unknown")
    touch(masks, "a.png", "b.tif", "c.jpg")
    pairing = find_pairs(images, masks)
    assert [pair.key for pair in pairing.pairs] == ["a", "b"] and not pairing.unpaired_images
    of_images, of_masks = pairing.unread
    assert str(of_images).startswith("5 files are not read: .heic (2), .nii.gz (1), .gif (1), .mp4 (1), for example")
    assert of_images.cure == "Convert them to JPEG, as with `magick c.heic c.jpg`."
    assert str(of_masks).startswith("1 file is not read: .jpg (1)") and "class numbers" in of_masks.cure


@pytest.mark.parametrize("name", ["a", "a.jpg ", "a.jpg_large", "a.jpg~"])
def test_images_of_strange_endings_are_known_by_their_bytes(folders: tuple[Path, Path], name: str) -> None:
    images, masks = folders
    touch(images, "b.jpg", "text")
    touch(masks, "b.png")
    (images / name).write_bytes(b"\xff\xd8\xff\xe0 and so on")
    (unread,) = find_pairs(images, masks).unread
    assert unread.names == (str(images / name),) and "give them the ending of their format" in unread.cure


def test_a_fifo_of_a_strange_name_is_not_waited_for(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    touch(images, "a.jpg")
    touch(masks, "a.png")
    os.mkfifo(images / "train_0")
    assert not find_pairs(images, masks).unread


def test_images_to_predict_are_told_from_what_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.jfif", "b.heic", "c.heic", "out/d.npy", "out/a.png")
    with caplog.at_level(logging.WARNING, "segwright"):
        assert list_images([tmp_path], without=tmp_path / "out") == [("a", FileBlob(tmp_path / "a.jfif"))]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 2 files are not read: .heic (2), for example {tmp_path}/b.heic. Convert them to JPEG, as with "
        "`magick b.heic b.jpg`."
    ]


def test_images_to_predict_that_are_named_as_masks_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.jpg", "a_mask.png", "b.jpg", "b_mask.png", "c.jpg")
    assert len(list_images([tmp_path])) == 5
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 2 of 5 images are named as masks of others, for example a_mask.png. They are read like all "
        "others: give a folder without them if that is not wanted."
    ]
    caplog.clear()
    touch(tmp_path / "plain", "a.png", "a_flip.png", "b.png", "mask.png")
    assert len(list_images([tmp_path / "plain"])) == 4 and not caplog.records


def test_objects_in_s3_pair_by_the_same_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["data/a.jpg", "data/a_mask.png", "data/b.jpg", "data/b_mask.png", "data/c.heic", "data/d"]

    def list_objects(bucket: str, prefix: str, cache: object = None) -> Iterator[S3Blob]:
        return (S3Blob(bucket, key) for key in keys if key.startswith(prefix))

    monkeypatch.setattr(places, "list_objects", list_objects)
    one = S3Location("bucket", "data")
    pairing = find_pairs(one, S3Location("bucket", "data"))
    assert [(pair.image.name, pair.mask.name) for pair in pairing.pairs] == [
        (f"s3://bucket/data/{stem}.jpg", f"s3://bucket/data/{stem}_mask.png") for stem in "ab"
    ]
    assert ["1 file is not read: .heic (1)" in str(unread) for unread in pairing.unread] == [True]
    assert list_images([one / "b.jpg"]) == [("b", S3Blob("bucket", "data/b.jpg"))]
    keys[1:4:2] = ["data/masks/a.png", "data/masks/b.png"]
    assert len(find_pairs(one, one / "masks").pairs) == 2
    keys.append("data/masks//a.png")
    with pytest.raises(DataError, match=r"data/masks//a\.png differ only in their slashes"):
        find_pairs(one, one / "masks")
