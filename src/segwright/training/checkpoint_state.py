"""All that a training is at a moment, as a checkpoint, and a training as a checkpoint says it was.

What is restored goes on with the same bits: weights, running statistics, optimizer, loss scale, number of updates,
place in the epoch, scores, early stopping, and the generators that dropout draws from. What is random about samples
needs no place here: it is drawn from (seed, epoch, pair). Knows what counts; refuses to know files.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from segwright.bundle import Description, State, host_copy
from segwright.data.channels import Split
from segwright.training.checkpoints import Checkpoint
from segwright.training.early_stopping import EarlyStopping
from segwright.training.streams import StreamIdentity
from segwright.training.train_step import EpochSums, TrainState

logger = logging.getLogger(__name__)

_NETWORK: Final = "network."
_BEST: Final = "best."
_OPTIMIZER: Final = "optimizer."
_GENERATOR: Final = "generator."
_STREAM: Final = "stream."

CHECKPOINT_VERSION: Final = 2
"""Of what a checkpoint holds."""

_WITHOUT_EFFECT: Final = frozenset(["workers", "logging_frequency", "use_pretrained_model", "backbone_weights"])
"""Settings that change nothing in what is still to come."""


@dataclass
class TrainProgress:
    """How far a training has come."""

    stopping: EarlyStopping
    epoch: int = 0
    """Epochs that are trained and validated."""
    sums: EpochSums = field(default_factory=EpochSums)
    """Of the epoch that is under way."""
    trained_told: bool = False
    """Whether what training has brought in this epoch was told; its validation may be still to come."""
    finished: bool = False
    """Whether nothing is left to train: all epochs are done, or early stopping has ended them."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """One for each epoch, as in `metrics.jsonl`."""
    best: dict[str, Any] | None = None
    """The scores of the best epoch."""
    last: dict[str, Any] | None = None
    """The scores of the last epoch."""
    best_weights: State | None = None
    """On the CPU."""
    started_from: str | None = None
    """The bundle that the first weights came from."""
    stream_pairs: int | None = None
    """How many pairs a pass over the training stream held; None before the first has ended, and for lists."""
    streams: dict[Split, StreamIdentity] = field(default_factory=dict)
    """What is known of the streams; empty for lists."""
    job: str | None = None
    """The training job that this is, where a platform names it."""


def to_checkpoint(trainer: TrainState, progress: TrainProgress, description: Description) -> Checkpoint | None:
    """Put a training, which `description` describes, into a checkpoint; all processes call it together, and the first
    one gets it.
    """
    generators = trainer.processes.gather(_generators(trainer.device))
    if not trainer.processes.first:
        return None
    tensors = {
        **_prefixed(_NETWORK, host_copy(trainer.network)),
        **_prefixed(_BEST, progress.best_weights or {}),
        **{name: tensor.detach().cpu().contiguous() for name, tensor in _optimizer_tensors(trainer)},
        **{
            f"{_GENERATOR}{rank}.{name}": state
            for rank, states in enumerate(generators)
            for name, state in states.items()
        },
        **{_STREAM + split: identity.to_tensor() for split, identity in progress.streams.items()},
    }
    facts = {
        "format_version": CHECKPOINT_VERSION,
        "description": description.model_dump(mode="json"),
        "circumstances": _circumstances(trainer),
        "updates": trainer.updates,
        "scaler": trainer.scaler.state_dict(),
        "epoch": progress.epoch,
        "sums": asdict(progress.sums),
        "trained_told": progress.trained_told,
        "finished": progress.finished,
        "stopping": progress.stopping.state(),
        "records": progress.records,
        "stream_pairs": progress.stream_pairs,
        "streams": {split: identity.facts() for split, identity in progress.streams.items()},
        "job": progress.job,
    }
    return Checkpoint(facts, tensors)


def weights_in(checkpoint: Checkpoint) -> tuple[State, State | None]:
    """The last and the best weights; None before the first epoch has ended."""
    return _without(_NETWORK, checkpoint.tensors), _without(_BEST, checkpoint.tensors) or None


def load_checkpoint(
    trainer: TrainState, progress: TrainProgress, checkpoint: Checkpoint, description: Description
) -> None:
    """Make a training what it was when `checkpoint`, which holds this description, was captured.

    Circumstances that have changed are told.
    """
    facts, tensors = checkpoint.facts, checkpoint.tensors
    then = description.hyperparameters
    _tell_differences({**then, **facts["circumstances"]}, trainer)
    last, best = weights_in(checkpoint)
    trainer.network.load_state_dict(last)
    _fill_optimizer(trainer, _without(_OPTIMIZER, tensors))
    if facts["scaler"]:  # empty where the checkpoint's precision needed none
        trainer.scaler.load_state_dict(facts["scaler"])
    trainer.updates = facts["updates"]
    progress.epoch, progress.sums = facts["epoch"], EpochSums(**facts["sums"])
    progress.trained_told = facts["trained_told"]
    stopped_early = facts["finished"] and facts["epoch"] < then["epochs"]
    progress.finished = facts["epoch"] >= trainer.settings.epochs or (stopped_early and trainer.settings.early_stopping)
    progress.records = list(facts["records"])
    progress.best, progress.last = description.metrics["best"], description.metrics["last"]
    progress.best_weights = best and {name: value.clone() for name, value in best.items()}
    progress.started_from = description.started_from
    progress.stream_pairs = facts["stream_pairs"]
    progress.streams = _streams(progress.streams, checkpoint)
    progress.stopping.load_state(facts["stopping"])
    _set_generators(trainer.device, _without(f"{_GENERATOR}{trainer.processes.rank}.", tensors))


def is_of_job(checkpoint: Checkpoint, job: str | None) -> bool | None:
    """Whether a checkpoint is of the job that a platform names; None where nothing says so."""
    then = checkpoint.facts.get("job")
    return then == job if then and job else None


def _streams(now: Iterable[Split], checkpoint: Checkpoint) -> dict[Split, StreamIdentity]:
    """What a checkpoint knows of streams; nothing, where an older Segwright wrote it."""
    known = checkpoint.facts.get("streams", {})
    return {
        split: StreamIdentity.restored(known[split], checkpoint.tensors[_STREAM + split])
        if split in known
        else StreamIdentity()
        for split in now
    }


def _tell_differences(then: Mapping[str, Any], trainer: TrainState) -> None:
    now = {**trainer.settings.model_dump(mode="json"), **_circumstances(trainer)}
    changed = [
        f"{name} {then.get(name)} -> {value}"
        for name, value in now.items()
        if then.get(name) != value and name not in _WITHOUT_EFFECT
    ]
    if changed:
        logger.warning(
            f"resumed under other circumstances ({', '.join(changed)}): the result will differ from that of an "
            "undisturbed training"
        )


def _circumstances(trainer: TrainState) -> dict[str, Any]:
    """What the bits of a result depend on, beside settings and data."""
    return {
        "device": trainer.device.type,
        "threads": torch.get_num_threads(),
        "precision": str(trainer.precision).removeprefix("torch."),
        "compilation": "none",
        "processor": torch.backends.cpu.get_cpu_capability(),
        "processes": trainer.processes.world_size,
        "torch": torch.__version__,
    }


def _optimizer_tensors(trainer: TrainState) -> Iterator[tuple[str, Tensor]]:
    for index, parameter in enumerate(_parameters(trainer)):
        for key, value in trainer.optimizer.state.get(parameter, {}).items():
            if value is not None:
                yield f"{_OPTIMIZER}{index}.{key}", value


def _fill_optimizer(trainer: TrainState, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimizer its state back, laid out in memory as it was, so that updates take the same instructions."""
    parameters = _parameters(trainer)
    for name, tensor in tensors.items():
        index, key = name.split(".")
        parameter = parameters[int(index)]
        like = tensor if key == "step" else parameter  # torch counts steps on the CPU
        trainer.optimizer.state[parameter][key] = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)


def _parameters(trainer: TrainState) -> list[Tensor]:
    return [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]


def _generators(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that this process draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_generators(device: torch.device, states: Mapping[str, Tensor]) -> None:
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    if "mps" in states and device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _without(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
