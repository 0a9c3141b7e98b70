"""Where things lie in a container: the tree below `/opt/ml`.

Source: SageMaker's contract, section 6.1.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

_ROOT_VARIABLE: Final = "SEGWRIGHT_ML_ROOT"
_ML: Final = PurePosixPath("/opt/ml")


class Paths:
    """The folders and files of one container.

    A folder that is missing below `root` is where the training toolkit's variable (`SM_*`) in `environment` points, so
    that script mode works too.
    """

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.environment = environment or {}
        self.config = root / "input" / "config"
        self.data = root / "input" / "data"
        self.model = self._or_variable(root / "model", "SM_MODEL_DIR")
        self.models = root / "models"
        """The models of a multi-model endpoint."""
        self.output_data = self._or_variable(root / "output" / "data", "SM_OUTPUT_DATA_DIR")
        self.failure = root / "output" / "failure"
        """The file that holds the reason of a failed training."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Paths":
        """The paths of a process: `SEGWRIGHT_ML_ROOT` replaces `/opt/ml`."""
        return cls(Path(environment.get(_ROOT_VARIABLE) or _ML), environment)

    def channel(self, name: str) -> Path:
        """The folder of a channel; in Pipe mode, the path of its FIFOs without `_0`."""
        return self._or_variable(self.data / name, f"SM_CHANNEL_{name.upper()}")

    @property
    def parent_model(self) -> Path:
        """Where the channel `model` is unpacked: in a writable folder that is not uploaded."""
        folders = (self.root, self.root / "output", Path(tempfile.gettempdir()))
        writable = next((folder for folder in folders if os.access(folder, os.W_OK)), folders[-1])
        return writable / "segwright" / "parent-model"

    def local(self, path: str) -> Path:
        """A path that the platform names below `/opt/ml`, below this root."""
        named = PurePosixPath(path)
        return self.root / named.relative_to(_ML) if named.is_relative_to(_ML) else Path(path)

    def _or_variable(self, path: Path, variable: str) -> Path:
        other = self.environment.get(variable)
        return Path(other) if other and not path.exists() else path
