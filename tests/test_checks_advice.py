import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from segwright.checks.advice import advise
from segwright.checks.label_map_hints import label_map_hints
from segwright.checks.mask_values import absent_classes
from segwright.checks.prepare import log_advice
from segwright.checks.scan import PairScan
from segwright.findings import Finding
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap
from segwright.wording import printable
from tests.helpers.scans import scan, statistics

NAMES = ("sky", "road", "pole", "car")


def ordinary(channel: str, count: int = 30, size: tuple[int, int] = (360, 480)) -> list[PairScan]:
    """Pairs without anything remarkable."""
    return [scan(f"{channel}/{index}", {0: 50, 1: 40, 2: 30, 3: 40}, size) for index in range(count)]


GIVEN = Hyperparameters(base_size=520, crop_size=240)


def findings(
    train: Sequence[PairScan], validation: Sequence[PairScan], settings: Hyperparameters = GIVEN
) -> list[Finding]:
    channels = statistics("train", train), statistics("validation", validation)
    hints = label_map_hints(*channels, count_is_given=True)
    return [*hints, *advise(*channels, class_names=NAMES, settings=settings)]


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, [str(finding) for finding in found]
    return found[0]


def test_ordinary_data_need_no_advice() -> None:
    assert findings(ordinary("train"), ordinary("validation")) == []
    assert findings([], []) == []


def test_images_in_both_channels_are_named() -> None:
    copy = scan("validation/copy", {0: 9, 1: 9, 2: 9, 3: 9}, image="train/7")
    found = only(findings(ordinary("train"), [*ordinary("validation"), copy]))
    assert (found.rule, found.severity, found.channel) == ("in_both", "warning", "validation")
    assert (found.count, found.files) == (1, ("validation/copy.jpg",))
    assert "1 of 31 images" in found.what and "validation/copy.jpg is train/7.jpg" in found.what
    same = [scan(f"validation/{index}", {0: 1, 1: 1, 2: 1, 3: 1}, image=f"train/{index}") for index in range(12)]
    assert "every image of validation" in only(findings(ordinary("train"), same)).what


def test_copies_within_a_channel_are_a_note_unless_their_masks_differ() -> None:
    first = {0: 50, 1: 40, 2: 30, 3: 40}
    copies = [scan("copy 1", first, image="train/1"), scan("copy 2", first, image="train/2")]
    found = only(findings([*ordinary("train"), *copies], ordinary("validation")))
    assert (found.rule, found.severity, found.count) == ("copies", "note", 4)
    assert "train/1.jpg and copy 1.jpg, and 1 more image." in found.what
    other = scan("other", {**first, 0: 49, 1: 41}, image="train/1")
    found = only(findings([*ordinary("train"), other], ordinary("validation")))
    assert (found.rule, found.severity) == ("masks_disagree", "warning")
    assert found.files == ("train/1.jpg", "other.jpg")


def test_one_mask_for_all_images_is_a_warning() -> None:
    pixels = {0: 50, 1: 40, 2: 30, 3: 40}
    same = [replace(scan(f"train/{index}", pixels), mask_digest=b"same") for index in range(30)]
    found = only(findings(same, ordinary("validation")))
    assert (found.rule, found.severity, found.count) == ("one_mask_for_all", "warning", 30)
    assert findings([*same, scan("other", pixels)], ordinary("validation")) == []
    empty = [replace(scan(f"validation/{index}", {0: 9}), mask_digest=b"empty") for index in range(12)]
    assert not any(one.rule == "one_mask_for_all" for one in findings(ordinary("train"), empty))


def test_classes_that_only_validation_has_are_named() -> None:
    train = [scan(f"train/{index}", {0: 5, 1: 5, 3: 5}) for index in range(30)]
    found = only(findings(train, [*ordinary("validation", 9), scan("validation/bare", {0: 5, 1: 5, 3: 5})]))
    assert (found.rule, found.severity) == ("not_in_train", "warning") and found.what.startswith("pole is in")
    assert found.count == 9 and "validation/bare.jpg" not in found.files


def test_classes_without_a_pixel_are_named() -> None:
    train = statistics("train", [scan(f"train/{index}", {0: 5, 1: 5, 3: 5}) for index in range(30)])
    (found,) = absent_classes(train, NAMES)
    assert (found.rule, found.severity, found.channel) == ("absent_classes", "warning", "train")
    assert "class 2 (pole) of 4" in found.what
    (found,) = absent_classes(statistics("validation", [scan("a", {0: 5, 1: 5})]), NAMES)
    assert "classes 2 (pole), 3 (car) of 4" in found.what
    assert list(absent_classes(statistics("train", ordinary("train")), NAMES)) == []


def test_masks_without_a_labelled_pixel_are_counted() -> None:
    empty = [scan("empty", {255: 100})]
    found = only(findings([*ordinary("train"), *empty], ordinary("validation")))
    assert (found.rule, found.severity, found.files) == ("unlabelled", "warning", ("empty.jpg",))
    assert "1 mask of 31 has no labelled pixel" in found.what
    unmapped = statistics("train", [scan("a", {7: 9}), *empty], 2, LabelMap(values=((0, 0), (1, 1))))
    found = only(
        [
            one
            for one in advise(unmapped, statistics("validation", [], 2), class_names=NAMES, settings=GIVEN)
            if one.rule == "unlabelled"
        ]
    )
    assert found.count == 2 and "2 masks of 2 have no labelled pixel" in found.what


def test_masks_of_one_class_each_are_a_note() -> None:
    train = [scan(f"train/{index}", {index % 4: 100}) for index in range(32)]
    found = only(findings(train, ordinary("validation")))
    assert (found.rule, found.severity) == ("of_one_class", "note")


def test_classes_in_few_images_are_a_warning() -> None:
    train = [scan(f"train/{index}", {0: 5, 1: 5, 3: 5}) for index in range(30)]
    train[4] = scan("train/4", {0: 5, 1: 5, 2: 500, 3: 5})
    found = only(findings(train, ordinary("validation")))
    assert (found.rule, found.severity) == ("seldom_seen", "warning") and "pole is in only 1 image of 30" in found.what
    assert found.files == ("train/4.jpg",)


def test_rare_classes_are_a_note_with_their_share() -> None:
    train = [scan(f"train/{index}", {0: 500, 1: 450, 2: 40, 3: 10}) for index in range(30)]
    found = only(findings(train, ordinary("validation")))
    assert (found.rule, found.severity) == ("rare", "note") and "pole, car: 1 % to 4 % of them" in found.what
    assert "class_weights auto" in found.cure


def test_many_rare_values_beside_few_frequent_ones_are_doubted() -> None:
    smooth = {0: 9000, 1: 5000, 2: 9000, **dict.fromkeys(range(3, 14), 20)}
    doubted = statistics("train", [scan(str(index), smooth) for index in range(40)], 14)
    names = tuple(map(str, range(14)))
    advice = advise(doubted, statistics("validation", [], 14), class_names=names, settings=GIVEN)
    found = [one for one in advice if one.rule == "between_classes"]
    assert [(one.severity, one.channel) for one in found] == [("warning", "train")]
    assert "99.1 % of their pixels are 0, 1 and 2" in found[0].what and "nearest neighbour" in found[0].cure


def test_few_pairs_are_a_note() -> None:
    notes = findings(ordinary("train", 19), ordinary("validation", 1))
    assert [(one.rule, one.severity) for one in notes] == [("few_pairs", "note")] * 2
    assert [one.channel for one in notes] == ["train", "validation"]
    assert "only 19 pairs" in notes[0].what and "only 1 pair:" in notes[1].what


def test_crops_that_are_mostly_padding_are_a_warning() -> None:
    found = only(findings(ordinary("train"), ordinary("validation"), Hyperparameters(base_size=260, crop_size=480)))
    assert (
        (found.rule, found.severity) == ("padded_crops", "warning")
        and "crop_size is 480" in found.what
        and "260x195" in found.what
    )
    assert "crop_size 192" in found.cure
    share = int(found.what.split(" %")[0].rsplit(" ", 1)[1])
    scales = np.linspace(0.5, 2, 16)
    covered = np.minimum(260 * scales, 480) * np.minimum(195 * scales, 480) / 480**2
    assert share == round(100 * (1 - covered.mean()))


@pytest.mark.parametrize("image_scale", [1.0, 0.5])
def test_a_crop_is_compared_with_the_sizes_that_images_have_in_training(image_scale: float) -> None:
    settings = Hyperparameters(crop_size=480, image_scale=image_scale, scale_range=(0.8, 1.2))
    found = only(findings(ordinary("train"), ordinary("validation"), settings))
    height, width = 360 * image_scale, 480 * image_scale
    assert found.rule == "padded_crops" and found.cure == f"Try crop_size {height // 8 * 8:.0f}."
    assert f"at image_scale {image_scale:g} a typical image is {width:.0f}x{height:.0f} pixels" in found.what
    scales = np.linspace(0.8, 1.2, 16)
    covered = np.minimum(height * scales, 480) * np.minimum(width * scales, 480) / 480**2
    assert f"average {100 * (1 - covered.mean()):.0f} %" in found.what


def test_what_rules_choose_needs_no_advice() -> None:
    for size in ((1536, 2048), (96, 128)):
        assert findings(ordinary("train", size=size), ordinary("validation", size=size), Hyperparameters()) == []
    small, original = (96, 128), Hyperparameters(recipe="sagemaker")
    (found, *_) = findings(ordinary("train", size=(90, 480)), ordinary("validation", size=(90, 480)), original)
    assert found.rule == "padded_crops", "its crop_size is nobody's choice, but nothing else is either"
    assert (
        only(findings(ordinary("train", size=small), ordinary("validation", size=small), original)).rule == "enlarged"
    )


def test_large_images_lose_what_is_thin() -> None:
    large = (1024, 2048)
    found = only(findings(ordinary("train", size=large), ordinary("validation", size=large)))
    assert (
        (found.rule, found.severity) == ("shrunk", "warning")
        and "2048x1024" in found.what
        and "3.9 times" in found.what
    )
    assert "thinner than some 8 pixels" in found.what and "towards 2048" in found.cure


def test_small_images_are_enlarged_in_vain() -> None:
    small = (96, 128)
    found = only(findings(ordinary("train", size=small), ordinary("validation", size=small)))
    assert (found.rule, found.severity) == ("enlarged", "note")
    assert "enlarged about 4.1 times" in found.what and "base_size 128" in found.cure


def test_images_of_very_different_size_or_shape_are_named() -> None:
    mixed = [*ordinary("train"), scan("tiny", {0: 1, 1: 1, 2: 1, 3: 1}, (90, 120))]
    found = only(findings(mixed, ordinary("validation")))
    assert (
        (found.rule, found.severity) == ("varied_size", "note")
        and "120x90 and 480x360" in found.what
        and found.files[0] == "tiny.jpg"
    )
    assert "All are brought to one longer side" in found.cure
    (kept,) = findings(mixed, ordinary("validation"), Hyperparameters())
    assert kept.rule == "varied_size" and "They stay so different" in kept.cure
    mixed[-1] = scan("tower", {0: 1, 1: 1, 2: 1, 3: 1}, (480, 200))
    found = only(findings(mixed, ordinary("validation")))
    assert found.rule == "varied_shape" and "200x480 and 480x360" in found.what


def test_validation_of_another_size_is_a_note() -> None:
    found = only(findings(ordinary("train"), ordinary("validation", size=(180, 240))))
    assert (found.rule, found.severity, found.channel) == (
        "other_size",
        "note",
        "validation",
    ) and "240x180" in found.what
    found = only(findings(ordinary("train"), ordinary("validation", size=(720, 960))))
    assert (found.rule, found.severity, found.channel) == (
        "other_size",
        "note",
        "validation",
    ) and "960x720" in found.what


def test_the_gravest_come_first_and_only_some_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    notes = [Finding("rule", "note", "train", f"note {index}.") for index in range(9)]
    warnings = [Finding("rule", "warning", "train", f"warning {index}.", "Cure.") for index in range(8)]
    with caplog.at_level(logging.INFO, "segwright"):
        log_advice([*notes, *warnings, Finding("rule", "error", "train", "the worst.")])
    logged = [record.getMessage() for record in caplog.records]
    assert logged[0] == "train: the worst." and logged[1] == "train: warning 0. Cure."
    assert len(logged) == 6 and logged[-1].startswith("and 4 more findings")
    caplog.clear()
    log_advice(notes)
    assert not caplog.records


def test_names_become_harmless() -> None:
    assert printable("a/b c.jpg") == "a/b c.jpg"
    assert printable("\x1b[31m\udcff\n\u202e") == r"\x1b[31m\udcff\n\u202e"
    finding = Finding("rule", "note", "train", "bad \x1b", "cure \x07", ("\udcff.jpg",), label_map="{}")
    assert str(finding) == r"train: bad \x1b cure \x07 {}"
    assert finding.to_json()["files"] == [r"\udcff.jpg"]


def test_pixels_are_counted_by_image_and_class() -> None:
    label_map = LabelMap(values=((7, 0), (8, 0), (9, 1), (3, 2)))
    channel = statistics("train", [scan("a", {7: 1, 8: 2, 9: 4, 255: 8}), scan("b", {5: 16, 3: 32})], 2, label_map)
    assert channel.pixels.tolist() == [[3, 4, 8, 0], [0, 0, 16, 32]]
    assert channel.histogram.tolist() == [3, 4] and channel.images_with_class.tolist() == [1, 1]
    assert channel.ignored_pixels == 24


def test_a_hundred_thousand_pairs_take_a_moment() -> None:
    train = ordinary("train", 2000) * 50  # reading these would take minutes
    before = time.process_time()
    findings(train, ordinary("validation"))
    assert time.process_time() - before < 5
