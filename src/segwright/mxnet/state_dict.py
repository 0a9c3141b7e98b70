"""GluonCV's arrays as the state dict of a `SegmentationNetwork`.

Files name arrays in four ways::

    structural   layer1.0.conv1.weight                                 net.save_parameters
    prefixed     fcn0_resnetv1s_layers1_conv0_weight                   net.collect_params().save
    exported     arg:fcn0_resnetv1s_layers1_conv0_weight               net.export
    none         arrays in the order in which the network made them    mx.nd.save of a list

Structural names are translated. Of the others only the order in which GluonCV made the arrays counts: it is that of our
state dict. Source: GluonCV, gluoncv/model_zoo/{resnetv1b,fcn,pspnet,deeplabv3}.py.
"""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.errors import BundleError
from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network
from segwright.wording import listed

_CLASSIFIER: Final = "head.block.4.weight"
_CLASSES: Final = range(2, 255)  # 255 means ignore
_BACKBONES: Final[Mapping[int, str]] = {6: "resnet-50", 23: "resnet-101"}  # by the blocks in the third stage
_NETWORKS: Final[Mapping[int, tuple[Algorithm, str]]] = {
    289: ("fcn", "resnet-50"),
    309: ("psp", "resnet-50"),
    319: ("deeplab", "resnet-50"),
    544: ("fcn", "resnet-101"),
    564: ("psp", "resnet-101"),
    574: ("deeplab", "resnet-101"),
}
"""GluonCV's networks by how many arrays they have; without the 7 of the auxiliary head the counts differ as well."""
_AUXILIARY: Final = 7

_PREFIXES: Final = {
    **{f"{part}.": f"backbone.features.{part}." for part in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")},
    **{f"head.psp.conv{number + 1}.": f"head.pyramid.{number}." for number in range(4)},
    **{f"head.aspp.concurent.{number}.": f"head.branches.{number}." for number in range(4)},  # spelled so
    "head.aspp.concurent.4.gap.1.": "head.pooled.0.",
    "head.aspp.concurent.4.gap.2.": "head.pooled.1.",
    "head.aspp.project.": "head.project.",
    "head.block.": "head.block.",
    "auxlayer.block.": "auxiliary_head.block.",
}
_SUFFIXES: Final = {"gamma": "weight", "beta": "bias"}

_PARTS: Final = ("resnetv1", "pyramidpooling", "psphead", "deeplabhead", "fcnhead")  # in the order they are made
_ARRAYS: Final = ("weight", "bias", "gamma", "beta", "running_mean", "running_var")
_PREFIXED: Final = re.compile(
    rf"(?P<part>{'|'.join(_PARTS)})[a-z]?(?P<copy>\d*)_(?:(?P<block>layers|down|hybridsequential)(?P<turn>\d+)_)?"
    rf"(?P<kind>conv|[a-z]*batchnorm[a-z]*)(?P<number>\d+)_(?P<array>{'|'.join(_ARRAYS)})$"
)


def torch_names(names: Sequence[str]) -> list[str]:
    """The names in our state dict of the arrays of a whole network, in the file's order; "" is an array without a name.

    Raises BundleError where names are there twice, and for names or a number of arrays that are not of GluonCV's FCN,
    PSPNet or DeepLabV3 on resnet-50 or resnet-101.
    """
    plain = [re.sub("^(arg|aux):", "", name) for name in names]
    repeated = [name for name, count in Counter(plain).items() if name and count > 1]
    if repeated:
        raise BundleError(f"there is more than one array called {repeated[0]!r}.")
    return [torch_name(name) for name in plain] if any("." in name for name in plain) else _names_by_order(plain)


def torch_name(name: str) -> str:
    """Our name of the array with the structural name `name`. Raises BundleError where it has no such array."""
    for prefix, ours in _PREFIXES.items():
        if name.startswith(prefix):
            layer, _, array = (ours + name.removeprefix(prefix)).rpartition(".")
            return f"{layer}.{_SUFFIXES.get(array, array)}"
    raise BundleError(f"{name!r} is not the name of an array in GluonCV's FCN, PSPNet or DeepLabV3.")


def _names_by_order(names: Sequence[str]) -> list[str]:
    count = len(names)
    auxiliary = count in _NETWORKS
    if not auxiliary and count + _AUXILIARY not in _NETWORKS:
        counts = ", ".join(map(str, sorted([*_NETWORKS, *(known - _AUXILIARY for known in _NETWORKS)])))
        raise BundleError(
            f"there are {count} arrays without structural names, but GluonCV's FCN, PSPNet and DeepLabV3 on "
            f"resnet-50 and resnet-101 have {counts}."
        )
    algorithm, backbone = _NETWORKS[count if auxiliary else count + _AUXILIARY]
    # dictionaries of Pythons before 3.6 shuffled prefixed names; names of another making leave the file's order
    keys = [_made(name) for name in names]
    order = sorted(range(count), key=keys.__getitem__) if all(keys) else range(count)
    named = dict(zip(order, _names_as_made(algorithm, backbone, auxiliary), strict=True))
    for index, ours in named.items():
        ending = names[index].rpartition("_")[2]
        if names[index] and not ours.endswith(_SUFFIXES.get(ending, ending)):
            raise BundleError(f"the names give no order: {names[index]!r} stands where {ours!r} is expected.")
    return [named[index] for index in range(count)]


@functools.cache
def _names_as_made(algorithm: Algorithm, backbone: str, auxiliary: bool) -> tuple[str, ...]:
    with torch.device("meta"):
        return tuple(_learnt(build_network(NetworkSpec(algorithm, backbone, num_classes=2, auxiliary=auxiliary))))


def _made(name: str) -> tuple[int, ...]:
    """When GluonCV made the array of a prefixed name, as numbers to sort by; () for other names."""
    found = _PREFIXED.search(name)
    if found is None:
        return ()
    part, copy, block, turn, kind, number, array = found.groups()
    # the stem comes before the stages, a head's last layers after its sequences
    turn = turn or (0 if part == "resnetv1" else 1 << 30)
    # a stage's first block has three convolutions, and its shortcut comes before the second block
    shortcut = 1 if block == "down" else 2 if block == "layers" and int(number) >= 3 else 0
    turns = (int(copy or 0), int(turn), shortcut, int(number), int(kind != "conv"))
    return (_PARTS.index(part), *turns, _ARRAYS.index(array))


def infer_spec(arrays: Mapping[str, NDArray[Any]]) -> NetworkSpec:
    """The network that the arrays, by our names, belong to.

    Raises BundleError for arrays that are not of GluonCV's FCN, PSPNet or DeepLabV3 on resnet-50 or resnet-101.
    """
    if _CLASSIFIER not in arrays or arrays[_CLASSIFIER].ndim != 4:
        raise BundleError(
            f"these are not the weights of GluonCV's FCN, PSPNet or DeepLabV3: there is no {_CLASSIFIER} among them."
        )
    blocks = sum(re.fullmatch(r"backbone\.features\.layer3\.\d+\.conv1\.weight", name) is not None for name in arrays)
    if blocks not in _BACKBONES:
        known = " and ".join(f"{name} has {count}" for count, name in _BACKBONES.items())
        raise BundleError(f"the backbone has {blocks} blocks in layer3, so it is neither of those read: {known}.")
    classes = len(arrays[_CLASSIFIER])
    if classes not in _CLASSES:
        raise BundleError(f"the network has {classes:,} classes; {_CLASSES[0]} to {_CLASSES[-1]} can be read.")
    kinds: Mapping[str, Algorithm] = {"head.pyramid.0.0.weight": "psp", "head.project.0.weight": "deeplab"}
    algorithm: Algorithm = next((kinds[name] for name in kinds if name in arrays), "fcn")
    auxiliary = any(name.startswith("auxiliary_head.") for name in arrays)
    return NetworkSpec(algorithm, _BACKBONES[blocks], classes, auxiliary=auxiliary)


def to_state_dict(arrays: Mapping[str, NDArray[Any]], network: SegmentationNetwork) -> dict[str, Tensor]:
    """The state dict of `network`, which has to be GluonCV's, with the values of the arrays, by our names, in float32.

    Raises BundleError where an array is missing, left over or of another shape.
    """
    expected = _learnt(network)
    missing = [name for name in expected if name not in arrays]
    if missing:
        raise BundleError(f"{len(missing)} arrays of the network are missing, for example {listed(missing)}.")
    extra = [name for name in arrays if name not in expected]
    if extra:
        raise BundleError(f"{len(extra)} arrays do not belong to this network, for example {listed(extra)}.")
    for name, values in expected.items():
        if arrays[name].shape != tuple(values.shape):
            raise BundleError(
                f"the array {name!r} has shape {list(arrays[name].shape)}, but the network needs {list(values.shape)}."
            )
    return network.state_dict() | {name: torch.from_numpy(arrays[name].copy()).float() for name in expected}


def _learnt(network: SegmentationNetwork) -> dict[str, Tensor]:
    """The arrays that GluonCV has as well, in its order."""
    state: dict[str, Tensor] = network.state_dict()
    return {name: values for name, values in state.items() if not name.endswith("num_batches_tracked")}
