import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segwright.errors import BundleError
from segwright.networks import (
    Algorithm,
    NetworkSpec,
    SegmentationNetwork,
    build_network,
    state_dict_from_gluoncv,
)
from tests.gluoncv import FIXTURES, recorded_case, recorded_network

LEARNT_VALUES = {"fcn": 35_433_674, "psp": 49_069_258, "deeplab": 42_119_626}
Arrays = dict[str, NDArray[np.float32]]


@pytest.mark.parametrize("algorithm", ["fcn", "psp", "deeplab"])
def test_logits_equal_gluoncv(algorithm: Algorithm) -> None:
    case = recorded_case(algorithm)
    network = recorded_network(algorithm).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == LEARNT_VALUES[algorithm]
    with np.load(FIXTURES / f"{algorithm}_resnet50_c5.npz") as recorded:
        for height, width in case["sizes"]:
            for head, logits in zip(("main", "aux"), run(network, height, width), strict=True):
                expected = recorded[f"{head}_{height}x{width}"]
                assert np.abs(logits - expected).max() / np.abs(expected).max() < 1e-4


@torch.no_grad()
def run(network: SegmentationNetwork, height: int, width: int) -> Iterator[NDArray[np.float32]]:
    rng = np.random.RandomState(1000 * height + width)
    pixels = rng.standard_normal((1, 3, height, width)).astype(np.float32)
    for logits in network.logits_of_normalised(torch.from_numpy(pixels)):
        assert logits is not None
        yield logits.numpy()


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    return build_network(NetworkSpec("fcn", "resnet-50", num_classes=5))


@pytest.fixture
def arrays() -> Arrays:
    return {name: np.zeros(shape, dtype=np.float32) for name, shape in recorded_case("fcn")["arrays"]}


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("head.block.4.bias", None, "1 arrays of the network are missing, for example head.block.4.bias"),
        ("layer3.6.conv1.weight", (1,), "1 arrays have no place .* layer3.6.conv1.weight"),
        ("head.aspp.project.0.weight", (1,), "1 arrays have no place .* head.aspp.project.0.weight"),
        ("fc.weight", (1,), "'fc.weight' is not the name of an array in GluonCV's"),
        ("head.block.4.weight", (6, 512, 1, 1), "'head.block.4.weight' has shape .*6, .* needs .*5, "),
    ],
)
def test_every_array_has_its_place(
    network: SegmentationNetwork,
    arrays: Arrays,
    name: str,
    shape: tuple[int, ...] | None,
    sentence: str,
) -> None:
    if shape is None:
        del arrays[name]
    else:
        arrays[name] = np.zeros(shape, dtype=np.float32)
    with pytest.raises(BundleError) as caught:
        state_dict_from_gluoncv(arrays, network)
    assert re.search(sentence, str(caught.value))
