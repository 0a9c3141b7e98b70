"""A training job as the platform's JSON files describe it: hyperparameters, channels, machines, checkpoints.

Source: SageMaker's contract, sections 1.1, 3 and 6.1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from segwright.errors import UserError
from segwright.sagemaker.hyperparameters import to_string
from segwright.sagemaker.paths import Paths

Mode = Literal["File", "FastFile", "Pipe"]
Json = TypeVar("Json", dict[str, Any], list[Any])


@dataclass(frozen=True)
class ChannelConfig:
    """How a channel is delivered."""

    mode: Mode
    wrapper: str
    """`RecordIO` where records are wrapped, else the string `None`."""


@dataclass(frozen=True)
class Job:
    """One training job on one machine."""

    hyperparameters: dict[str, str]
    channels: dict[str, ChannelConfig]
    host: str
    checkpoints: Path | None
    """The folder of checkpoints; None where the job writes none."""
    parent_model: Path | None = None
    """Where the model of the channel `model` is unpacked; None without the channel."""
    name: str | None = None
    """The job's ARN or name, the same after a restart; None where the platform gives neither."""

    @classmethod
    def read(cls, paths: Paths) -> "Job":
        """Read the platform's files, or the variables of the training toolkit in their place.

        Raises UserError for files that cannot be used, and for several machines.
        """
        variables = paths.environment
        machines = _read(paths, "resourceconfig", "SM_RESOURCE_CONFIG")
        host = str(machines.get("current_host") or variables.get("SM_CURRENT_HOST") or "algo-1")
        _check_one_machine(machines.get("hosts") or _list(paths, "SM_HOSTS") or [host])
        channels = _channels(paths)
        return cls(
            _hyperparameters(paths),
            channels,
            host,
            _checkpoints(paths),
            paths.parent_model if "model" in channels else None,
            variables.get("TRAINING_JOB_ARN") or variables.get("TRAINING_JOB_NAME") or None,
        )


def _read(paths: Paths, name: str, variable: str = "") -> dict[str, Any]:
    """The object in a JSON file of the platform, or in a variable of the training toolkit where there is no file."""
    file = paths.config / f"{name}.json"
    try:
        return _parse(file.read_text("utf-8"), str(file), dict)
    except FileNotFoundError:
        return _parse(paths.environment.get(variable) or "{}", f"the variable {variable}", dict)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}.") from error


def _list(paths: Paths, variable: str) -> list[Any]:
    return _parse(paths.environment.get(variable) or "[]", f"the variable {variable}", list)


def _parse(text: str, where: str, kind: type[Json]) -> Json:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}). SageMaker writes it for each training job.") from None
    if not isinstance(content, kind):
        wanted = 'object, as {"name": ...}' if kind is dict else 'list, as ["name", ...]'
        raise UserError(f"{where} holds {type(content).__name__}; it has to hold one JSON {wanted}.")
    return content


def _hyperparameters(paths: Paths) -> dict[str, str]:
    given = _read(paths, "hyperparameters", "SM_HPS")
    if not given and not (paths.config / "hyperparameters.json").exists():
        given = _variables(paths, "SM_HP_")
    return {name: to_string(value) for name, value in given.items()}


def _variables(paths: Paths, prefix: str) -> dict[str, str]:
    """The variables that begin with `prefix`, by the rest of their names in lower case."""
    return {
        name.removeprefix(prefix).lower(): value for name, value in paths.environment.items() if name.startswith(prefix)
    }


def _channels(paths: Paths) -> dict[str, ChannelConfig]:
    """The channels in the platform's file; else the folders that exist, or those of the training toolkit."""
    configured = _read(paths, "inputdataconfig", "SM_INPUT_DATA_CONFIG")
    if configured:
        return {name: _channel(name, entry) for name, entry in configured.items()}
    folders = sorted(folder.name for folder in paths.data.iterdir() if folder.is_dir()) if paths.data.is_dir() else []
    listed = map(str, _list(paths, "SM_CHANNELS"))
    return {name: ChannelConfig("File", "None") for name in folders or [*listed] or _variables(paths, "SM_CHANNEL_")}


def _channel(name: str, entry: object) -> ChannelConfig:
    if not isinstance(entry, Mapping):
        raise UserError(f"inputdataconfig.json: the channel {name} is {entry!r}, but has to be a JSON object.")
    mode: Mode = entry.get("TrainingInputMode") or "File"
    if mode not in get_args(Mode):
        raise UserError(f"The channel {name} has TrainingInputMode {mode!r}; File, FastFile and Pipe can be read.")
    return ChannelConfig(mode, str(entry.get("RecordWrapperType") or "None"))


def _checkpoints(paths: Paths) -> Path | None:
    """The folder that CheckpointConfig names, or the usual one where it exists."""
    usual = paths.root / "checkpoints"
    if configured := _read(paths, "checkpointconfig"):
        return paths.local(str(configured.get("LocalPath") or usual))
    return usual if usual.is_dir() else None


def _check_one_machine(hosts: object) -> None:
    if not isinstance(hosts, list):
        raise UserError(f"resourceconfig.json: hosts is {hosts!r}, but has to be a list of the names of machines.")
    if len(hosts) > 1:
        raise UserError(
            f"The job runs on {len(hosts)} machines ({', '.join(map(str, hosts))}), which would all do the same work: "
            "Segwright does not yet train on several machines of a job together. Set InstanceCount to 1; all GPUs of "
            "the machine are used."
        )
