"""Reads an MXNet model into a network and its description, or writes it as a bundle."""

import json
import logging
import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright import bundle as bundles
from segwright.bundle import BundleWriter, Description, State, host_copy
from segwright.errors import BundleError, HyperparameterError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap, numbered_names
from segwright.mxnet.artefact import ModelFiles, find_files, model_in
from segwright.mxnet.params_file import FILE_MAGIC, NamedArray, read_params
from segwright.mxnet.state_dict import infer_spec, to_state_dict, torch_names
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network
from segwright.storage import MAX_UNPACKED, unpack_archive

logger = logging.getLogger(__name__)


def read_mxnet_model(path: Path) -> tuple[Description, SegmentationNetwork]:
    """Read an MXNet model: a folder with its files, or a file of weights alone.

    The network is on the CPU, in evaluation mode, with the best weights in float32. The description has numbered class
    names and neither data nor scores, because the files hold none. Raises BundleError for files that are damaged, and
    for weights that are not GluonCV's FCN, PSPNet or DeepLabV3 on resnet-50 or resnet-101.
    """
    files = find_files(path)
    network = _read_network(files)
    return describe_model(files, network.spec), network


def size_in_memory(path: Path) -> int:
    """Bytes that the best weights take as float32; reads their shapes only. `path` and errors as `read_mxnet_model`."""
    files = find_files(path)
    return sum(4 * array.values.size for array in _map_arrays(files.best, files.name(files.best)))


def import_model(source: Path, bundle: Path, *, overwrite: bool = False) -> Description:
    """Write an MXNet model as a bundle, and return its description.

    `source` is the model.tar.gz that the training left, a folder that it was unpacked to, or a file of weights alone.
    Raises BundleError for a source that is none of these, UserError for an archive that is damaged or not to be
    trusted, and OutputExistsError for a bundle that exists and may not be overwritten.
    """
    writer = BundleWriter(bundle, overwrite)
    with _unpacked(source) as folder:
        files = find_files(folder, str(source))
        network = _read_network(files)
        description = describe_model(files, network.spec)
        best = host_copy(network)
        last = best if files.last == files.best else _read_last(files, network) or best
        spec = network.spec
        head = "with an auxiliary head" if spec.auxiliary else "without auxiliary head"
        logger.info(f"{files.source}: {spec.algorithm} on {spec.backbone}, {spec.num_classes} classes, {head}")
        settings = "no settings" if files.hyperparameters is None else f"settings {files.hyperparameters.name}"
        last_name = (files.best if last is best else files.last).name
        logger.info(f"best weights {files.best.name}, last weights {last_name}, {settings}")
        writer.save(description, last=last, best=best, records=[])
    return description


def describe_model(files: ModelFiles, spec: NetworkSpec) -> Description:
    """The bundle's description of the model; settings that contradict `spec` are warned of, and replaced."""
    settings, names, label_map = _read_hyperparameters(files, spec), numbered_names(spec.num_classes), LabelMap(scale=1)
    return bundles.describe(spec, settings, names, (label_map, label_map), started_from=files.source)


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """The folder or file of weights that a source is, or that it unpacks to."""
    if not source.exists():
        raise BundleError(f"{source} does not exist; it should be a model.tar.gz of SageMaker's algorithm.")
    if source.is_dir():
        yield model_in(source) or source
    elif _is_params(source):
        yield source
    else:
        with tempfile.TemporaryDirectory(prefix="segwright-") as folder:
            unpack_archive(source, Path(folder), limit=MAX_UNPACKED)
            yield model_in(Path(folder)) or Path(folder)


def _is_params(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(FILE_MAGIC)) == FILE_MAGIC


def _read_network(files: ModelFiles) -> SegmentationNetwork:
    name = files.name(files.best)
    arrays = _read_arrays(files.best, name)
    with _named_errors(name):
        network = build_network(infer_spec(arrays))
        network.load_state_dict(to_state_dict(arrays, network))
    return network.eval()


def _read_last(files: ModelFiles, network: SegmentationNetwork) -> State | None:
    """The weights after the last epoch, which only a further training might want; None where they are damaged."""
    name = files.name(files.last)
    try:
        arrays = _read_arrays(files.last, name)
        with _named_errors(name):
            return to_state_dict(arrays, network)
    except BundleError as error:
        logger.warning(f"{error} The best weights stand in for the last ones.")
        return None


def _read_arrays(file: Path, name: str) -> dict[str, NDArray[Any]]:
    """A file's arrays by our names of them."""
    arrays = _map_arrays(file, name)
    with _named_errors(name):
        names = torch_names([array.name for array in arrays])
    named = dict(zip(names, (array.values for array in arrays), strict=True))
    nonfinite = [each for each, values in named.items() if not np.isfinite(values).all()]
    if nonfinite:
        logger.warning(
            f"{name}: {len(nonfinite)} of {len(arrays)} arrays hold NaN or infinite numbers, {nonfinite[0]} for "
            "example: the training had failed, and masks will be wrong."
        )
    return named


def _map_arrays(file: Path, name: str) -> list[NamedArray]:
    try:
        with file.open("rb") as stream:
            # the arrays keep the map open for as long as they live
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise BundleError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return read_params(data, name)


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{name}: {error}", file=name) from error


def _read_hyperparameters(files: ModelFiles, spec: NetworkSpec) -> Hyperparameters:
    """The settings of the training, as far as they are known here, true to the network."""
    given = _read_strings(files)
    facts = {"algorithm": spec.algorithm, "backbone": spec.backbone, "num_classes": str(spec.num_classes)}
    for name, fact in facts.items():
        if given.get(name, fact) != fact:
            logger.warning(
                f"{files.source}: the settings have {name} {given[name]}, but the weights are of a network with "
                f"{fact}; the weights count."
            )
    facts |= {"aux_loss": str(spec.auxiliary), "recipe": "sagemaker"}
    try:
        return Hyperparameters.from_strings({**given, **facts})
    except HyperparameterError as error:
        logger.warning(f"{files.source}: the settings of the training are left out: {error}")
        return Hyperparameters.from_strings(facts)


def _read_strings(files: ModelFiles) -> dict[str, str]:
    """The hyperparameters in the settings file that Segwright has as well, without SageMaker's underscores."""
    if files.hyperparameters is None:
        return {}
    try:
        document = json.loads(files.hyperparameters.read_bytes())
        if not isinstance(document, dict):
            raise ValueError("it holds no settings by name")
    except (OSError, ValueError, RecursionError) as error:
        problem = getattr(error, "strerror", None) or error
        logger.warning(f"{files.name(files.hyperparameters)} is left out, because it cannot be read: {problem}")
        return {}
    strings = {key.removeprefix("_"): str(value).strip('" ') for key, value in document.items() if value is not None}
    return {key: text for key, text in strings.items() if key in Hyperparameters.model_fields}
