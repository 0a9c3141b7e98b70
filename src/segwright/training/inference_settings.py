"""How the best weights of a training are used: number formats, scale and temperature, which it finds at its end."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from segwright.bundle import Description, PrecisionCost
from segwright.evaluation import Scores
from segwright.networks import SegmentationNetwork
from segwright.training.calibration import fit_on_validation, seconds_for_fit
from segwright.training.data_loaders import TrainingData
from segwright.training.precision_cost import can_compare, compare_precisions, seconds_to_compare
from segwright.training.scale_selection import FEWEST_IMAGES, Trial, describe_selection, select_scale, why_not_selected
from segwright.training.train_step import TrainState

_VALIDATIONS_AT_OTHER_SCALES: Final = 4  # at 1.25 and 1.5, whose pixels are so many times those at 1

logger = logging.getLogger(__name__)


class InferenceSettings:
    """Finds them for one training, as far as its budget allows. `clock` gives the seconds since the command began."""

    def __init__(self, state: TrainState, data: TrainingData, clock: Callable[[], float]) -> None:
        self._state, self._data, self._settings, self._clock = state, data, state.settings, clock
        images = None if data.streams else len(data.prepared.validation.pairs)
        self._scale_stays = why_not_selected(self._settings, images)
        self._selects_scale = self._settings.inference_scale == "auto" and not self._scale_stays
        self._compares = can_compare(state.device, images)
        self._budget = None if self._settings.minutes is None else 60 * self._settings.minutes
        enough = images is not None and images >= FEWEST_IMAGES
        self._fit_seconds = seconds_for_fit(self._budget or 0.0) if enough else 0.0

    @property
    def validations(self) -> int:
        """How many validations' time the scales take."""
        return _VALIDATIONS_AT_OTHER_SCALES if self._selects_scale else 0

    @property
    def seconds(self) -> float:
        """What number formats and temperature take."""
        return self._fit_seconds + (seconds_to_compare(0.0, self._budget) if self._compares else 0.0)

    def known(self, bundle: Description) -> Mapping[str, Any] | None:
        """The fields of a bundle's description that an earlier process of this training found; None where it was not
        done with all.
        """
        best = bundle.metrics["best"]
        if not bundle.finished or best is None or bundle.temperature is None:
            return None
        if self._selects_scale and "mean_iou_by_scale" not in best:
            return None
        return {name: getattr(bundle, name) for name in ("inference_scale", "precisions", "temperature")}

    def find(
        self,
        network: SegmentationNetwork,
        best: dict[str, Any],
        validation_seconds: float,
        score: Callable[[float], Scores],
        check: Callable[[], None],
        check_stop: Callable[[], None],
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """The fields of a description, and the scores at the scale that was chosen; all processes call it together.

        `network` has the weights whose scores, as JSON, are `best`; `score` validates it at a scale, which takes
        `validation_seconds` at the training's own. `check` stops in all processes together, `check_stop` in one.
        """
        self._state.processes.broadcast_buffers(network)
        precisions: Mapping[str, PrecisionCost] = {}
        if self._compares:
            seconds, base = seconds_to_compare(self._clock(), self._budget), self._settings.validation_scale
            precisions = compare_precisions(network, base, self._state, self._data, seconds, self._clock, check_stop)
            check()
        scale, scores = self._select_scale(best, validation_seconds, score)
        seconds = seconds_for_fit(self._clock())
        if self._budget is not None:
            seconds = min(seconds, 0.8 * (self._budget - self._clock()))  # The bundle is written after it.
        temperature = fit_on_validation(network, scale, self._state, self._data, seconds, self._clock, check_stop)
        check()
        return {"inference_scale": scale, "precisions": precisions, "temperature": temperature}, scores

    def _select_scale(
        self, best: dict[str, Any], validation_seconds: float, score: Callable[[float], Scores]
    ) -> tuple[float, dict[str, Any]]:
        """The scale of inference and its scores; with inference_scale auto, the best of several."""
        base, fit = self._settings.validation_scale, min(self._fit_seconds, validation_seconds)
        if not self._selects_scale:
            if self._settings.inference_scale == "auto":
                logger.info(f"inference_scale auto stays {base:g}, as in training: {self._scale_stays}")
            return base, best
        chosen, trials = select_scale(
            score,
            base,
            Trial(best, validation_seconds),
            deadline=None if self._budget is None else self._budget - fit,
            clock=self._clock,
            processes=self._state.processes,
        )
        logger.info(describe_selection(chosen, base, trials))
        by_scale = {f"{scale:g}": trials[scale].mean_iou for scale in sorted(trials)}
        return chosen, {**best, **trials[chosen].scores, "mean_iou_by_scale": by_scale}
