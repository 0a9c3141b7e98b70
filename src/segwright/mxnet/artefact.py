"""Which files a model of the original algorithm consists of, in a folder or one alone.

::

    model_best.params    the weights that did best in validation
    model_algo-1         those after the last epoch
    hyperparams.json     the settings, all values strings

Knows names, and how a file of weights begins. Refuses to know what is in the files.

Source: SageMaker's contract, section 7.1.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segwright.bundle import DESCRIPTION
from segwright.errors import BundleError
from segwright.mxnet.params_file import FILE_MAGIC
from segwright.storage import describe_folder, list_folder

logger = logging.getLogger(__name__)

BEST: Final = "model_best.params"
LAST: Final = "model_algo-1"
HYPERPARAMETERS: Final = "hyperparams.json"
_DEEPEST: Final = 3  # levels below a folder that a model is looked for in


@dataclass(frozen=True)
class OriginalFiles:
    """Where one model lies."""

    source: str
    """What the user named: a folder, an archive, or the file of weights itself."""
    best: Path
    last: Path
    """The same file as `best` where there is one file of weights only."""
    hyperparameters: Path | None

    def name(self, file: Path) -> str:
        """What messages call one of the files, wherever it was unpacked to."""
        return self.source if self.source == str(file) else f"{self.source}/{file.name}"


def is_mxnet_model(folder: Path) -> bool:
    """Whether a folder holds a model of the original algorithm: its weights, or a lone .params file, and no bundle."""
    return not (folder / DESCRIPTION).exists() and _weights(folder) is not None


def model_in(folder: Path) -> Path | None:
    """The folder itself, or the nearest below it, that holds a bundle or a model of the original algorithm.

    An archive made with `tar czf model.tar.gz model` has such a folder in it. A lone .params file counts only where
    there is nothing surer. Raises BundleError where several are equally near, since nothing says which one counts.
    """
    levels = [[folder]]
    while not (found := _only([one for one in levels[-1] if _holds_named_model(one)], folder)):
        inner = [inner for one in levels[-1] for inner in list_folder(one)[1]]
        if not inner or len(levels) > _DEEPEST:
            break
        levels.append(inner)
    return found or next(filter(None, (_only(list(filter(is_mxnet_model, level)), folder) for level in levels)), None)


def find_model(path: Path) -> Path:
    """Where the model is that a user means by `path`: there, or in the only folder below it with one, which is told."""
    found = (model_in(path) if path.is_dir() else None) or path
    if found != path:
        logger.info("%s: the model is in the folder %s", path, found.relative_to(path))
    return found


def _only(found: Sequence[Path], folder: Path) -> Path | None:
    if len(found) > 1:
        names = ", ".join(str(one.relative_to(folder)) for one in found)
        raise BundleError(f"{folder} holds several models ({names}): keep the one that counts.")
    return found[0] if found else None


def _holds_named_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (DESCRIPTION, BEST, LAST))


def is_params(path: Path) -> bool:
    """Whether a file begins as MXNet's files of arrays do. An OSError says why it cannot be read."""
    with path.open("rb") as stream:
        return stream.read(len(FILE_MAGIC)) == FILE_MAGIC


def find_files(path: Path, source: str) -> OriginalFiles:
    """The files of the model in a folder, or of a file of weights alone; `source` is what messages call it.

    Raises BundleError where there is none, and for a bundle of our own.
    """
    if not path.is_dir():
        return OriginalFiles(source, path, path, None)
    if (path / DESCRIPTION).exists():
        raise BundleError(
            f"{source} is a Segwright bundle already ({DESCRIPTION} is in it), not a model of SageMaker's original "
            "algorithm. Use it as it is, or unpack it first if it is an archive (tar xf): segwright predict FOLDER "
            "PICTURES --output MASKS."
        )
    weights = _weights(path)
    if weights is None:
        raise BundleError(
            f"{source} holds no model of SageMaker's original algorithm: neither {BEST} nor {LAST} nor a single "
            f".params file. What is there: {describe_folder(path)}."
        )
    settings = path / HYPERPARAMETERS
    return OriginalFiles(source, *weights, settings if settings.is_file() else None)


def _weights(folder: Path) -> tuple[Path, Path] | None:
    """The files of the best weights and of the last ones, or None where there are none, or none can be chosen."""
    best, last = folder / BEST, folder / LAST
    there = [file for file in (best, last) if file.is_file()]
    if not there:
        there = [file for file in folder.glob("*.params") if file.is_file() and not file.name.startswith(".")]
        if len(there) != 1:
            return None
    return there[0], there[-1]
