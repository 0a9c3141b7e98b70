"""How far a training has come, converted to a checkpoint and back: a resumed training ends with the same bits.

What is random about samples is not in a checkpoint: it is drawn from (seed, epoch, pair).
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from segwright.bundle import Description, State, host_copy
from segwright.data.channels import Split
from segwright.hyperparameters import Hyperparameters
from segwright.training.checkpoints import CHECKPOINT_VERSION, Checkpoint
from segwright.training.resumed_streams import StreamIdentity
from segwright.training.schedule import Timing
from segwright.training.train_step import EpochSums, TrainState

logger = logging.getLogger(__name__)

_RNG_MODULES: Final[Mapping[str, Any]] = {"cpu": torch, "cuda": torch.cuda, "mps": torch.mps}
_WITHOUT_EFFECT: Final = frozenset(["workers", "logging_frequency", "use_pretrained_model", "backbone_weights"])


@dataclass
class EarlyStopping:
    """Counts validations without gain in mean IoU (SageMaker's contract, section 4.3, where each epoch has one)."""

    best: float = 0.0
    without_gain: int = 0

    def update(self, settings: Hyperparameters, epoch: int, mean_iou: float) -> bool:
        """Count the validation of `epoch`, from 0, and return whether to stop after it.

        That is when, for `early_stopping_patience` validations in a row, the score has not beaten the best by more than
        `early_stopping_tolerance` of it, and at least `early_stopping_min_epochs` epochs are done.
        """
        if mean_iou > self.best * (1 + settings.early_stopping_tolerance):
            self.best, self.without_gain = mean_iou, 0
        else:
            self.without_gain += 1
        return self.stops(settings, epoch + 1)

    def stops(self, settings: Hyperparameters, epochs: int) -> bool:
        """Whether to stop when so many epochs are done."""
        patient = epochs < settings.early_stopping_min_epochs or self.without_gain < settings.early_stopping_patience
        return settings.early_stopping and not patient


@dataclass
class TrainProgress:
    """How far a training has come."""

    epoch: int = 0  # done so far, with their validations
    sums: EpochSums = field(default_factory=EpochSums)  # of the current epoch
    training_reported: bool = False  # whether the current epoch is trained; its validation may be still to come
    finished: bool = False  # whether all epochs are done, the time is used, or early stopping has ended them
    timing: Timing = field(default_factory=Timing)
    stopping: EarlyStopping = field(default_factory=EarlyStopping)
    records: list[dict[str, Any]] = field(default_factory=list)  # one for each epoch, as in metrics.jsonl
    best: dict[str, Any] | None = None  # the scores of the best epoch
    last: dict[str, Any] | None = None  # those of the last validation
    best_weights: State | None = None  # on the CPU
    stream_pairs: int | None = None  # in a pass over the training stream; None before the first has ended
    streams: dict[Split, StreamIdentity] = field(default_factory=dict)  # empty for lists
    job: str | None = None  # the training job, where a platform names it

    def complete(self, description: Description) -> Description:
        """The description of the training with its scores, and what is known of its streams."""
        moved = self.sums.batches or (self.last and self.last["epoch"] != self.epoch)
        last = None if moved else self.last
        known = {str(split): identity.to_json() for split, identity in self.streams.items()}
        data = {split: {**found, **known.get(split, {})} for split, found in description.data.items()}
        metrics = {"best": self.best, "last": last}
        return description.model_copy(update={"metrics": metrics, "data": data, "finished": self.finished})


def to_checkpoint(state: TrainState, progress: TrainProgress, description: Description) -> Checkpoint | None:
    """Put a training into a checkpoint; all processes call it together, and rank 0 gets it."""
    kinds = {"cpu", state.device.type}
    generators = state.processes.gather({kind: _RNG_MODULES[kind].get_rng_state() for kind in kinds})
    if not state.processes.is_main:
        return None
    tensors = {f"network.{name}": tensor for name, tensor in host_copy(state.network).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (progress.best_weights or {}).items()}
    tensors |= {f"stream.{split}": identity.to_tensor() for split, identity in progress.streams.items()}
    for index, parameter in enumerate(_parameters(state)):
        for key, value in state.optimizer.state.get(parameter, {}).items():
            if value is not None:
                tensors[f"optimizer.{index}.{key}"] = value.detach().cpu().contiguous()
    for rank, states in enumerate(generators):
        tensors |= {f"generator.{rank}.{kind}": value for kind, value in states.items()}
    facts = {
        "format_version": CHECKPOINT_VERSION,
        "description": progress.complete(description).model_dump(mode="json"),
        "circumstances": _circumstances(state),
        "updates": state.updates,
        "scaler": state.scaler.state_dict(),
        "epoch": progress.epoch,
        "sums": asdict(progress.sums),
        "trained_told": progress.training_reported,
        "finished": progress.finished,
        "timing": asdict(progress.timing),
        "stopping": asdict(progress.stopping),
        "records": progress.records,
        "stream_pairs": progress.stream_pairs,
        "streams": {split: identity.facts() for split, identity in progress.streams.items()},
        "job": progress.job,
    }
    return Checkpoint(facts, tensors)


def weights_in(checkpoint: Checkpoint) -> tuple[State, State | None]:
    """The last and the best weights; None before the first epoch has ended."""
    return _tensors(checkpoint, "network."), _tensors(checkpoint, "best.") or None


def load_checkpoint(state: TrainState, progress: TrainProgress, checkpoint: Checkpoint) -> None:
    """Restore a training from a checkpoint; circumstances that have changed since are logged."""
    facts, then = checkpoint.facts, checkpoint.description
    _warn_of_changes({**then.hyperparameters, **facts["circumstances"]}, state)
    last, best = weights_in(checkpoint)
    state.network.load_state_dict(last)
    _load_optimizer(state, _tensors(checkpoint, "optimizer."))
    if facts["scaler"]:  # empty where the checkpoint's precision needed none
        state.scaler.load_state_dict(facts["scaler"])
    state.updates = facts["updates"]
    progress.epoch, progress.sums = facts["epoch"], EpochSums(**facts["sums"])
    progress.training_reported = facts["trained_told"]
    progress.timing = Timing(**facts.get("timing", {}))  # absent where an older Segwright wrote the checkpoint
    progress.stopping, progress.records = EarlyStopping(**facts["stopping"]), list(facts["records"])
    progress.finished = _is_finished(facts, then.hyperparameters, progress, state.settings)
    progress.best, progress.last = then.metrics["best"], then.metrics["last"]
    progress.best_weights = best and {name: value.clone() for name, value in best.items()}
    progress.stream_pairs = facts["stream_pairs"]
    known = facts.get("streams", {})  # absent where an older Segwright wrote the checkpoint
    for split in progress.streams:
        progress.streams[split] = StreamIdentity()
        if split in known:
            progress.streams[split] = StreamIdentity.load(known[split], checkpoint.tensors[f"stream.{split}"])
    for kind, value in _tensors(checkpoint, f"generator.{state.processes.rank}.").items():
        if kind in ("cpu", state.device.type):
            _RNG_MODULES[kind].set_rng_state(value)


def _is_finished(
    facts: Mapping[str, Any], then: Mapping[str, Any], progress: TrainProgress, settings: Hyperparameters
) -> bool:
    """Whether nothing is left to train by the settings now: `then` a training may have ended sooner."""
    if settings.minutes is None:
        ended = progress.epoch >= settings.epochs
    else:
        ended = facts["finished"] and settings.minutes <= (then.get("minutes") or 0.0)
    return ended or (facts["finished"] and progress.stopping.stops(settings, progress.epoch))


def _tensors(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    named = checkpoint.tensors.items()
    return {name.removeprefix(prefix): tensor for name, tensor in named if name.startswith(prefix)}


def _warn_of_changes(then: Mapping[str, Any], state: TrainState) -> None:
    # An older Segwright, which did not know a setting, did what its default does.
    then = {**{name: field.default for name, field in Hyperparameters.model_fields.items()}, **then}
    now = {**state.settings.model_dump(mode="json"), **_circumstances(state)}
    names = [name for name, value in now.items() if then.get(name) != value and name not in _WITHOUT_EFFECT]
    if names:
        changed = ", ".join(f"{name} {then.get(name)} -> {now[name]}" for name in names)
        logger.warning(
            f"resumed with changes ({changed}): the result will differ from that of an uninterrupted training"
        )


def _circumstances(state: TrainState) -> dict[str, Any]:
    """What the bits of a result depend on, beside settings and data."""
    return {
        "device": state.device.type,
        "threads": torch.get_num_threads(),
        "precision": str(state.precision).removeprefix("torch."),
        "compilation": "none",
        "processor": torch.backends.cpu.get_cpu_capability(),
        "processes": state.processes.world_size,
        "torch": torch.__version__,
    }


def _load_optimizer(state: TrainState, tensors: Mapping[str, Tensor]) -> None:
    """Restore the optimizer's tensors, laid out in memory as they were, so that updates take the same instructions."""
    parameters = _parameters(state)
    for name, tensor in tensors.items():
        index, key = name.split(".")
        parameter = parameters[int(index)]
        like = tensor if key == "step" else parameter  # torch counts steps on the CPU
        state.optimizer.state[parameter][key] = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)


def _parameters(state: TrainState) -> list[Tensor]:
    return [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
