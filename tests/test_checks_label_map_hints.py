import json
from collections.abc import Mapping

import pytest

from segwright.checks.label_map_hints import label_map_hints
from segwright.findings import Finding
from segwright.labels import LabelMap
from tests.helpers.scans import scan, statistics


def suspect(
    train: set[int],
    validation: set[int] | None = None,
    label_map: Mapping[str, object] | None = None,
    validation_map: Mapping[str, object] | None = None,
    classes: int = 0,
) -> list[Finding]:
    """The hints where the masks hold these values; `classes` is 0 where no number is given."""
    maps = [LabelMap.from_json(one) if one else None for one in (label_map, validation_map or label_map)]
    found = [train, train if validation is None else validation]
    ours, theirs = (
        statistics(name, [scan("a", dict.fromkeys(values, 9))] if values else [], classes, one)
        for name, values, one in zip(("train", "validation"), found, maps, strict=True)
    )
    found_hints = list(label_map_hints(ours, theirs, count_is_given=bool(classes)))
    assert all(one.rule == "label_map_hint" for one in found_hints)
    return found_hints


def proposal(found: list[Finding]) -> dict[str, object]:
    assert len(found) == 1, [str(one) for one in found]
    document: dict[str, object] = json.loads(found[0].label_map)
    LabelMap.from_json(document)  # it can be used as it is
    return document


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({1, 2, 3}, {"map": {"0": 1, "1": 2, "2": 3}}),
        ({1, 2, 3, 255}, {"map": {"0": 1, "1": 2, "2": 3}}),
        ({5, 6, 7, 9}, {"map": {"0": 5, "1": 6, "2": 7, "4": 9}}),
        ({0, 20, 40}, {"scale": 20}),
        ({0, 127, 254}, {"scale": 127}),
        ({0, 20, 60}, {"scale": 20}),
        ({0, 200}, {"scale": 200}),
        ({0, 127, 255}, {"map": {"0": 0, "1": 127, "2": 255}}),
        ({0, 85, 170, 255}, {"map": {"0": 0, "1": 85, "2": 170, "3": 255}}),
        ({0, 1000, 2000}, {"scale": 1000}),
    ],
)
def test_numbers_that_are_no_classes_get_a_map(values: set[int], wanted: dict[str, object]) -> None:
    found = suspect(values)
    assert proposal(found) == wanted
    assert (found[0].severity, found[0].channel) == ("warning", "train")
    assert "label_map/train_label_map.json" in found[0].cure


@pytest.mark.parametrize(
    "values", [{0, 1}, {0, 1, 2, 255}, {0, 2, 3}, {0, 11, 13, 200}, {7}, {0, 255}, {20, 40, 60}, set(range(256))]
)
def test_other_numbers_are_not_suspicious(values: set[int]) -> None:
    assert suspect(values) == []


def test_numbers_that_fit_the_given_classes_are_at_most_a_note() -> None:
    assert suspect({0, 2, 4}, classes=5) == []
    assert suspect({2, 3, 4}, classes=5) == []
    found = suspect({1, 2, 3, 4}, classes=5)
    assert found[0].severity == "note" and proposal(found) == {"map": {"0": 1, "1": 2, "2": 3, "3": 4}}
    assert suspect({1, 2, 3, 4}, classes=4)[0].severity == "warning"


def test_a_map_the_wrong_way_round_is_exchanged() -> None:
    written = {"map": {"7": 0, "11": 1, "21": 2}}  # pixel value: class
    found = suspect({7, 11, 21, 255}, label_map=written)
    assert proposal(found) == {"map": {"0": 7, "1": 11, "2": 21}}
    assert "wrong way round" in found[0].what and '{"map": {"<class>": <pixel value>}}' in found[0].what


def test_a_map_for_masks_of_classes_is_not_needed() -> None:
    found = suspect({0, 1, 2}, label_map={"map": {"0": 7, "1": 11, "2": 21}})
    assert proposal(found) == {"map": {"0": 0, "1": 1, "2": 2}}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({6, 10, 20}, {"map": {"0": 6, "1": 10, "2": 20}}),
        ({8, 12, 22}, {"map": {"0": 8, "1": 12, "2": 22}}),
        ({70, 110, 210}, {"map": {"0": 70, "1": 110, "2": 210}}),
    ],
)
def test_a_map_that_is_off_is_moved(values: set[int], wanted: dict[str, object]) -> None:
    assert proposal(suspect(values, label_map={"map": {"0": 7, "1": 11, "2": 21}})) == wanted


@pytest.mark.parametrize("values", [{7, 11, 21}, {7, 255}, {7, 11, 50}])
def test_a_map_that_fits_or_merely_lacks_something_is_not_suspicious(values: set[int]) -> None:
    assert suspect(values, label_map={"map": {"0": 7, "1": 11, "2": 21}}) == []


@pytest.mark.parametrize(
    ("train", "validation", "wanted"),
    [
        (set(range(11)), set(range(1, 12)), {str(index): index + 1 for index in range(11)}),
        ({0, 1, 2}, {0, 20, 40}, {"0": 0, "1": 20, "2": 40}),
    ],
)
def test_validation_numbered_in_another_way_gets_its_own_map(
    train: set[int], validation: set[int], wanted: dict[str, int]
) -> None:
    found = suspect(train, validation, classes=len(train))
    assert proposal(found) == {"map": wanted}
    assert found[0].channel == "validation" and "validation_label_map.json" in found[0].cure
    assert "those of train" in found[0].what


def test_two_proposals_agree_with_each_other() -> None:
    """Train begins at 1 and validation at 0: with both maps, what train calls 1 is what validation calls 0."""
    ours, theirs = suspect({1, 2, 3}, {0, 1, 2})
    assert json.loads(ours.label_map) == {"map": {"0": 1, "1": 2, "2": 3}}
    assert json.loads(theirs.label_map) == {"map": {"0": 0, "1": 1, "2": 2}}


def test_both_channels_alike_get_one_hint() -> None:
    assert len(suspect({1, 2, 3}, {1, 2})) == 1
    assert len(suspect({0, 1, 2}, {0, 1, 2, 3})) == 0
    assert len(suspect({0, 1, 2}, {0, 2})) == 0
    assert len(suspect({0, 1}, {0, 2}, classes=3)) == 0  # 2 is the third class, not twice the second


def test_a_map_of_validation_that_is_off_is_compared_by_class() -> None:
    found = suspect(
        {0, 1, 2}, {10, 11, 12}, label_map={"scale": 1}, validation_map={"map": {"1": 10, "2": 11, "3": 12}}, classes=3
    )
    assert proposal(found) == {"map": {"0": 10, "1": 11, "2": 12}}


def test_channels_that_were_not_read_are_no_matter() -> None:
    assert suspect(set(), set()) == []
    assert len(suspect(set(), {1, 2, 3})) == 1
    assert len(suspect({1, 2, 3}, set())) == 1


def test_a_map_that_throws_most_values_away_is_more_than_a_note() -> None:
    (finding,) = suspect(set(range(11)), label_map={"map": {str(index): 20 * index for index in range(11)}}, classes=11)
    assert finding.severity == "warning"
