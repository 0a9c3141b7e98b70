import logging
from pathlib import Path

import pytest

from segwright.checks.classes import settle_classes
from segwright.data.channels import Channels, Source, read_names
from segwright.errors import DataError, LabelError
from segwright.labels import LabelMap
from tests.helpers.files import touch, write_manifest

PICTURES = ("train", "train_annotation", "validation", "validation_annotation")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in PICTURES:
        (tmp_path / "data" / name).mkdir(parents=True)
    return tmp_path / "data"


def test_channels_are_found_below_the_data_folder_or_where_they_are_given(data: Path, tmp_path: Path) -> None:
    channels = Channels.locate(data)
    first, second, third, fourth = (data / name for name in PICTURES)
    assert channels == Channels(Source(first, second), Source(third, fourth))
    (data / "label_map").mkdir()
    assert Channels.locate(data).label_map == data / "label_map"
    other = tmp_path / "masks"
    other.mkdir()
    assert Channels.locate(data, train_annotation=other, validation=None).train.masks == other
    everywhere = [data / name for name in PICTURES]
    given = Channels.locate(
        None,
        train=everywhere[0],
        train_annotation=everywhere[1],
        validation=everywhere[2],
        validation_annotation=everywhere[3],
    )
    assert given == channels


def test_every_missing_channel_is_named_with_its_option(data: Path, tmp_path: Path) -> None:
    (data / "train_annotation").rmdir()
    with pytest.raises(DataError) as error:
        Channels.locate(data, validation=tmp_path / "nowhere", label_map=tmp_path / "map.json")
    message = str(error.value)
    assert message.endswith("give their locations as train_annotation, validation, label_map.")
    assert "nowhere" in message and "map.json" in message and "train, " not in message
    with pytest.raises(DataError, match="is not a folder"):
        Channels.locate(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no data folder was given"):
        Channels.locate(None)


def test_label_maps_of_both_channels(data: Path) -> None:
    assert Channels.locate(data).read_label_map("train") is None
    touch(data, "label_map/class_names.txt")
    (data / "label_map/train_label_map.txt").write_text("7 0\n8 1\n")
    channels = Channels.locate(data)
    train = channels.read_label_map("train")
    assert train is not None and train.values == ((7, 0), (8, 1))
    assert channels.read_label_map("validation") == train
    (data / "label_map/validation_label_map.json").write_text('{"scale": "3"}')
    validation = channels.read_label_map("validation")
    assert validation is not None and validation.scale == 3 and channels.read_label_map("train") == train
    assert channels.class_names_file() == data / "label_map/class_names.txt"


def test_a_single_label_map_file_serves_both(data: Path, tmp_path: Path) -> None:
    (tmp_path / "any.json").write_text('{"scale": 2}')
    channels = Channels.locate(data, label_map=tmp_path / "any.json")
    train = channels.read_label_map("train")
    assert train is not None and train.scale == 2 and channels.read_label_map("validation") == train
    assert channels.class_names_file() is None


def test_two_label_maps_for_one_channel_are_refused(data: Path) -> None:
    touch(data, "label_map/train_label_map.txt", "label_map/train_label_map.json")
    with pytest.raises(LabelError, match=r"train_label_map\.json and .*train_label_map\.txt"):
        Channels.locate(data).read_label_map("train")


def test_label_maps_of_other_names_are_not_passed_over_in_silence(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(data, "label_map/train_label_map.json")
    with caplog.at_level(logging.WARNING, "segwright"):
        Channels.locate(data)
        assert not caplog.records
        touch(data, "label_map/labels.json")
        Channels.locate(data)
    assert "not used: labels.json" in caplog.text and "train_label_map.json" in caplog.text


def test_lists_of_pairs_need_no_folders_of_masks(tmp_path: Path) -> None:
    touch(tmp_path, "data/train.manifest", "data/validation/only.jsonl", "data/notes.txt")
    channels = Channels.locate(tmp_path / "data")
    assert channels.train == Source(tmp_path / "data/train.manifest")
    assert channels.validation == Source(tmp_path / "data/validation/only.jsonl")


def beside(root: Path, *references: str, split: str = "train") -> Path:
    """A channel folder with two images, their masks in a folder, and a manifest that names images so."""
    touch(root, f"{split}/images/a.jpg", f"{split}/images/b.jpg", f"{split}/masks/a.png", f"{split}/masks/b.png")
    lines: list[dict[str, object]] = [
        {"source-ref": reference, "mask-ref": reference.replace("images", "masks").replace("jpg", "png")}
        for reference in references
    ]
    return write_manifest(root / split / "pairs.manifest", lines)


def test_a_manifest_beside_its_files_lists_the_pairs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = beside(tmp_path, "images/gone.jpg", "images/b.jpg", "images/a.jpg")
    touch(tmp_path, "validation.rec")
    with caplog.at_level(logging.INFO, "segwright"):
        channels = Channels.locate(tmp_path)
    assert channels.train == Source(manifest)
    named = [Path(pair.mask.name).relative_to(tmp_path).as_posix() for pair in channels.train.pairing().pairs]
    assert named == ["train/masks/gone.png", "train/masks/b.png", "train/masks/a.png"]
    assert f"{tmp_path}/train: the pairs are those that pairs.manifest lists" in caplog.text


def test_a_manifest_beside_files_that_are_no_images_is_used_wherever_it_points(tmp_path: Path) -> None:
    touch(tmp_path, "train/_SUCCESS", "train/readme.txt", "validation.rec")
    manifest = write_manifest(tmp_path / "train/out.jsonl", [{"source-ref": "s3://b/a.jpg", "l-ref": "s3://b/a.png"}])
    assert Channels.locate(tmp_path).train.images == manifest


def test_a_folder_of_masks_comes_before_a_manifest_beside_the_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside(tmp_path, "images/a.jpg")
    touch(tmp_path, "train_annotation/a.png", "validation.rec")
    with caplog.at_level(logging.INFO, "segwright"):
        assert Channels.locate(tmp_path).train.images == tmp_path / "train"
    assert "not used, since the masks are in train_annotation: pairs.manifest" in caplog.text


def test_a_manifest_that_names_other_files_or_one_of_several_is_refused(tmp_path: Path) -> None:
    beside(tmp_path, "s3://bucket/images/a.jpg", "/elsewhere/a.jpg", "images/gone.jpg", "../validation.jpg")
    touch(tmp_path, "validation.rec", "validation.jpg")
    said = r"train holds images and pairs\.manifest, which names none of them, and there is no train_annotation: give"
    with pytest.raises(DataError, match=said):
        Channels.locate(tmp_path)
    touch(tmp_path, "train/more.rec")
    with pytest.raises(DataError, match=r"2 lists of pairs \(more\.rec, pairs\.manifest\), and there is no train"):
        Channels.locate(tmp_path)


def test_a_folder_of_images_needs_one_of_masks(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.jpg", "validation.rec")
    with pytest.raises(DataError, match=r"Missing .*: train_annotation\. .*their locations as train_annotation"):
        Channels.locate(tmp_path)


def test_pipes_need_not_be_there_yet(tmp_path: Path) -> None:
    channels = Channels.locate(tmp_path, input_mode="Pipe")
    assert (channels.train, channels.validation) == (Source(tmp_path / "train"), Source(tmp_path / "validation"))
    assert channels.stream("train") is not None and channels.label_map is None
    with pytest.raises(DataError, match="FIFO on this machine"):
        Channels.locate(None, train="s3://b/train", validation=tmp_path, input_mode="Pipe").stream("train")


def test_class_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(LabelError, match="not UTF-8"):
        read_names(tmp_path / "names.txt")


def test_a_folder_as_roboflow_writes_it_is_a_data_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "train/a.jpg", "train/a_mask.png", "valid/b.jpg", "valid/b_mask.png", "test/c.jpg")
    with caplog.at_level(logging.INFO, "segwright"):
        channels = Channels.locate(tmp_path)
    assert channels.train == Source(tmp_path / "train", tmp_path / "train")
    assert channels.validation == Source(tmp_path / "valid", tmp_path / "valid")
    assert [Path(pair.mask.name).name for pair in channels.validation.pairing().pairs] == ["b_mask.png"]
    assert "train, with images and masks side by side; validation is" in caplog.text
    assert f"{tmp_path / 'test'} is not trained on" in caplog.text
    assert channels.test is None  # no masks


def test_a_test_split_is_found_beside_the_others(data: Path) -> None:
    assert Channels.locate(data).test is None
    (data / "test").mkdir()
    assert Channels.locate(data).test is None
    (data / "test_annotation").mkdir()
    assert Channels.locate(data).test == Source(data / "test", data / "test_annotation")
    (data / "test_masks").mkdir()
    assert Channels.locate(data).test is None  # which of them is no matter to a training


def test_a_test_split_in_place_of_validation_is_not_taken_twice(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.jpg", "train/masks/a.png", "test/images/b.jpg", "test/masks/b.png")
    channels = Channels.locate(tmp_path)
    assert (channels.validation.images, channels.test) == (tmp_path / "test" / "images", None)


def test_channels_by_their_own_names_come_before_any_layout(data: Path) -> None:
    (data / "train_masks").mkdir()
    assert Channels.locate(data).train.masks == data / "train_annotation"


def test_images_without_masks_beside_them_are_no_layout(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.jpg", "valid/b.jpg", "train/_annotations.coco.json")
    with pytest.raises(DataError, match=r"Missing below .*: folders of masks.*holds 1 images .* no masks.*import-data"):
        Channels.locate(tmp_path)


def test_the_table_beside_the_masks_names_the_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.jpg", "train/a_mask.png", "valid/b.jpg", "valid/b_mask.png")
    (tmp_path / "train" / "_classes.csv").write_text("Pixel Value, Class\n0, ground\n7, car\n")
    channels = Channels.locate(tmp_path)
    classes = settle_classes(channels)
    assert classes.names == ("ground", "car") and classes.count == 2
    assert classes.train_map.values == classes.validation_map.values == ((0, 0), (7, 1))
    named = settle_classes(channels, class_names=names_file(tmp_path))
    assert named.names == ("a", "b") and named.train_map == LabelMap.identity()


def names_file(folder: Path) -> Path:
    (folder / "names.txt").write_text("a\nb\n")
    return folder / "names.txt"
