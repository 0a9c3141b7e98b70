from dataclasses import replace

import numpy as np
import pytest

from segwright.evaluation import BoundaryCounts, ConfusionMatrix, Scores, print_scores


@pytest.fixture
def scores() -> Scores:
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 10:20] = 1
    predictions = np.roll(labels, 3, 1)
    matrix, borders = ConfusionMatrix(3), BoundaryCounts(3)
    matrix.update(labels, predictions)
    borders.update(labels, predictions)
    return replace(matrix.scores(("ground", "house", "pond")), boundary=borders.scores())


def test_scores_of_borders_are_printed_where_there_are_some(scores: Scores, capsys: pytest.CaptureFixture[str]) -> None:
    print_scores(scores, "with")
    print_scores(replace(scores, boundary=None), "without")
    with_borders, without = capsys.readouterr().out.split("without")
    assert scores.boundary is not None
    house = scores.boundary.per_class[1]
    assert f"{100 * (house.f[2] or 0):.1f}" in next(line for line in with_borders.splitlines() if "house" in line)
    assert next(line for line in with_borders.splitlines() if "pond" in line).split()[2:] == ["-"] * 5 + ["0"]
    assert f"mean boundary IoU {scores.boundary.mean_iou:.4f}" in with_borders
    assert "boundary" not in without and "mean IoU" in without


def test_json_has_scores_of_borders_where_there_are_some(scores: Scores) -> None:
    assert scores.boundary is not None
    document = scores.to_json()
    assert document["mean_boundary_f"] == scores.boundary.mean_f
    assert document["mean_boundary_iou"] == scores.boundary.mean_iou
    assert [entry["boundary_f"] for entry in document["per_class"]] == [each.f for each in scores.boundary.per_class]
    assert document["per_class"][2]["boundary_iou"] is None
    plain = replace(scores, boundary=None).to_json()
    assert plain == {
        **{name: value for name, value in document.items() if "boundary" not in name},
        "per_class": [
            {name: value for name, value in entry.items() if "boundary" not in name} for entry in document["per_class"]
        ],
    }
