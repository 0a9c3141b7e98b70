"""From the files of a model of the original algorithm to a network of ours and its description.

Knows MXNet's files, GluonCV's names and SageMaker's settings. What the arrays say of the network counts, whatever the
settings say. Refuses to know archives and what is written.
"""

import json
import logging
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segwright.bundle import Description, describe_classes, versions
from segwright.errors import BundleError, HyperparameterError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap, numbered_names
from segwright.mxnet.array_names import structural_names
from segwright.mxnet.artefact import OriginalFiles, find_files
from segwright.mxnet.params_file import NamedArray, read_params
from segwright.mxnet.state_dict import describe_gluoncv, state_dict_from_gluoncv
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network
from segwright.palettes import default_palette

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]


def read_original(path: Path) -> tuple[Description, SegmentationNetwork]:
    """Read a model of the original algorithm: a folder with its files, or a file of weights alone.

    The network is on the CPU, in evaluation mode, with the best weights in float32. The description has numbered class
    names and neither data nor scores, because the files hold none. Raises BundleError for files that are damaged, and
    for weights that are not GluonCV's FCN, PSPNet or DeepLabV3 on resnet-50 or resnet-101.
    """
    files = find_files(path, str(path))
    network = read_network(files)
    return describe(files, network.spec), network


def read_network(files: OriginalFiles) -> SegmentationNetwork:
    """The network with the best weights, on the CPU, in evaluation mode. Raises BundleError as `read_original` does."""
    name = files.name(files.best)
    arrays = _read_arrays(files.best, name)
    try:
        network = build_network(describe_gluoncv(arrays))
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from error
    network.load_state_dict(_state(arrays, network, name))
    return network.eval()


def size_in_memory(path: Path) -> int:
    """Bytes that the best weights take as float32, whatever numbers the file has; reads no more than their shapes.

    `path` and errors as in `read_original`.
    """
    files = find_files(path, str(path))
    return sum(4 * array.values.size for array in _list_arrays(files.best, files.name(files.best)))


def read_state(file: Path, name: str, network: SegmentationNetwork) -> dict[str, Tensor]:
    """Another file's weights for the same network, float32. Raises BundleError where they do not fit."""
    return _state(_read_arrays(file, name), network, name)


def describe(files: OriginalFiles, spec: NetworkSpec) -> Description:
    """What a bundle says of the model; settings that contradict `spec` are named in warnings, and replaced."""
    label_map = LabelMap(scale=1).to_json()
    return Description(
        network=spec,
        classes=describe_classes(numbered_names(spec.num_classes), default_palette(spec.num_classes)),
        label_maps={"train": label_map, "validation": label_map},
        hyperparameters=_settings(files, spec).model_dump(mode="json"),
        data={},
        metrics={"best": None, "last": None},
        versions=versions(),
        started_from=files.source,
    )


def _read_arrays(file: Path, name: str) -> Arrays:
    listed = _list_arrays(file, name)
    try:
        names = structural_names([array.name for array in listed])
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from error
    return {structural: array.values for structural, array in zip(names, listed, strict=True)}


def _list_arrays(file: Path, name: str) -> list[NamedArray]:
    try:
        with file.open("rb") as stream:
            # the arrays keep the map open for as long as they live
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise BundleError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return read_params(data, name)


def _state(arrays: Arrays, network: SegmentationNetwork, name: str) -> dict[str, Tensor]:
    try:
        state = state_dict_from_gluoncv(arrays, network)
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from error
    spoilt = [each for each, values in arrays.items() if not np.isfinite(values).all()]
    if spoilt:
        logger.warning(
            f"{name}: {len(spoilt)} of {len(arrays)} arrays hold NaN or infinite numbers, {spoilt[0]} for example: the "
            "training had failed, and masks will be wrong."
        )
    return state


def _settings(files: OriginalFiles, spec: NetworkSpec) -> Hyperparameters:
    """The settings of the training, as far as they are known here, true to the network."""
    given = _read_strings(files)
    facts = {"algorithm": spec.algorithm, "backbone": spec.backbone, "num_classes": str(spec.num_classes)}
    for name, fact in facts.items():
        if given.get(name, fact) != fact:
            logger.warning(
                f"{files.source}: the settings say {name} {given[name]}, but the weights are of a network with {fact}; "
                "the weights count."
            )
    facts |= {"aux_loss": str(spec.auxiliary), "recipe": "sagemaker"}
    try:
        return Hyperparameters.from_strings({**given, **facts})
    except HyperparameterError as error:
        logger.warning(f"{files.source}: the settings of the training are left out: {error}")
        return Hyperparameters.from_strings(facts)


def _read_strings(files: OriginalFiles) -> dict[str, str]:
    """The hyperparameters in the file of settings that have a meaning here, without SageMaker's underscores."""
    if files.hyperparameters is None:
        return {}
    name = files.name(files.hyperparameters)
    try:
        document = json.loads(files.hyperparameters.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        logger.warning(f"{name} is left out, because it cannot be read: {getattr(error, 'strerror', None) or error}")
        return {}
    if not isinstance(document, dict):
        logger.warning(f"{name} is left out, because it holds no settings by name")
        return {}
    strings = {key.removeprefix("_"): str(value).strip('" ') for key, value in document.items() if value is not None}
    return {key: text for key, text in strings.items() if key in Hyperparameters.model_fields}
