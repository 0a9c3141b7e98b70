"""Checkpoints on disk: whole or not there, checked when they are read, never unpickled, and never many.

A checkpoint is one safetensors file, `checkpoint-NUMBER-DIGEST.safetensors`: tensors, and facts as JSON in its header.
It is written aside and renamed, and its name holds the SHA-256 of its bytes, so that a damaged file is noticed and the
one before it used. Knows files. Refuses to know what is kept in them.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from segwright.errors import OutputExistsError, UserError
from segwright.storage import check_writable_folder, write_bytes

logger = logging.getLogger(__name__)

KEPT: Final = 2
"""Checkpoints that stay on the disk: the newest, and one to fall back on."""

START_ANEW: Final = (
    "start anew, without --resume and with --overwrite; or start another training from the model of this one, with "
    "--from."
)
"""What can be done where a checkpoint is of another training."""

_NAME: Final = re.compile(r"checkpoint-(\d{8})-([0-9a-f]{64})\.safetensors")
_FACTS: Final = "segwright"


@dataclass(frozen=True)
class Checkpoint:
    """What is kept of a training: facts that JSON can hold, and tensors on the CPU by name."""

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class CheckpointFolder:
    """The checkpoints of one training, the newest of which it goes on from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._to_replace: list[Path] = []

    def newest(self) -> Checkpoint | None:
        """Read the newest checkpoint that is whole, or None; damaged ones are passed over with a warning.

        Raises UserError when a file cannot be read for a reason that has nothing to do with what is in it.
        """
        for file in reversed(self._files()):
            try:
                return _read(file)
            except (ValueError, SafetensorError) as error:
                logger.warning(f"{file} is damaged ({error}) and passed over")
                self._to_replace.append(file)
            except OSError as error:
                raise UserError(f"the checkpoint {file} cannot be read: {error.strerror}") from error
        return None

    def begin(self, overwrite: bool) -> None:
        """Prepare for a training that starts anew; checkpoints of an earlier one go when the first is saved.

        Raises OutputExistsError when there are some and `overwrite` is False, UserError when none can be written.
        """
        self._to_replace = self._files()
        if self._to_replace and not overwrite:
            raise OutputExistsError(
                f"{self.path} holds checkpoints of an earlier training. Add --resume to go on with it, --overwrite to "
                "start anew and replace them, or name another folder with --checkpoints."
            )
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is no folder; name one for checkpoints with --checkpoints.")
        try:
            check_writable_folder(self.path)
        except UserError as error:
            raise UserError(f"No checkpoints: {error} --checkpoints names another folder for them.") from error

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove those that it makes superfluous. Raises UserError when that fails."""
        data = save(dict(checkpoint.tensors), {_FACTS: json.dumps(checkpoint.facts)})
        try:
            files = self._files()
            number = int(files[-1].name.split("-")[1]) + 1 if files else 1
            name = f"checkpoint-{number:08}-{hashlib.sha256(data).hexdigest()}.safetensors"
            write_bytes(self.path / name, data)
            sound = [file for file in self._files() if file not in self._to_replace]
            left_by_kills = self.path.glob(".*.partial.safetensors")
            for file in [*self._to_replace, *sound[:-KEPT], *left_by_kills]:
                file.unlink(missing_ok=True)
            self._to_replace = []
        except OSError as error:
            raise UserError(f"the checkpoint cannot be written to {self.path}: {error.strerror}") from error

    def _files(self) -> list[Path]:
        """All checkpoints, the oldest first."""
        if not self.path.is_dir():
            return []
        return sorted(file for file in self.path.iterdir() if _NAME.fullmatch(file.name))


def _read(file: Path) -> Checkpoint:
    """Read a checkpoint. Raises ValueError where its bytes are not those that were written."""
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() not in file.name:
        raise ValueError("its bytes do not have the digest in its name")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return Checkpoint(json.loads(header["__metadata__"][_FACTS]), load(data))
