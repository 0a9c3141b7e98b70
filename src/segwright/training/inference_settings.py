"""How the best weights of a training are used: number formats, bias for rare classes, scale and temperature, which it
finds at its end.
"""

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from segwright.bundle import Description, State, host_copy
from segwright.evaluation import Scores
from segwright.networks import SegmentationNetwork
from segwright.training.class_bias import SMALLEST_GAIN, choose_factor, class_bias, seconds_to_choose
from segwright.training.data_loaders import TrainingData
from segwright.training.measurements import TimeLimit, best_effort, why_not_measured
from segwright.training.precision_cost import can_compare, compare_precisions, seconds_to_compare
from segwright.training.scale_selection import Trial, describe_selection, select_scale
from segwright.training.temperature import fit_on_validation, seconds_for_fit
from segwright.training.train_step import TrainState

_SETTLED: Final = ("class_bias", "inference_scale", "precisions", "temperature")  # fields of `Description`
_VALIDATIONS_AT_OTHER_SCALES: Final = 4  # at 1.25 and 1.5, whose pixels are so many times those at 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settled:
    """What was found."""

    fields: Mapping[str, Any]  # of the bundle's description
    scores: dict[str, Any]  # of the weights, at the scale that was chosen
    weights: State


class InferenceSettings:
    """Finds them for one training, as far as its budget allows. `clock` gives the seconds since the command began."""

    def __init__(self, state: TrainState, data: TrainingData, clock: Callable[[], float]) -> None:
        self._state, self._data, self._settings, self._clock = state, data, state.settings, clock
        images = None if data.streams else len(data.prepared.validation.pairs)
        self._why_not = why_not_measured(self._settings, images)
        self._selects_scale = self._settings.inference_scale == "auto" and not self._why_not
        self._compares = not self._why_not and can_compare(state.device)
        self._favours_rare = self._settings.recipe == "best" and not self._why_not
        self._budget = None if self._settings.minutes is None else 60 * self._settings.minutes
        self._fit_seconds = 0.0 if self._why_not else seconds_for_fit(self._budget or 0.0)

    @property
    def validations(self) -> int:
        """How many validations' time the bias and the scales take."""
        return self._favours_rare + (_VALIDATIONS_AT_OTHER_SCALES if self._selects_scale else 0)

    @property
    def seconds(self) -> float:
        """What number formats, the choice of a bias, and temperature take."""
        choice = seconds_to_choose(self._budget or 0.0) if self._favours_rare else 0.0
        return self._fit_seconds + choice + (seconds_to_compare(0.0, self._budget) if self._compares else 0.0)

    def known(self, bundle: Description) -> Mapping[str, Any] | None:
        """The fields of a bundle's description that an earlier process of this training found; None where it was not
        done with all.
        """
        best = bundle.metrics["best"]
        if not bundle.finished or best is None or bundle.temperature is None:
            return None
        if self._selects_scale and "mean_iou_by_scale" not in best:
            return None
        return {name: getattr(bundle, name) for name in _SETTLED}

    def find(
        self,
        weights: State,
        best: dict[str, Any],
        validation_seconds: float,
        score: Callable[[SegmentationNetwork, float], Scores],
        check: Callable[[], None],
        check_stop: Callable[[], None],
    ) -> Settled:
        """Find what can be found; all processes call it together.

        `best` are the scores of `weights` as JSON; `score` validates a network at a scale, which takes
        `validation_seconds` at the training's own. `check` stops in all processes together, `check_stop` in one.
        Raises StopRequested, and nothing else: a measurement that fails is left out with a warning.
        """
        base, processes = self._settings.validation_scale, self._state.processes
        if self._why_not:
            selects = self._settings.inference_scale == "auto"
            scale = f"inference_scale auto stays {base:g}, as in training, and " if selects else ""
            logger.info(f"{scale}no temperature is fitted: {self._why_not}")
            return Settled({}, best, weights)
        network = best_effort(partial(self._network, weights), "nothing is measured with the best weights", processes)
        if network is None:
            return Settled({}, best, weights)
        processes.broadcast_buffers(network)
        found = dict[str, Any]()
        if self._favours_rare:
            limit = TimeLimit(seconds_to_choose(self._clock()), self._clock, check_stop)
            found["class_bias"], best = self._favour_rare(network, best, validation_seconds, score, limit)
            check()
            weights = host_copy(network) if found["class_bias"] else weights
        if self._compares:
            limit = TimeLimit(seconds_to_compare(self._clock(), self._budget), self._clock, check_stop)
            compare = partial(compare_precisions, network, base, self._state, self._data, limit)
            found["precisions"] = best_effort(compare, "bfloat16 is not proven for this model", processes) or {}
            check()
        if self._selects_scale:
            base, best = self._select_scale(best, validation_seconds, partial(score, network))
        seconds = seconds_for_fit(self._clock())
        if self._budget is not None:
            seconds = min(seconds, 0.8 * (self._budget - self._clock()))  # The bundle is written after it.
        limit = TimeLimit(max(seconds, 0.0), self._clock, check_stop)
        fit = partial(fit_on_validation, network, base, self._state, self._data, limit)
        found["temperature"] = best_effort(fit, "no temperature is fitted", processes)
        check()
        return Settled({**found, "inference_scale": base}, best, weights)

    def _network(self, weights: State) -> SegmentationNetwork:
        """A network of its own with these weights: the training's has the last ones, for checkpoints."""
        with self._state.processes.raise_on_all():
            network: SegmentationNetwork = deepcopy(self._state.network)
            network.load_state_dict(weights)
        return network

    def _favour_rare(
        self,
        network: SegmentationNetwork,
        best: dict[str, Any],
        validation_seconds: float,
        score: Callable[[SegmentationNetwork, float], Scores],
        limit: TimeLimit,
    ) -> tuple[float, dict[str, Any]]:
        """Raise the logits of rare classes if that raises mean IoU on all validation images; the factor and scores."""
        base, processes = self._settings.validation_scale, self._state.processes
        choose = partial(choose_factor, network, base, self._state, self._data, limit)
        left_out, budget = "rare classes are not favoured", self._budget
        factor = best_effort(choose, left_out, processes)
        if not factor or not processes.compute_on_main(
            lambda: budget is None or self._clock() + 2 * validation_seconds <= budget
        ):
            return 0.0, best
        bias = class_bias(self._data.prepared.train.histogram, factor)
        network.shift_logits(bias)
        scores, before = best_effort(partial(score, network, base), left_out, processes), best["mean_iou"]
        if scores is None or scores.mean_iou < before + SMALLEST_GAIN:
            network.shift_logits(-bias)
            return 0.0, best
        way = "rare classes are named more often" if factor > 0 else "rare classes are named less often"
        logger.info(f"{way} (class bias {factor:g}): mean IoU {scores.mean_iou:.4f}, before {before:.4f}")
        return factor, {**best, **scores.to_json()}

    def _select_scale(
        self, best: dict[str, Any], validation_seconds: float, score: Callable[[float], Scores]
    ) -> tuple[float, dict[str, Any]]:
        """The best of several scales, and its scores."""
        base, fit = self._settings.validation_scale, min(self._fit_seconds, validation_seconds)
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
