"""A training that fails is told from one that does not."""

from typing import Any

import numpy as np
import pytest

from segwright.evaluation import ConfusionMatrix
from segwright.training.diagnosis import Diagnosis, constant_score, losses, validation_gaps, verdict

NAMES = ("background", "vessel", "scar")


def scores(*rows: list[int]) -> dict[str, Any]:
    matrix = ConfusionMatrix(len(rows))
    matrix.counts[:] = rows
    return matrix.scores(NAMES[: len(rows)]).to_json()


def records(*train_losses: float, updates: int = 10) -> list[dict[str, Any]]:
    return [{"updates": updates * (number + 1), "train_loss": loss} for number, loss in enumerate(train_losses)]


FALLING = records(1.0, 0.5, 0.4)
BACKGROUND = scores([927, 0], [73, 0])
GOOD = scores([900, 27], [10, 63])


def test_a_class_that_is_never_predicted_and_a_score_of_background_alone() -> None:
    wrong, cure = verdict(BACKGROUND, FALLING)
    assert wrong == "vessel was never predicted; 0.4635 is what background alone scores"
    assert "class_weights" in cure and BACKGROUND["mean_iou"] == pytest.approx(0.4635)


def test_a_constant_prediction_of_the_most_frequent_class() -> None:
    assert constant_score(scores([5, 3, 2], [30, 20, 10], [0, 0, 30])) == ("vessel", 0.6 / 3)
    assert scores([0, 10, 0], [0, 60, 0], [0, 30, 0])["mean_iou"] == pytest.approx(0.6 / 3)


def test_a_score_hardly_above_is_no_gain() -> None:
    wrong, cure = verdict(scores([9260, 10], [729, 1]), FALLING)
    assert wrong == "0.4635 is what background alone scores" and "learning_rate" in cure


def test_a_class_that_is_predicted_in_wrong_places() -> None:
    wrong, _ = verdict(scores([80, 5, 0], [5, 80, 3], [7, 3, 0]), FALLING)
    assert wrong == "scar was predicted in wrong places only"


def test_nothing_is_said_of_a_model_that_has_learnt() -> None:
    assert verdict(GOOD, FALLING) == ("", "")
    absent = scores([90, 5, 0], [5, 80, 0], [0, 0, 0])
    assert verdict(absent, FALLING) == ("", ""), "a class without labels cannot be found"


def test_a_loss_that_does_not_fall() -> None:
    wrong, cure = verdict(GOOD, records(0.6, 0.3, 0.7, 0.6, 0.6, 0.7))
    assert wrong == "the loss did not fall (0.6000 in the first epoch, 0.6500 in the last third)"
    assert "learning_rate" in cure
    assert losses(records(0.5, 0.6)) is None, "two epochs say nothing"
    uneven = [*records(1.0, 0.8, 0.6), {"updates": 34, "train_loss": 2.0}]
    assert losses(uneven) == pytest.approx((1.0, (10 * 0.6 + 4 * 2.0) / 14))


def test_each_warning_comes_once_and_not_in_the_first_third() -> None:
    diagnosis, three = Diagnosis(), scores([80, 0, 0], [15, 0, 0], [5, 0, 0])
    assert diagnosis.warnings(three, FALLING, 0.3) == []
    first, second = diagnosis.warnings(scores([80, 0, 0], [0, 15, 0], [5, 0, 0]), records(1, 2, 3), 0.4)
    assert first.startswith("scar was never predicted: train longer") and second.startswith("the loss did not fall")
    assert diagnosis.warnings(scores([80, 0, 0], [0, 15, 0], [5, 0, 0]), records(1, 2, 3), 0.5) == []
    again = diagnosis.warnings(three, records(1, 2, 3), 0.6)
    assert [text.partition(":")[0] for text in again] == [
        "vessel, scar were never predicted",
        "0.2667 is what background alone scores",
    ]


def test_what_a_validation_cannot_measure() -> None:
    assert validation_gaps(5, np.array([10, 20, 3]), NAMES) == []
    assert validation_gaps(1, np.array([10, 20, 3]), NAMES) == ["there is only 1 image: a score says little"]
    assert validation_gaps(4, np.array([10, 0, 0]), NAMES) == [
        "there are only 4 images: a score says little",
        "vessel, scar are in no mask: their IoU is not measured",
    ]
