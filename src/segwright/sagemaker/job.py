"""What a training job asks for, as the platform's JSON files say it: hyperparameters, channels, machines, checkpoints.

Knows the shape of these files. Refuses to know what a hyperparameter means and what lies in a channel.

Source: SageMaker's contract, sections 1.1, 3 and 6.1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from segwright.errors import UserError
from segwright.sagemaker.paths import Paths

Mode = Literal["File", "FastFile", "Pipe"]

_ONLY_HOST: Final = "algo-1"
_CHECKPOINTS: Final = "checkpoints"
_EACH: Final = "SM_HP_"
_CHANNEL: Final = "SM_CHANNEL_"


@dataclass(frozen=True)
class ChannelConfig:
    """How a channel comes in."""

    mode: Mode
    wrapper: str
    """`RecordIO` where records are wrapped, else `None`, as a word."""


@dataclass(frozen=True)
class Job:
    """One training job on one machine."""

    hyperparameters: dict[str, str]
    channels: dict[str, ChannelConfig]
    host: str
    checkpoints: Path | None
    """Where checkpoints are kept; None where the job keeps none."""
    name: str | None = None
    """What tells the job from all others, the same after a restart; None where the platform does not say it."""

    @property
    def starts_from_a_model(self) -> bool:
        """Whether the job trains on from an earlier model."""
        return "model" in self.channels

    @classmethod
    def read(cls, tree: Paths) -> "Job":
        """Read what the platform wrote. Raises UserError for files that cannot be used, and for several machines."""
        machines = _read(tree, "resourceconfig", "SM_RESOURCE_CONFIG")
        host = str(machines.get("current_host") or tree.environment.get("SM_CURRENT_HOST") or _ONLY_HOST)
        _check_several(machines.get("hosts") or _list(tree, "SM_HOSTS") or [host])
        name = tree.environment.get("TRAINING_JOB_ARN") or tree.environment.get("TRAINING_JOB_NAME") or None
        return cls(_hyperparameters(tree), _channels(tree), host, _checkpoints(tree), name)


def _read(tree: Paths, name: str, variable: str | None = None) -> dict[str, Any]:
    """A JSON file of the platform's, or what a variable of the training toolkit holds in its place."""
    file = tree.configuration(name)
    where = str(file)
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        where = f"the variable {variable}"
        text = tree.environment.get(variable or "") or "{}"
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.") from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where} is not JSON ({error}). SageMaker writes it from what CreateTrainingJob says."
        ) from None
    if not isinstance(content, dict):
        raise UserError(f'{where} holds {type(content).__name__}, but has to hold one JSON object, as {{"name": ...}}.')
    return content


def _list(tree: Paths, variable: str) -> list[Any]:
    """The JSON list that a variable of the training toolkit holds; empty without it."""
    text = tree.environment.get(variable) or "[]"
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, list):
        raise UserError(f"the variable {variable} is {text}; it has to hold a JSON list.")
    return content


def _hyperparameters(tree: Paths) -> dict[str, str]:
    """What the platform wrote; where it wrote nothing, the training toolkit's one variable for all, or one for each."""
    given = _read(tree, "hyperparameters", "SM_HPS")
    if not given and not tree.configuration("hyperparameters").exists():
        variables = tree.environment.items()
        given = {name.removeprefix(_EACH).lower(): value for name, value in variables if name.startswith(_EACH)}
    return {name: as_text(value) for name, value in given.items()}


def as_text(value: object) -> str:
    """A hyperparameter as SageMaker writes it: a string, whatever it is; lists as `10, 20`."""
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _channels(tree: Paths) -> dict[str, ChannelConfig]:
    configured = _read(tree, "inputdataconfig", "SM_INPUT_DATA_CONFIG")
    if not configured:
        return {name: ChannelConfig("File", "None") for name in _channels_there(tree)}
    return {name: _channel(name, entry) for name, entry in configured.items()}


def _channels_there(tree: Paths) -> list[str]:
    """The channels of a job that says nothing of them: the folders that are there, or those of the training toolkit."""
    folders = sorted(folder.name for folder in tree.data.iterdir() if folder.is_dir()) if tree.data.is_dir() else []
    listed = [str(name) for name in _list(tree, "SM_CHANNELS")]
    each = [name.removeprefix(_CHANNEL).lower() for name in tree.environment if name.startswith(_CHANNEL)]
    return folders or listed or each


def _channel(name: str, entry: object) -> ChannelConfig:
    if not isinstance(entry, Mapping):
        raise UserError(f"inputdataconfig.json: the channel {name} is {entry!r}, but has to be a JSON object.")
    mode: Mode = entry.get("TrainingInputMode") or "File"
    if mode not in get_args(Mode):
        raise UserError(f"The channel {name} has TrainingInputMode {mode!r}; File, FastFile and Pipe can be read.")
    return ChannelConfig(mode, str(entry.get("RecordWrapperType") or "None"))


def _checkpoints(tree: Paths) -> Path | None:
    """The folder that the job names, or the usual one where it is there."""
    usual = tree.root / _CHECKPOINTS
    configured = _read(tree, "checkpointconfig")
    if configured:
        return tree.local(str(configured.get("LocalPath") or usual))
    return usual if usual.is_dir() else None


def _check_several(hosts: object) -> None:
    if not isinstance(hosts, list):
        raise UserError(f"resourceconfig.json: hosts is {hosts!r}, but has to be a list of the names of machines.")
    if len(hosts) > 1:
        raise UserError(
            f"The job runs on {len(hosts)} machines ({', '.join(map(str, hosts))}), which would all do the same work: "
            "Segwright does not yet train on several machines of a job together. Set InstanceCount to 1; all GPUs of "
            "the machine are used."
        )
