"""From a model of the original algorithm to a bundle, whatever the model is packed in.

Knows folders, archives and files of weights. Refuses to know what is in the files.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segwright.bundle import BundleWriter, Description, State, host_copy
from segwright.errors import BundleError
from segwright.mxnet.artefact import OriginalFiles, find_files, is_params, model_in
from segwright.mxnet.reading import describe, read_network, read_state
from segwright.networks import SegmentationNetwork
from segwright.storage import MAX_UNPACKED, unpack_archive

logger = logging.getLogger(__name__)


def import_model(source: Path, bundle: Path, *, overwrite: bool = False) -> Description:
    """Write a bundle with the weights of a model of the original algorithm, and return its description.

    `source` is the model.tar.gz that the training left, a folder that it was unpacked to, or a file of weights alone.
    Raises BundleError for a source that is none of these, UserError for an archive that is damaged or not to be
    trusted, and OutputExistsError for a bundle that exists and may not be overwritten.
    """
    writer = BundleWriter(bundle, overwrite)
    with _unpacked(source) as folder:
        files = find_files(folder, str(source))
        network = read_network(files)
        description = describe(files, network.spec)
        best = host_copy(network)
        last = _last(files, network)
        _tell(files, description, (files.last if last else files.best).name)
        writer.save(description, last=last or best, best=best, records=[])
    return description


def _last(files: OriginalFiles, network: SegmentationNetwork) -> State | None:
    """The last weights, which only a further training might want; None where there are none, or they are damaged."""
    if files.last == files.best:
        return None
    try:
        return read_state(files.last, files.name(files.last), network)
    except BundleError as error:
        logger.warning(f"{error} The best weights stand in for the last ones.")
        return None


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """The folder or file of weights that a source is, or that it unpacks to."""
    if not source.exists():
        raise BundleError(f"{source} does not exist; it should be a model.tar.gz of SageMaker's original algorithm.")
    if source.is_dir():
        yield model_in(source) or source
    elif is_params(source):
        yield source
    else:
        with _archive_unpacked(source) as folder:
            yield model_in(folder) or folder


@contextmanager
def _archive_unpacked(source: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="segwright-") as folder:
        unpack_archive(source, Path(folder), limit=MAX_UNPACKED)
        yield Path(folder)


def _tell(files: OriginalFiles, description: Description, last: str) -> None:
    network = description.network
    head = "with an auxiliary head" if network.auxiliary else "without auxiliary head"
    logger.info(f"{files.source}: {network.algorithm} on {network.backbone}, {network.num_classes} classes, {head}")
    settings = "no settings" if files.hyperparameters is None else f"settings {files.hyperparameters.name}"
    logger.info(f"best weights {files.best.name}, last weights {last}, {settings}")
