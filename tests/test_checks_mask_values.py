import json
import logging

import numpy as np
import pytest
from PIL import Image

from segwright.checks.channel import Expected, check_pairs
from segwright.findings import FindingError
from tests.helpers import channel_folder
from tests.helpers.channel_folder import ChannelFolder

folder = channel_folder.folder


def test_many_files_are_counted_and_three_named(folder: ChannelFolder) -> None:
    for index in range(6):
        folder.add(f"p{index}", [[0, 1, 9]])
    message = folder.refusal("class_range", num_classes=3)
    assert "6 masks have" in message and "p2.png" in message and "p3.png" not in message and "and 3 more" in message


def test_values_outside_the_classes_are_refused_with_value_count_and_cure(folder: ChannelFolder) -> None:
    folder.add("fine", [[0, 1, 2]])
    folder.add("bad", [[0, 7, 7], [255, 9, 0]])
    message = folder.refusal("class_range", num_classes=3)
    assert "bad.png has 7 in 2 pixels, 9 in 1 pixel" in message and "fine.png" not in message
    assert "num_classes to 10" in message and "0 to 2" in message and "as label_map/train_label_map.json" in message
    assert folder.check(num_classes=10).histogram.tolist() == [3, 1, 1, 0, 0, 0, 0, 2, 0, 1]
    assert "num_classes to 10" in folder.refusal("class_range", num_classes=9), "class 9 is the tenth"


def test_a_fitting_label_map_is_proposed(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 128, 200, 255]])
    assert '{"map": {"0": 0, "1": 128, "2": 200}}' in folder.refusal("class_range", num_classes=3)
    scaled = folder.refusal("class_range", {"scale": 10}, num_classes=13)
    assert "200 (class 20) in 1 pixel" in scaled and "num_classes to 21" in scaled


@pytest.mark.parametrize("label_map", [None, {"scale": 1}, {"scale": 255}, {"map": {"0": 0, "1": 7}}])
@pytest.mark.parametrize("num_classes", [None, 2])
def test_masks_of_0_and_255_are_refused_with_the_ready_map(
    folder: ChannelFolder, label_map: dict[str, object] | None, num_classes: int | None
) -> None:
    folder.add("a", [[0, 255, 255]])
    folder.add("b", [[0, 0, 0]])
    message = folder.refusal("only_0_and_255", label_map, num_classes)
    ready = '{"map": {"0": 0, "1": 255}}'
    assert ready in message
    assert "label_map/train_label_map.json" in message
    report = folder.check(json.loads(ready), num_classes)
    assert report.num_classes == 2 and report.histogram.tolist() == [4, 2] and report.ignored_pixels == 0


def test_masks_of_nothing_but_255_are_refused(folder: ChannelFolder) -> None:
    folder.add("a", [[255, 255]])
    assert "nothing but 255" in folder.refusal("only_0_and_255")


def test_one_bit_masks_hold_0_and_1(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1]])
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(folder.masks / "a.png")
    assert folder.check().histogram.tolist() == [1, 1]


def test_brightness_values_are_refused_with_a_ready_map_and_the_other_way_out(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 80, 160, 240, 255]])
    message = folder.refusal("brightness")
    assert '{"map": {"0": 0, "1": 80, "2": 160, "3": 240}}' in message and "num_classes to 241" in message
    assert folder.check(num_classes=241).num_classes == 241
    assert folder.check({"scale": 80}).num_classes == 4


@pytest.mark.parametrize("num_classes", [None, 2])
def test_values_between_classes_are_blamed_on_resizing(folder: ChannelFolder, num_classes: int | None) -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[60:200, 60:200] = 255
    smooth = np.asarray(Image.fromarray(mask).rotate(7, resample=Image.Resampling.BICUBIC))
    assert len(np.unique(smooth)) > 100
    folder.add("a", smooth.astype(np.uint8).tolist())
    message = folder.refusal("interpolated", num_classes=num_classes)
    assert "of their pixels are 0 and 255" in message and "resizing with interpolation" in message
    assert "nearest neighbour" in message and '"map"' not in message


def test_values_between_classes_are_no_classes_even_where_they_fill_the_range(folder: ChannelFolder) -> None:
    classes = np.random.default_rng(0).integers(0, 3, (6, 8), np.uint8) * 100
    for name in "ab":
        smooth = Image.fromarray(classes).resize((384, 288), Image.Resampling.BILINEAR)
        numbers = np.where(np.asarray(smooth) % 100 < 8, np.asarray(smooth) // 100 * 100, np.asarray(smooth))
        big = np.kron(classes, np.ones((200, 200), np.uint8))
        big[: numbers.shape[0], : numbers.shape[1]] = numbers
        folder.add(name, big.tolist())
    message = folder.refusal("interpolated")
    assert "of their pixels are 0, 100 and 200" in message and "resizing with interpolation" in message


def test_continuous_values_are_brightness(folder: ChannelFolder) -> None:
    rows, columns = np.mgrid[:90, :90]
    folder.add("a", (rows + columns).astype(np.uint8).tolist())
    assert "look like brightness values, not like 179 classes" in folder.refusal("brightness")
    assert folder.check(num_classes=179).num_classes == 179


def test_few_values_between_classes_are_doubted(folder: ChannelFolder) -> None:
    numbers = np.zeros((100, 100), np.uint8)
    numbers[50:] = 240
    numbers[49, :24] = np.arange(10, 240, 10)[:24].repeat(2)[:24]
    folder.add("a", numbers.tolist())
    message = folder.refusal("brightness")
    assert "99.8 % of their pixels are 0 and 240: if the others come from resizing" in message and '{"map"' in message


@pytest.mark.parametrize("num_classes", [None, 3])
def test_a_spread_over_all_greys_gets_a_map_with_255(folder: ChannelFolder, num_classes: int | None) -> None:
    for index, numbers in enumerate(([0, 127], [0, 255], [0, 127, 255])):
        folder.add(f"{index}", [numbers])
    message = folder.refusal("class_range" if num_classes else "brightness", num_classes=num_classes)
    assert '{"map": {"0": 0, "1": 127, "2": 255}}' in message
    assert folder.check({"map": {"0": 0, "1": 127, "2": 255}}).histogram.tolist() == [3, 2, 2]


def test_photographs_as_masks_are_not_blamed_on_resizing(folder: ChannelFolder) -> None:
    folder.add("a", np.random.default_rng(0).integers(0, 256, (40, 40)).tolist())
    assert "look like brightness values" in folder.refusal("brightness")


def test_a_slip_in_one_mask_is_named(folder: ChannelFolder) -> None:
    for index in range(12):
        folder.add(f"{index}", [[0, 1, 2, 3]])
    folder.add("slip", [[0, 77, 200, 200]])
    message = folder.refusal("brightness")
    assert "77 and 200 occur in few masks only, as 200 in 2 pixels of" in message and "slip.png" in message


@pytest.mark.parametrize(
    ("numbers", "expected"), [([0, 1], 2), ([0, 2], 3), ([1], 2), ([0, 3], 4), ([0, 1, 5], 6), ([3, 1, 0], 4)]
)
def test_half_of_the_classes_are_enough(folder: ChannelFolder, numbers: list[int], expected: int) -> None:
    folder.add("a", [numbers])
    assert folder.check().num_classes == expected


@pytest.mark.parametrize("numbers", [[0, 4], [7], [0, 1, 6], list(range(256))])
def test_fewer_than_half_of_the_classes_are_too_few(folder: ChannelFolder, numbers: list[int]) -> None:
    folder.add("a", [numbers])
    message = folder.refusal("brightness")
    if len(numbers) > 100:
        assert "255 classes" in message and "num_classes" not in message


def test_a_single_class_is_refused_unless_it_was_asked_for(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 0]])
    assert "at least two classes" in folder.refusal("single_class")
    assert folder.check(num_classes=2).absent_classes == (1,)


@pytest.mark.parametrize("label_map", [{"map": {"0": 255}}, {"map": {"0": [0, 1]}}])
def test_a_label_map_of_one_class_is_refused_with_the_cure(folder: ChannelFolder, label_map: dict[str, object]) -> None:
    folder.add("a", [[0, 1, 255]])
    message = folder.refusal("class_count", label_map)
    assert "make 1 class; there must be 2 to 254" in message
    assert "background" in message and '{"map": {"0": 0, "1": 255}}' in message


@pytest.mark.parametrize("num_classes", [-1, 0, 1, 255])
def test_numbers_of_classes_outside_the_contract_are_refused(folder: ChannelFolder, num_classes: int) -> None:
    folder.add("a", [[0, 0]])
    assert f"make {num_classes} class" in folder.refusal("class_count", num_classes=num_classes)
    assert folder.check(num_classes=254).num_classes == 254


def test_large_values_of_16_bits(folder: ChannelFolder) -> None:
    folder.add("a", np.array([[0, 300, 65535]], np.uint16))
    assert "300" in folder.refusal("brightness")
    assert "65535 in 1 pixel" in folder.refusal("class_range", num_classes=3)
    report = folder.check({"map": {"0": 0, "1": 300, "2": 65535}})
    assert report.histogram.tolist() == [1, 1, 1]


def test_values_that_the_map_does_not_name_are_ignored_and_counted(
    folder: ChannelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.add("a", [[0, 5, 5, 9], [255, 5, 0, 0]])
    report = folder.check({"map": {"0": 0, "1": 9}})
    assert report.unmapped == {5: 3} and report.ignored_pixels == 4 and report.histogram.tolist() == [3, 1]
    assert len(caplog.records) == 1 and "5 (3 pixels)" in caplog.text
    message = folder.refusal("unmapped_values", {"map": {"0": 0, "1": 9}}, strict=True)
    assert "5 (3 pixels)" in message and "strict" in message


def test_a_map_that_names_nothing_in_the_masks_is_refused(folder: ChannelFolder) -> None:
    folder.add("a", [[3, 4]])
    message = folder.refusal("all_ignored", {"map": {"0": 5, "1": 6}})
    assert "every pixel" in message and "hold 3 and 4, and by the label map pixel value 5 is class 0, 6 is" in message


def test_masks_without_a_label_beside_others_with_some_are_refused(folder: ChannelFolder) -> None:
    folder.add("a", [[255, 255]])
    with pytest.raises(FindingError, match=r"every pixel of the masks is 255, which means ignore\. Label") as error:
        check_pairs(folder.pairing(), Expected("validation", void_is_known=True))
    assert error.value.finding.rule == "all_ignored"


def test_a_map_to_classes_beyond_num_classes_is_refused(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1]])
    assert "num_classes" in folder.refusal("label_map_range", {"map": {"0": 0, "4": 1}}, num_classes=3)


def test_the_map_gives_the_number_of_classes_and_absent_ones_are_reported(
    folder: ChannelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.add("a", [[10, 20]])
    report = folder.check({"map": {"0": 10, "2": [20, 21]}})
    assert report.num_classes == 3 and report.absent_classes == (1,)
    assert "no pixel is labelled as class 1 of 3" in caplog.text


@pytest.fixture(autouse=True)
def _warnings_are_captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "segwright")
