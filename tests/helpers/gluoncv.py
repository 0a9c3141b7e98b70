"""The recorded networks of a live GluonCV: their weights, which follow a rule, alone and in networks of ours."""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.mxnet.state_dict import to_state_dict, torch_name
from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network

FIXTURES = Path(__file__).parents[1] / "data" / "gluoncv"


def rule_made(name: str, shape: list[int], salt: str) -> NDArray[np.float32]:
    rng = np.random.RandomState(zlib.crc32((salt + name).encode()))
    count = int(np.prod(shape))
    if name.endswith("running_var"):
        values = 0.5 + rng.random_sample(count)
    elif name.endswith("bn3.gamma"):
        values = 0.1 + 0.2 * rng.random_sample(count)
    elif name.endswith("gamma"):
        values = 0.5 + rng.random_sample(count)
    elif name.endswith(("running_mean", "beta", "bias")):
        values = 0.1 * rng.standard_normal(count)
    else:
        values = np.sqrt(2 / np.prod(shape[1:])) * rng.standard_normal(count)
    return np.asarray(values, dtype=np.float32).reshape(shape)


def recorded_case(algorithm: Algorithm) -> dict[str, Any]:
    """What is written down about a recorded network: arrays, sizes, salt."""
    case: dict[str, Any] = json.loads((FIXTURES / f"{algorithm}_resnet50_c5.json").read_text())
    return case


def recorded_arrays(
    algorithm: Algorithm, known: Mapping[str, NDArray[np.float32]] = MappingProxyType({})
) -> dict[str, NDArray[np.float32]]:
    """The weights of a recorded network by structural name, in the order in which GluonCV makes them.

    Most are the same in all three networks: those that are in `known` need not be made again.
    """
    case = recorded_case(algorithm)
    return {
        name: known[name]
        if name in known and known[name].shape == tuple(shape)
        else rule_made(name, shape, case["salt"])
        for name, shape in case["arrays"]
    }


def recorded_network(algorithm: Algorithm) -> SegmentationNetwork:
    """A network of ours with the weights of a recorded one, in training mode."""
    arrays = recorded_arrays(algorithm)
    network = build_network(NetworkSpec(algorithm, "resnet-50", num_classes=5))
    network.load_state_dict(to_state_dict(by_torch_name(arrays), network))
    return network


@torch.no_grad()
def logits_for_recorded_pixels(network: SegmentationNetwork, height: int, width: int) -> Iterator[NDArray[np.float32]]:
    """Logits of each head for the pixels that the recorded networks were shown."""
    rng = np.random.RandomState(1000 * height + width)
    pixels = rng.standard_normal((1, 3, height, width)).astype(np.float32)
    with patch.object(network, "normalise", lambda images: images):
        for logits in network.forward_with_auxiliary(torch.from_numpy(pixels)):
            if logits is not None:
                yield logits.numpy()


def by_torch_name(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    return {torch_name(name): values for name, values in arrays.items()}


def structural_names(algorithm: Algorithm, backbone: str, auxiliary: bool = True) -> list[str]:
    """The structural names of a network's arrays in the order in which GluonCV makes them."""
    layers = [("conv1.0", "conv1.1"), ("conv1.3", "conv1.4"), ("conv1.6", "bn1")]
    for stage, blocks in enumerate((3, 4, {"resnet-50": 6, "resnet-101": 23}[backbone], 3), start=1):
        for block in (f"layer{stage}.{number}" for number in range(blocks)):
            layers += [(f"{block}.conv{number}", f"{block}.bn{number}") for number in (1, 2, 3)]
            if block.endswith(".0"):
                layers.append((f"{block}.downsample.0", f"{block}.downsample.1"))
    if algorithm == "psp":
        layers += [(f"head.psp.conv{number}.0", f"head.psp.conv{number}.1") for number in (1, 2, 3, 4)]
    if algorithm == "deeplab":
        aspp = "head.aspp.concurent"
        layers += [(f"{aspp}.{number}.0", f"{aspp}.{number}.1") for number in range(4)]
        layers += [(f"{aspp}.4.gap.1", f"{aspp}.4.gap.2"), ("head.aspp.project.0", "head.aspp.project.1")]
    return [*_arrays(layers), *_block("head.block"), *(_block("auxlayer.block") if auxiliary else ())]


def _arrays(layers: list[tuple[str, str]]) -> Iterator[str]:
    for convolution, norm in layers:
        yield f"{convolution}.weight"
        yield from (f"{norm}.{array}" for array in ("gamma", "beta", "running_mean", "running_var"))


def _block(prefix: str) -> Iterator[str]:
    yield from _arrays([(f"{prefix}.0", f"{prefix}.1")])
    yield from (f"{prefix}.4.weight", f"{prefix}.4.bias")


def prefixed(structural: str, algorithm: Algorithm, number: int = 0) -> str:
    """The name that `collect_params().save` gives an array of the network of this `number` in a process.

    Source: gluoncv/model_zoo/{resnetv1b,fcn,pspnet,deeplabv3}.py.
    """
    *path, layer, array = structural.split(".")
    place = ".".join(path)
    root = {"fcn": "fcn", "psp": "pspnet", "deeplab": "deeplabv3"}[algorithm] + f"{number}_"
    if found := re.fullmatch(r"layer(\d)\.(\d+)", place):
        kind, turn = ("conv" if layer.startswith("conv") else "batchnorm"), 3 * int(found[2]) + int(layer[-1]) - 1
        return f"{root}resnetv1s_layers{found[1]}_{kind}{turn}_{array}"
    return f"{root}{_scope(place, algorithm)}{_layer(place, layer)}_{array}"


def exported(name: str) -> str:
    """What `net.export` makes of a prefixed name."""
    return ("aux:" if "_running_" in name else "arg:") + name


def _layer(place: str, layer: str) -> str:
    """The name of a layer after its kind and its turn among them."""
    layers = {
        "conv1": {"0": "conv0", "1": "batchnorm0", "3": "conv1", "4": "batchnorm1", "6": "conv2"},
        "": {"bn1": "batchnorm2"},
        "head.aspp.concurent.4.gap": {"1": "conv0", "2": "batchnorm0"},
    }
    return layers.get(place, {"0": "conv0", "1": "batchnorm0", "4": "conv1"})[layer]


def _scope(place: str, algorithm: Algorithm) -> str:
    """The blocks round a layer."""
    if place in ("conv1", ""):
        return "resnetv1s_"
    if found := re.fullmatch(r"layer(\d)\.0\.downsample", place):
        return f"resnetv1s_down{found[1]}_"
    if found := re.fullmatch(r"head\.psp\.conv(\d)", place):
        return f"_pyramidpooling0_hybridsequential{int(found[1]) - 1}_"
    if found := re.fullmatch(r"head\.aspp\.concurent\.(\d)(\.gap)?", place):
        return f"_deeplabhead0_hybridsequential{found[1]}_"
    if place == "auxlayer.block":
        return f"_fcnhead{int(algorithm == 'fcn')}_hybridsequential0_"
    return {
        ("fcn", "head.block"): "_fcnhead0_hybridsequential0_",
        ("psp", "head.block"): "_psphead0_",
        ("deeplab", "head.block"): "_deeplabhead0_",
        ("deeplab", "head.aspp.project"): "_deeplabhead0_hybridsequential5_",
    }[algorithm, place]
