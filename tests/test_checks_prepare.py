from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from segwright.checks.classes import settle_classes
from segwright.checks.prepare import CheckedData, prepare
from segwright.data.channels import Channels
from segwright.errors import DataError, LabelError
from segwright.evaluation import run as evaluation
from segwright.findings import FindingError
from segwright.formats.pixels import RGB
from segwright.labels import LabelMap

# In every mask 10 is three pixels of sky, 20 is two of road, 30 is one of tree.
MASK = np.array([[10, 10, 10, 20, 20, 30]], np.uint8)
TEXT = {"sky": "10 sky", "road": "20 road", "tree": "30 tree"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for channel in ("train", "validation"):
        (tmp_path / channel).mkdir()
        (tmp_path / f"{channel}_annotation").mkdir()
        Image.new("RGB", MASK.shape[::-1]).save(tmp_path / channel / "a.jpg")
        Image.fromarray(MASK).save(tmp_path / f"{channel}_annotation" / "a.png")
    (tmp_path / "label_map").mkdir()
    return tmp_path


def prepared_from(channels: Channels, class_names: Path | None = None) -> CheckedData:
    return prepare(channels, settle_classes(channels, class_names=class_names))


def with_masks(data: Path, train: list[int], validation: list[int]) -> Path:
    """The same pictures with masks of these values."""
    for channel, values in (("train", train), ("validation", validation)):
        Image.fromarray(np.array([values], np.uint8)).save(data / f"{channel}_annotation" / "a.png")
    return data


def test_validation_masks_of_class_0_and_void_are_no_fault(data: Path) -> None:
    prepared = prepared_from(Channels.locate(with_masks(data, [0, 0, 1, 1, 255, 255], [0, 0, 0, 0, 255, 255])))
    assert prepared.validation.absent_classes == (1,)


def test_validation_masks_of_0_and_255_are_refused_where_training_masks_know_no_void(data: Path) -> None:
    with pytest.raises(FindingError) as caught:
        prepared_from(Channels.locate(with_masks(data, [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 255, 255])))
    finding = caught.value.finding
    assert finding and (finding.rule, finding.channel) == ("only_0_and_255", "validation")


def text_map(data: Path, channel: str, *names: str) -> None:
    lines = (TEXT.get(name, name) for name in names)
    (data / "label_map" / f"{channel}_label_map.txt").write_text("\n".join(lines))


def counted(prepared: CheckedData) -> list[dict[str, int]]:
    """Pixels by the name of their class, in both channels."""
    return [dict(zip(prepared.class_names, report.histogram.tolist(), strict=True)) for report in prepared.channels]


def test_label_maps_that_name_classes_in_different_orders_agree(data: Path) -> None:
    text_map(data, "train", "sky", "road", "tree")
    text_map(data, "validation", "tree", "sky", "road")
    prepared = prepared_from(Channels.locate(data))
    assert prepared.class_names == ("sky", "road", "tree")
    assert counted(prepared) == [{"sky": 3, "road": 2, "tree": 1}] * 2
    assert {channel.label_map.class_names for channel in prepared.channels} == {prepared.class_names}


@pytest.mark.parametrize("as_option", [True, False])
def test_class_names_number_the_classes_of_text_maps(data: Path, as_option: bool) -> None:
    text_map(data, "train", "sky", "road", "tree")
    names = data / "names.json" if as_option else data / "label_map" / "class_names.json"
    names.write_text('["road", "bus", "tree", "sky"]')
    prepared = prepared_from(Channels.locate(data), class_names=names if as_option else None)
    assert prepared.class_names == ("road", "bus", "tree", "sky")
    assert counted(prepared) == [{"road": 2, "bus": 0, "tree": 1, "sky": 3}] * 2


def test_class_names_leave_the_numbers_of_json_maps_alone(data: Path) -> None:
    (data / "label_map" / "train_label_map.json").write_text('{"map": {"0": 30, "1": 10, "2": 20}}')
    (data / "label_map" / "class_names.json").write_text('["sky", "road", "tree"]')
    assert counted(prepared_from(Channels.locate(data)))[0] == {"sky": 1, "road": 3, "tree": 2}


def test_a_validation_map_may_not_name_classes_of_its_own(data: Path) -> None:
    text_map(data, "train", "sky", "road", "tree")
    text_map(data, "validation", "sky", "30 trees", "road")
    with pytest.raises(LabelError, match=r'^validation: .* a class "trees", .* Did you mean "tree"\?'):
        prepared_from(Channels.locate(data))


def test_names_in_the_validation_map_alone_are_refused(data: Path) -> None:
    (data / "label_map" / "train_label_map.json").write_text('{"scale": 10}')
    text_map(data, "validation", "tree", "sky")
    with pytest.raises(LabelError, match=r"^validation: .*\(tree, sky\).* label_map/class_names\.json"):
        prepared_from(Channels.locate(data))


def test_a_single_class_name_is_refused(data: Path) -> None:
    text_map(data, "train", "sky")
    with pytest.raises(FindingError, match=r"class names .* make 1 class; there must be 2 to 254") as caught:
        prepared_from(Channels.locate(data))
    assert caught.value.finding and caught.value.finding.rule == "class_count"


def test_a_file_in_place_of_a_channel_is_called_one(data: Path) -> None:
    with pytest.raises(DataError) as caught:
        Channels.locate(data, train=data / "train" / "a.jpg", validation=data / "absent")
    assert f"train ({data / 'train' / 'a.jpg'} is not a folder)" in str(caught.value)
    assert f"validation ({data / 'absent'} does not exist)" in str(caught.value)


@pytest.mark.parametrize("closed", ["train", "validation_annotation", "label_map"])
def test_folders_that_may_not_be_read_are_named(data: Path, closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def iterdir(self: Path) -> Iterator[Path]:
        if self.name == closed:
            raise PermissionError(13, "Permission denied", str(self))
        return iter(listed(self))

    text_map(data, "train", "sky", "road", "tree")
    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(DataError, match=f"{closed} cannot be read: Permission denied"):
        prepared_from(Channels.locate(data))


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> list[LabelMap]:
    """The label maps that `evaluate` scores with, for a model of the classes road, tree, sky."""
    used: list[LabelMap] = []

    def predict_pairs(_runtime: Any, _pairs: Any, label_map: LabelMap, *_: Any, **__: Any) -> list[Any]:
        used.append(label_map)
        return []

    description = SimpleNamespace(network=SimpleNamespace(num_classes=3), label_map=lambda _: LabelMap(scale=10))
    model = Mock(description=description, class_names=("road", "tree", "sky"), pixel_format=RGB)
    monkeypatch.setattr(evaluation, "load", lambda *_, **__: model)
    monkeypatch.setattr("segwright.evaluation.scoring.predict_pairs", predict_pairs)
    return used


def test_evaluation_numbers_names_as_the_model_does(data: Path, rules: list[LabelMap]) -> None:
    text_map(data, "other", "sky", "road", "tree")
    label_map = data / "label_map" / "other_label_map.txt"
    evaluation.evaluate("model", data / "train", data / "train_annotation", label_map=label_map)
    assert rules[0].apply(MASK).tolist() == [[2, 2, 2, 0, 0, 1]]
    assert rules[0].class_names == ("road", "tree", "sky")


def test_evaluation_refuses_names_that_the_model_does_not_know(data: Path, rules: list[LabelMap]) -> None:
    text_map(data, "other", "sky", "20 roads")
    label_map = data / "label_map" / "other_label_map.txt"
    with pytest.raises(LabelError, match=r'other_label_map\.txt: .* Did you mean "road"'):
        evaluation.evaluate("model", data / "train", data / "train_annotation", label_map=label_map)
    assert not rules
