"""Where things lie in a container: the tree below `/opt/ml`.

`SEGWRIGHT_ML_ROOT` puts another root in its place, for tests. What the tree lacks is looked for where the variables of
SageMaker's training toolkit (`SM_*`) say, so that script mode works too. Refuses to know what the files hold.

Source: SageMaker's contract, section 6.1.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

ROOT_VARIABLE: Final = "SEGWRIGHT_ML_ROOT"
ML: Final = PurePosixPath("/opt/ml")


@dataclass(frozen=True)
class Paths:
    """The folders and files of one container."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Paths":
        """The tree that a container's environment names."""
        return cls(Path(environment.get(ROOT_VARIABLE) or ML), environment)

    def configuration(self, name: str) -> Path:
        """One of the JSON files that the platform writes, by its name without ending."""
        return self.root / "input" / "config" / f"{name}.json"

    @property
    def data(self) -> Path:
        """The folder of all channels."""
        return self.root / "input" / "data"

    def channel(self, name: str) -> Path:
        """The folder of a channel; in Pipe mode, its FIFOs without their `_0`."""
        return self._or_variable(self.data / name, f"SM_CHANNEL_{name.upper()}")

    @property
    def model(self) -> Path:
        """What a training leaves and hosting finds."""
        return self._or_variable(self.root / "model", "SM_MODEL_DIR")

    @property
    def models(self) -> Path:
        """Below it lie the models of a multi-model endpoint."""
        return self.root / "models"

    @property
    def output_data(self) -> Path:
        """What a training leaves beside the model."""
        return self._or_variable(self.root / "output" / "data", "SM_OUTPUT_DATA_DIR")

    @property
    def failure(self) -> Path:
        """Why a training failed."""
        return self.root / "output" / "failure"

    @property
    def earlier_model(self) -> Path:
        """Where the model that a training starts from is unpacked; the same place after a restart."""
        return self._scratch / "segwright" / "earlier-model"

    @property
    def _scratch(self) -> Path:
        """A folder to write to that nobody uploads: the root, unless it is read-only."""
        places = (self.root, self.root / "output", Path(tempfile.gettempdir()))
        return next((place for place in places if os.access(place, os.W_OK)), places[-1])

    def local(self, path: str) -> Path:
        """A path that the platform names below `/opt/ml`, below this root."""
        named = PurePosixPath(path)
        return self.root / named.relative_to(ML) if named.is_relative_to(ML) else Path(path)

    def _or_variable(self, path: Path, variable: str) -> Path:
        """`path`, unless there is nothing and the training toolkit names another place."""
        other = self.environment.get(variable)
        return Path(other) if other and not path.exists() else path
