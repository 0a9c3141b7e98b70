"""The channel `model`: a `model.tar.gz` of Segwright or of the original algorithm, which a job starts from.

Source: SageMaker's contract, section 1.5.
"""

import logging
import shutil
from pathlib import Path
from typing import Final

from segwright.bundle import DESCRIPTION
from segwright.errors import BundleError
from segwright.mxnet import import_model, is_mxnet_model, model_in
from segwright.sagemaker.paths import Paths
from segwright.storage import MAX_UNPACKED, describe_folder, list_folder, unpack_archive

logger = logging.getLogger(__name__)

_ARCHIVES: Final = (".tar.gz", ".tgz", ".tar")


def unpack_parent_model(paths: Paths) -> None:
    """Make a bundle of the model in the channel, at `paths.parent_model`.

    Raises BundleError for a channel that holds no model, UserError for an archive that cannot be unpacked safely.
    """
    bundle = paths.parent_model
    shutil.rmtree(bundle.parent, ignore_errors=True)
    bundle.parent.mkdir(parents=True)
    found = source = _find(paths.channel("model"))
    if found.is_file():
        unpacked = bundle.parent / "unpacked"
        unpacked.mkdir()
        unpack_archive(found, unpacked, limit=MAX_UNPACKED)
        found = _require_model(unpacked, found)
    if is_mxnet_model(found):
        logger.info(f"The channel model holds a model of the original algorithm: {source}")
        import_model(found, bundle)
    else:
        bundle.symlink_to(found.resolve())


def _find(folder: Path) -> Path:
    """The archive in the channel, or the folder in it that holds an unpacked model."""
    if not folder.is_dir():
        raise BundleError("The channel model is empty: give it the model.tar.gz of a finished training.")
    folders = [folder, *list_folder(folder)[1]]
    archives = [file for one in folders for file in list_folder(one)[0] if file.name.endswith(_ARCHIVES)]
    models = [file for file in archives if file.name == "model.tar.gz"]  # output.tar.gz may lie beside it
    if len(models) == 1:
        return models[0]
    if unpacked := model_in(folder):
        return unpacked
    if len(archives) > 1:
        names = ", ".join(file.name for file in archives)
        raise BundleError(f"The channel model holds several archives ({names}): name the S3 key of one.")
    return archives[0] if archives else _require_model(folder, folder)


def _require_model(folder: Path, source: Path) -> Path:
    """The folder at or below `folder` that holds a model, or BundleError."""
    found = model_in(folder)
    if found is None:
        raise BundleError(
            f"The channel model: {source} holds {describe_folder(folder)}, but no model of Segwright ({DESCRIPTION}) "
            "or of the original algorithm (model_best.params). Give it the model.tar.gz of a finished training."
        )
    return found
