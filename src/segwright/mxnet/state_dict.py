"""GluonCV's weights in a network of ours: the names of arrays, one for one.

It takes arrays under GluonCV's structural names (`gluoncv_names` makes them of others), however they were read, and
knows nothing of MXNet's file formats. Source of the names: GluonCV,
gluoncv/model_zoo/{resnetv1b,fcn,pspnet,deeplabv3}.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.errors import BundleError
from segwright.mxnet.array_names import THIRD_STAGE
from segwright.networks.network import SegmentationNetwork
from segwright.networks.spec import Algorithm, NetworkSpec
from segwright.wording import listed

# GluonCV's prefix -> ours; the first that fits. "concurent" is spelled so in the files.
_PREFIXES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"head\.psp\.conv([1-4])\.", lambda found: f"head.pyramid.{int(found[1]) - 1}."),
    (r"head\.aspp\.concurent\.4\.gap\.([12])\.", lambda found: f"head.pooled.{int(found[1]) - 1}."),
    (r"head\.aspp\.concurent\.([0-3])\.", lambda found: f"head.branches.{found[1]}."),
    (r"head\.aspp\.project\.", lambda found: "head.project."),
    (r"head\.block\.", lambda found: "head.block."),
    (r"auxlayer\.block\.", lambda found: "auxiliary_head.block."),
    (r"(?=conv1\.|bn1\.|layer[1-4]\.)", lambda found: "backbone.features."),
)
_SUFFIXES = {"gamma": "weight", "beta": "bias"}
_CLASSIFIER = "head.block.4.weight"
_CLASSES = range(2, 255)  # 255 means ignore


def describe_gluoncv(arrays: Mapping[str, NDArray[Any]]) -> NetworkSpec:
    """The network of ours that GluonCV's ``arrays`` (structural name -> values) fit into.

    The head tells the algorithm, the third stage the backbone, the last layer's rows the number of classes. Raises
    BundleError for arrays that are not of GluonCV's FCN, PSPNet or DeepLabV3 on resnet-50 or resnet-101.
    """
    if _CLASSIFIER not in arrays or arrays[_CLASSIFIER].ndim != 4:
        raise BundleError(
            f"these are not the weights of GluonCV's FCN, PSPNet or DeepLabV3: there is no {_CLASSIFIER} among them."
        )
    blocks = sum(re.fullmatch(r"layer3\.\d+\.conv1\.weight", name) is not None for name in arrays)
    if blocks not in THIRD_STAGE:
        known = " and ".join(f"{name} has {count}" for count, name in THIRD_STAGE.items())
        raise BundleError(f"the backbone has {blocks} blocks in layer3, so it is neither of those read: {known}.")
    classes = len(arrays[_CLASSIFIER])
    if classes not in _CLASSES:
        raise BundleError(f"the network tells {classes:,} classes apart; {_CLASSES[0]} to {_CLASSES[-1]} can be read.")
    auxiliary = any(name.startswith("auxlayer.") for name in arrays)
    return NetworkSpec(_algorithm(arrays), THIRD_STAGE[blocks], classes, auxiliary=auxiliary)


def _algorithm(arrays: Mapping[str, NDArray[Any]]) -> Algorithm:
    if any(name.startswith("head.psp.") for name in arrays):
        return "psp"
    return "deeplab" if any(name.startswith("head.aspp.") for name in arrays) else "fcn"


def state_dict_from_gluoncv(arrays: Mapping[str, NDArray[Any]], network: SegmentationNetwork) -> dict[str, Tensor]:
    """The state dict for ``network`` that holds the values of GluonCV's ``arrays`` (structural name ->
    values).

    The network has to be GluonCV's: backbone ``resnet-50`` or ``resnet-101``, with an auxiliary head where
    the arrays have one. Raises BundleError when an array is missing, left over, unknown or of another shape.
    """
    renamed = {our_name(name): (name, array) for name, array in arrays.items()}
    expected = network.state_dict()
    counts = {name: array for name, array in expected.items() if name.endswith("num_batches_tracked")}
    _check(renamed, {name: array for name, array in expected.items() if name not in counts})
    state = {name: torch.from_numpy(array.copy()).to(expected[name].dtype) for name, (_, array) in renamed.items()}
    return state | counts


def our_name(name: str) -> str:
    """Our name of the array that GluonCV calls ``name``. Raises BundleError where it has no such array."""
    head, _, last = name.rpartition(".")
    head += "."
    for pattern, prefix in _PREFIXES:
        found = re.match(pattern, head)
        if found:
            return prefix(found) + head[found.end() :] + _SUFFIXES.get(last, last)
    raise BundleError(f"{name!r} is not the name of an array in GluonCV's FCN, PSPNet or DeepLabV3.")


def _check(renamed: Mapping[str, tuple[str, NDArray[Any]]], expected: Mapping[str, Tensor]) -> None:
    missing = [name for name in expected if name not in renamed]
    if missing:
        raise BundleError(f"{len(missing)} arrays of the network are missing, for example {listed(missing)}.")
    extra = [theirs for ours, (theirs, _) in renamed.items() if ours not in expected]
    if extra:
        raise BundleError(f"{len(extra)} arrays have no place in this network, for example {listed(extra)}.")
    for ours, (theirs, array) in renamed.items():
        if tuple(array.shape) != tuple(expected[ours].shape):
            raise BundleError(
                f"The array {theirs!r} has shape {list(array.shape)}, but the network needs "
                f"{list(expected[ours].shape)}."
            )
