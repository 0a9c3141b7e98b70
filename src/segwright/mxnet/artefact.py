"""The files of a model that SageMaker's algorithm left, in a folder or one alone.

::

    model_best.params    the weights that did best in validation
    model_algo-1         those after the last epoch
    hyperparams.json     the settings, all values strings

Source: SageMaker's contract, section 7.1.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segwright.bundle import DESCRIPTION
from segwright.errors import BundleError
from segwright.storage import describe_folder, list_folder

logger = logging.getLogger(__name__)

BEST: Final = "model_best.params"
LAST: Final = "model_algo-1"
HYPERPARAMETERS: Final = "hyperparams.json"
_DEEPEST: Final = 3  # levels below a folder that are searched for a model


@dataclass(frozen=True)
class ModelFiles:
    """The paths of one model's files; `source` is the folder, archive or file of weights that the user named."""

    source: str
    best: Path
    last: Path
    """The same file as `best` where there is one file of weights only."""
    hyperparameters: Path | None

    def name(self, file: Path) -> str:
        """What messages call one of the files, wherever it was unpacked to."""
        return self.source if self.source == str(file) else f"{self.source}/{file.name}"


def is_mxnet_model(folder: Path) -> bool:
    """Whether a folder holds an MXNet model: weights under SageMaker's names, or one .params file, and no bundle."""
    return not (folder / DESCRIPTION).exists() and _weights(folder) is not None


def model_in(folder: Path) -> Path | None:
    """The folder itself, or the nearest below it, that holds a bundle or an MXNet model.

    An archive made with `tar czf model.tar.gz model` has such a folder in it. A lone .params file counts only where
    nothing else does. Raises BundleError where several are equally near.
    """
    for holds_model in (_holds_named_model, is_mxnet_model):
        for level in _levels(folder):
            found = [one for one in level if holds_model(one)]
            if len(found) > 1:
                names = ", ".join(str(one.relative_to(folder)) for one in found)
                raise BundleError(f"{folder} holds several models ({names}): keep the one that counts.")
            if found:
                return found[0]
    return None


def find_model(path: Path) -> Path:
    """The path itself, or the only folder below it with a model, which is logged."""
    found = (model_in(path) if path.is_dir() else None) or path
    if found != path:
        logger.info("%s: the model is in the folder %s", path, found.relative_to(path))
    return found


def find_files(path: Path, source: str = "") -> ModelFiles:
    """The files of the MXNet model in a folder, or of a file of weights alone; `source` is what messages call it.

    Raises BundleError where there is none, and for a Segwright bundle.
    """
    source = source or str(path)
    if not path.is_dir():
        return ModelFiles(source, path, path, None)
    if (path / DESCRIPTION).exists():
        raise BundleError(
            f"{source} is a Segwright bundle already ({DESCRIPTION} is in it), not a model of SageMaker's algorithm. "
            "All commands take it as it is; unpack it first if it is an archive (tar xf)."
        )
    weights = _weights(path)
    if weights is None:
        raise BundleError(
            f"{source} holds no model of SageMaker's algorithm: neither {BEST} nor {LAST} nor a single .params file. "
            f"It holds: {describe_folder(path)}."
        )
    settings = path / HYPERPARAMETERS
    return ModelFiles(source, *weights, settings if settings.is_file() else None)


def _levels(folder: Path) -> Iterator[list[Path]]:
    """The folder, then the folders in it, then those in them."""
    level = [folder]
    for _ in range(_DEEPEST):
        yield level
        level = [inner for one in level for inner in list_folder(one)[1]]
    yield level


def _holds_named_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (DESCRIPTION, BEST, LAST))


def _weights(folder: Path) -> tuple[Path, Path] | None:
    """The files of the best weights and of the last ones, or None where there are none, or none can be chosen."""
    found = [folder / name for name in (BEST, LAST) if (folder / name).is_file()]
    if not found:
        found = [file for file in folder.glob("*.params") if file.is_file() and not file.name.startswith(".")]
        if len(found) != 1:
            return None
    return found[0], found[-1]
