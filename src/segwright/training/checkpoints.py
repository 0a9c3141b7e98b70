"""Checkpoints on disk, which one a training goes on from, and whether checkpoint, bundle and settings belong together.

A checkpoint is one safetensors file, `checkpoint-NUMBER-DIGEST.safetensors`: tensors, and facts as JSON in its header.
It is whole or absent; the SHA-256 in its name shows damage, and then the one before it is used.
"""

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from segwright.bundle import DESCRIPTION, BundleWriter, Description, read_description
from segwright.data.channels import SPLITS
from segwright.errors import OutputExistsError, ResumeError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.storage import check_writable_folder, write_bytes
from segwright.training.initialization import inherit_settings

logger = logging.getLogger(__name__)

CHECKPOINT_VERSION: Final = 2
KEPT: Final = 2  # checkpoints that stay on the disk: the newest, and one to fall back on
START_OVER: Final = (
    "start over with overwrite and without resume, or start another training from its model with start_from"
)

_NAME: Final = re.compile(r"checkpoint-(\d{8})-([0-9a-f]{64})\.safetensors")
_FACTS: Final = "segwright"
_STREAM: Final = "a stream"
_NETWORK: Final = ("algorithm", "backbone", "output_stride", "decoder_output_stride", "num_classes")
_PIXELS: Final = ("bands", "apply_exif_orientation")
_FIXED: Final = ("optimizer", "update_rule", "mini_batch_size", "last_batch", "repeats", "seed")
"""Settings that cannot change half-way: optimizer state or the position in the epoch would mean something else."""
_DEFAULTS: Final = {"repeats": 1}  # of settings that an older Segwright did not have


@dataclass(frozen=True)
class Checkpoint:
    """A training at one moment: JSON values, and tensors on the CPU by name."""

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def description(self) -> Description:
        """The training. Raises ResumeError for one of another version of Segwright."""
        if self.facts.get("format_version") != CHECKPOINT_VERSION:
            raise ResumeError(
                f"Cannot resume: another version of Segwright wrote the checkpoint. Go on with that version, or "
                f"{START_OVER}."
            )
        return Description.model_validate(self.facts["description"])

    def belongs_to_job(self, job: str | None) -> bool | None:
        """Whether it is of the job that a platform names; None where nothing says so."""
        then = self.facts.get("job")
        return then == job if then and job else None

    def wrote(self, bundle: Description) -> bool:
        """Whether the training of this checkpoint wrote a bundle."""
        then = self.description
        if not all(bundle.data.get(split) for split in SPLITS):  # imported, or written before the data were read
            return False
        same_data = all(_same_data(then.data[split], bundle.data[split]) for split in SPLITS)
        return same_data and _identity(then) == _identity(bundle)

    def check_resumable(self, settings: Hyperparameters, now: Description | None = None) -> None:
        """Raise ResumeError when it is not of the training with these settings and this description.

        Without `now` only the network is compared. Of streams it is only known here that they are some;
        `training.resumed_streams` compares them.
        """
        had = _identity(self.description)
        settings = inherit_settings(settings, self.description.network)
        asked = {name: getattr(settings, name) for name in (_PIXELS if now else (*_NETWORK, *_PIXELS))}
        given = {name: value for name, value in asked.items() if value is not None}
        for name, value in {**(_identity(now) if now else {}), **given}.items():
            if had[name] != value:
                what = f"{name} changed from {had[name]} to {value}"
                if name.endswith(" data"):
                    streams = ": one is a stream, the other is not" if _STREAM in (had[name], value) else ""
                    what = f"the {name} changed{streams}"
                raise ResumeError(f"Cannot resume: {what}. Restore it, or {START_OVER}.", name=name, value=value)
        begun = self.facts["epoch"] + bool(self.facts["sums"]["batches"])
        if now and settings.minutes is None and settings.epochs < begun:
            sentence = (
                f"Cannot resume: epochs is {settings.epochs}, but epoch {begun} has begun; it takes at least {begun}."
            )
            raise ResumeError(sentence, name="epochs", value=settings.epochs)


def _identity(description: Description) -> dict[str, Any]:
    """What must stay as it is when a training is resumed."""
    data = {f"{split} data": description.data[split] for split in SPLITS}
    return {
        **asdict(description.network),
        "apply_exif_orientation": description.network.upright,
        "class_names": description.class_names,
        **{name: found["fingerprint"] if found.get("complete", True) else _STREAM for name, found in data.items()},
        "label_maps": description.label_maps,
        **{name: (_DEFAULTS | description.hyperparameters).get(name) for name in _FIXED},
    }


def _same_data(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two channel reports are of the same data; streams that cannot be shown to be the same are not."""
    fingerprints = {one["fingerprint"], other["fingerprint"]}
    if one.get("complete", True):
        return len(fingerprints) == 1
    first = one.get("first_pairs")
    return bool(first) and first == other.get("first_pairs") and len(fingerprints - {""}) < 2


class CheckpointFolder:
    """The checkpoints of one training; between validations one is written `every` seconds. They are `kept` when the
    training has ended, or removed.
    """

    def __init__(self, path: Path, every: float = math.inf, *, kept: bool = True) -> None:
        self.path, self.every, self.kept = path, every, kept
        self._to_replace: list[Path] = []

    def newest(self) -> Checkpoint | None:
        """Read the newest checkpoint that is whole, or None; damaged ones are skipped with a warning.

        Raises UserError when a file cannot be read for a reason that has nothing to do with what is in it.
        """
        for file in reversed(self._files()):
            try:
                data = file.read_bytes()
                if hashlib.sha256(data).hexdigest() not in file.name:
                    raise ValueError("its bytes do not have the digest in its name")
                header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
                return Checkpoint(json.loads(header["__metadata__"][_FACTS]), load(data))
            except (ValueError, SafetensorError) as error:
                logger.warning(f"{file} is damaged ({error}) and skipped")
                self._to_replace.append(file)
            except OSError as error:
                raise UserError(f"The checkpoint {file} cannot be read: {error.strerror}", file=str(file)) from error
        return None

    @property
    def is_empty(self) -> bool:
        """Whether there is no checkpoint, not even a damaged one."""
        return not self._files()

    def begin(self, overwrite: bool) -> None:
        """Prepare for a new training; checkpoints of an earlier one are removed when the first is saved.

        Raises OutputExistsError when there are some and `overwrite` is False, UserError when none can be written.
        """
        self._to_replace = self._files()
        if self._to_replace and not overwrite:
            raise OutputExistsError(
                f"{self.path} holds checkpoints of an earlier training. Go on with it (resume), start over and replace "
                "them (overwrite), or name another folder (checkpoints)."
            )
        try:
            check_writable_folder(self.path)
        except UserError as error:
            raise UserError(f"Checkpoints cannot be written: {error} Name another folder with checkpoints.") from error

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove those that it replaces. Raises UserError when that fails."""
        data = save(dict(checkpoint.tensors), {_FACTS: json.dumps(checkpoint.facts)})
        try:
            files = self._files()
            number = int(files[-1].name.split("-")[1]) + 1 if files else 1
            write_bytes(self.path / f"checkpoint-{number:08}-{hashlib.sha256(data).hexdigest()}.safetensors", data)
            sound = [file for file in self._files() if file not in self._to_replace]
            left_by_kills = self.path.glob(".*.partial.safetensors")
            for file in [*self._to_replace, *sound[:-KEPT], *left_by_kills]:
                file.unlink(missing_ok=True)
            self._to_replace = []
        except OSError as error:
            raise UserError(f"The checkpoint cannot be written to {self.path}: {error.strerror}") from error

    def end(self) -> None:
        """Remove the checkpoints of a training that has ended, unless they are kept."""
        if self.kept:
            return
        try:
            for file in [*self._files(), *self.path.glob(".*.partial.safetensors")]:
                file.unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()
        except OSError as error:
            logger.warning(f"the checkpoints in {self.path} cannot be removed: {error.strerror}")

    def _files(self) -> list[Path]:
        """All checkpoints, the oldest first."""
        found = self.path.iterdir() if self.path.is_dir() else ()
        return sorted(file for file in found if _NAME.fullmatch(file.name))


@dataclass(frozen=True)
class CheckpointPolicy:
    """Where and how often a training is saved, and what happens to what an earlier one has left."""

    path: Path | str | None = None  # their folder; None: OUTPUT.checkpoints, removed when the training has ended
    every: float | None = 600.0  # seconds between two; a validation writes one too; None: none at all
    resume: bool = False  # go on from the newest checkpoint, or start anew where there is none
    overwrite: bool = False  # replace the output and the checkpoints of another training
    in_place: bool = False  # the output was made for this training, and is filled whatever lies there
    job: str | None = None  # where a platform has jobs: a job's checkpoints are of its own data, streams too

    def folder(self, output: Path) -> CheckpointFolder | None:
        """The checkpoints of the training that writes `output`; None where none are written."""
        usual = output.resolve().with_name(output.resolve().name + ".checkpoints")
        kept = self.path is not None
        return None if self.every is None else CheckpointFolder(Path(self.path or usual), self.every, kept=kept)

    def is_finished(self, folder: CheckpointFolder | None, output: Path, settings: Hyperparameters) -> bool:
        """Whether a training to be resumed has ended, as its bundle says where its checkpoints are removed.

        Raises ResumeError where it was to be longer this time, which takes the checkpoints.
        """
        if folder is None or not self.resume or self.in_place or not folder.is_empty:
            return False
        if not (output / DESCRIPTION).is_file() or not (bundle := read_description(output)).finished:
            return False
        for name in ("epochs", "minutes"):
            had, value = bundle.hyperparameters.get(name), getattr(settings, name)
            if name in settings.model_fields_set and value is not None and value > (had or 0):
                raise ResumeError(
                    f"Cannot resume with {name} {value:g}: the training of {output} has ended, and its checkpoints are "
                    "removed, as always where checkpoints names no folder for them. Start another training from its "
                    "model with start_from, or start over with overwrite and without resume.",
                    name=name,
                    value=value,
                )
        then = Hyperparameters.model_validate(bundle.hyperparameters)
        for name in settings.model_fields_set - {"epochs", "minutes"}:
            had, value = getattr(then, name), getattr(settings, name)
            if had != value:
                what = f"{name} changed from {had} to {value}, and the training of {output} has ended"
                raise ResumeError(f"Cannot resume: {what}. Restore it, or {START_OVER}.", name=name, value=value)
        epoch = (bundle.metrics["last"] or {}).get("epoch")
        logger.info(
            f"{output}: the training ended after epoch {epoch}: nothing is left to train; data are not compared"
        )
        return True

    def open(self, folder: CheckpointFolder | None, output: Path) -> tuple[Checkpoint | None, BundleWriter]:
        """The checkpoint in `folder` to go on from, if any, and the writer of the bundle.

        Raises UserError, before anything is trained, for what stands in their way.
        """
        checkpoint, resuming = None, self.in_place
        if folder is not None:
            if folder.path.resolve().is_relative_to(output.resolve()):
                raise UserError(
                    f"The checkpoints ({folder.path}) would lie within the output ({output}), which is replaced as a "
                    "whole: name another folder with checkpoints."
                )
            checkpoint = folder.newest() if self.resume else None
            if checkpoint is None:
                folder.begin(self.overwrite or self.resume)
            elif (output / DESCRIPTION).is_file():
                resuming |= checkpoint.wrote(read_description(output))
        writer = BundleWriter(output, self.overwrite, resuming=resuming)
        if folder is not None and self.resume:
            what = "resuming" if checkpoint else "no usable checkpoint: training starts from the beginning"
            logger.info(f"{folder.path}: {what}")
        return checkpoint, writer
