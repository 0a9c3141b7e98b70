"""All that a training is at a moment, as a checkpoint, and a training as a checkpoint says it was.

What is restored goes on with the same bits: weights, running statistics, optimizer, loss scale, number of updates,
place in the epoch, scores, early stopping, and the generators that dropout draws from. What is random about samples
needs no place here: it is drawn from (seed, epoch, pair). Knows what counts; refuses to know files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

import torch
from torch import Tensor

from segwright.bundle import State, host_copy
from segwright.console import LOGGER
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.networks import NetworkSpec
from segwright.training.checkpoints import Checkpoint
from segwright.training.epoch import EpochSums, Trainer
from segwright.training.start import Former
from segwright.training.stopping import EarlyStopping

_NETWORK: Final = "network."
_BEST: Final = "best."
_OPTIMIZER: Final = "optimizer."
_GENERATOR: Final = "generator."

_FORMAT_VERSION: Final = 1

_FIXED: Final = ("optimizer", "update_rule", "mini_batch_size", "last_batch", "seed")
"""Settings that a training cannot change half-way: its state or its place in the epoch would mean something else."""

_WITHOUT_EFFECT: Final = frozenset(["workers", "logging_frequency", "use_pretrained_model", "backbone_weights"])
"""Settings that change nothing in what is still to come."""


@dataclass
class Progress:
    """How far a training has come."""

    stopping: EarlyStopping
    epoch: int = 0
    """Epochs that are trained and validated."""
    sums: EpochSums = field(default_factory=EpochSums)
    """Of the epoch that is under way."""
    finished: bool = False
    """Whether nothing is left to train: all epochs are done, or early stopping has ended them."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """One for each epoch, as in `metrics.jsonl`."""
    best: dict[str, Any] | None = None
    """The scores of the best epoch."""
    last: dict[str, Any] | None = None
    """The scores of the last epoch; None once the weights have moved on from it and the training ended."""
    best_weights: State | None = None
    """On the CPU."""
    started_from: str | None = None
    """The bundle that the first weights came from."""
    stream_pairs: int | None = None
    """How many pairs a pass over the training stream held; None before the first has ended, and for lists."""


def capture(trainer: Trainer, progress: Progress, identity: Mapping[str, Any]) -> Checkpoint | None:
    """Put a training into a checkpoint; all processes call it together, and the first one gets it.

    `identity` says what it is that is trained; `refuse_another` compares it.
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
    }
    facts = {
        "format_version": _FORMAT_VERSION,
        "identity": identity,
        "settings": trainer.settings.model_dump(mode="json"),
        "circumstances": _circumstances(trainer),
        "updates": trainer.updates,
        "scaler": trainer.scaler.state_dict(),
        "epoch": progress.epoch,
        "sums": asdict(progress.sums),
        "finished": progress.finished,
        "stopping": progress.stopping.state(),
        "records": progress.records,
        "best": progress.best,
        "last": progress.last,
        "started_from": progress.started_from,
        "stream_pairs": progress.stream_pairs,
    }
    return Checkpoint(facts, tensors)


def former_of(checkpoint: Checkpoint) -> Former:
    """What a checkpoint says of the network. Raises UserError for one that another version of Segwright wrote."""
    facts = checkpoint.facts
    if facts.get("format_version") != _FORMAT_VERSION:
        raise UserError(
            "--resume: the checkpoint was written by another version of Segwright: go on with that, or start anew, "
            "without --resume and with --overwrite"
        )
    identity = facts["identity"]
    lists = {name: tuple(identity[name]) for name in ("mean", "std")}
    spec = {spec_field.name: identity[spec_field.name] for spec_field in fields(NetworkSpec)}
    return Former(NetworkSpec(**{**spec, **lists}), tuple(identity["class_names"]))


def refuse_another(checkpoint: Checkpoint, identity: Mapping[str, Any], settings: Hyperparameters) -> None:
    """Raise UserError when a checkpoint is not one of the training that `identity` and `settings` describe."""
    facts = checkpoint.facts
    advice = (
        "Give it back what it had; or start anew, without --resume and with --overwrite; or start another training "
        "from the model of this one, with --from."
    )
    then = {**facts["identity"], **facts["settings"]}
    now = {**identity, **{name: getattr(settings, name) for name in _FIXED}}
    for name, value in now.items():
        if then[name] != value:
            what = name.replace("_", " ")
            values = "" if name.endswith("data") else f": it was {then[name]}, now it is {value}"
            raise UserError(f"--resume: the checkpoint is of a training with another {what}{values}. {advice}")
    reached = facts["epoch"] + bool(facts["sums"]["batches"])
    if settings.epochs < reached:
        raise UserError(
            f"--resume: epochs is {settings.epochs}, but epoch {reached} has begun; it takes at least {reached}"
        )


def restore(trainer: Trainer, progress: Progress, checkpoint: Checkpoint) -> None:
    """Make a training what it was when `checkpoint` was captured; circumstances that have changed are told."""
    facts, tensors = checkpoint.facts, checkpoint.tensors
    _tell_differences(facts, trainer)
    trainer.network.load_state_dict(_without(_NETWORK, tensors))
    _fill_optimizer(trainer, _without(_OPTIMIZER, tensors))
    if facts["scaler"]:  # empty where the checkpoint's precision needed none
        trainer.scaler.load_state_dict(facts["scaler"])
    trainer.updates = facts["updates"]
    progress.epoch, progress.sums = facts["epoch"], EpochSums(**facts["sums"])
    stopped_early = facts["finished"] and facts["epoch"] < facts["settings"]["epochs"]
    progress.finished = facts["epoch"] >= trainer.settings.epochs or (stopped_early and trainer.settings.early_stopping)
    progress.records = list(facts["records"])
    progress.best, progress.last = facts["best"], facts["last"]
    progress.best_weights = {name: value.clone() for name, value in _without(_BEST, tensors).items()} or None
    progress.started_from = facts["started_from"]
    progress.stream_pairs = facts.get("stream_pairs")
    progress.stopping.restore(facts["stopping"])
    _set_generators(trainer.device, _without(f"{_GENERATOR}{trainer.processes.rank}.", tensors))


def _tell_differences(facts: Mapping[str, Any], trainer: Trainer) -> None:
    then = {**facts["settings"], **facts["circumstances"]}
    now = {**trainer.settings.model_dump(mode="json"), **_circumstances(trainer)}
    changed = [
        f"{name} {then.get(name)} -> {value}"
        for name, value in now.items()
        if then.get(name) != value and name not in _WITHOUT_EFFECT
    ]
    if changed:
        LOGGER.warning(
            f"resumed under other circumstances ({', '.join(changed)}): the result will differ from that of an "
            "undisturbed training"
        )


def _circumstances(trainer: Trainer) -> dict[str, Any]:
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


def _optimizer_tensors(trainer: Trainer) -> Iterator[tuple[str, Tensor]]:
    for index, parameter in enumerate(_parameters(trainer)):
        for key, value in trainer.optimizer.state.get(parameter, {}).items():
            if value is not None:
                yield f"{_OPTIMIZER}{index}.{key}", value


def _fill_optimizer(trainer: Trainer, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimizer its state back, laid out in memory as it was, so that updates take the same instructions."""
    parameters = _parameters(trainer)
    for name, tensor in tensors.items():
        index, key = name.split(".")
        parameter = parameters[int(index)]
        like = tensor if key == "step" else parameter  # torch counts steps on the CPU
        trainer.optimizer.state[parameter][key] = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)


def _parameters(trainer: Trainer) -> list[Tensor]:
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
