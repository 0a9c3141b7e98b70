import json
import random
import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segwright.errors import BundleError
from segwright.mxnet.state_dict import infer_spec, to_state_dict, torch_name, torch_names
from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network
from tests.helpers.gluoncv import (
    FIXTURES,
    by_torch_name,
    exported,
    logits_for_recorded_pixels,
    prefixed,
    recorded_case,
    recorded_network,
    structural_names,
)

LEARNT_VALUES = {"fcn": 35_433_674, "psp": 49_069_258, "deeplab": 42_119_626}
Arrays = dict[str, NDArray[np.float32]]


@pytest.mark.parametrize("algorithm", ["fcn", "psp", "deeplab"])
def test_logits_equal_gluoncv(algorithm: Algorithm) -> None:
    case = recorded_case(algorithm)
    network = recorded_network(algorithm).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == LEARNT_VALUES[algorithm]
    with np.load(FIXTURES / f"{algorithm}_resnet50_c5.npz") as recorded:
        for height, width in case["sizes"]:
            for head, logits in zip(("main", "aux"), logits_for_recorded_pixels(network, height, width), strict=True):
                expected = recorded[f"{head}_{height}x{width}"]
                assert np.abs(logits - expected).max() / np.abs(expected).max() < 1e-4


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
        ("layer3.6.conv1.weight", (1,), "1 arrays do not belong .* backbone.features.layer3.6.conv1.weight"),
        ("head.aspp.project.0.weight", (1,), "1 arrays do not belong .* head.project.0.weight"),
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
        to_state_dict(by_torch_name(arrays), network)
    assert re.search(sentence, str(caught.value))


VALUES = {
    ("fcn", "resnet-50"): (289, 35_488_714, 35_501_034),
    ("psp", "resnet-50"): (309, 49_128_394, 49_140_714),
    ("deeplab", "resnet-50"): (319, 42_177_226, 42_185_450),
    ("fcn", "resnet-101"): (544, 54_533_066, 54_545_386),
    ("psp", "resnet-101"): (564, 68_172_746, 68_185_066),
    ("deeplab", "resnet-101"): (574, 61_221_578, 61_229_802),
}
"""Arrays, and their values with 5 classes and with 21, as GluonCV's networks have them."""


@pytest.mark.parametrize(("algorithm", "backbone"), VALUES)
def test_all_six_networks_have_gluoncvs_arrays(algorithm: Algorithm, backbone: str) -> None:
    count, *totals = VALUES[algorithm, backbone]
    names = structural_names(algorithm, backbone)
    assert len(names) == count
    for num_classes, total in zip((5, 21), totals, strict=True):
        with torch.device("meta"):
            network = build_network(NetworkSpec(algorithm, backbone, num_classes))
        state = {name: each for name, each in network.state_dict().items() if "num_batches" not in name}
        assert [torch_name(name) for name in names] == list(state)
        assert sum(each.numel() for each in state.values()) == total
        arrays = {name: np.broadcast_to(np.float32(0), values.shape) for name, values in state.items()}
        assert infer_spec(arrays) == NetworkSpec(algorithm, backbone, num_classes)
        alone = {name: array for name, array in arrays.items() if not name.startswith("auxiliary_head.")}
        assert infer_spec(alone) == NetworkSpec(algorithm, backbone, num_classes, auxiliary=False)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"head.block.4.weight": None}, "these are not the weights of GluonCV's FCN, .* no head.block.4.weight"),
        ({"head.block.4.weight": (5,)}, "these are not the weights"),
        ({"layer3.5.conv1.weight": None}, "5 blocks in layer3, .*: resnet-50 has 6 and resnet-101 has 23"),
        ({"head.block.4.weight": (255, 512, 1, 1)}, "has 255 classes; 2 to 254 can be read"),
        ({"head.block.4.weight": (0, 512, 1, 1)}, "has 0 classes"),
    ],
)
def test_networks_of_other_kinds_are_refused(
    arrays: Arrays, changes: dict[str, tuple[int, ...] | None], sentence: str
) -> None:
    for name, shape in changes.items():
        if shape is None:
            del arrays[name]
        else:
            arrays[name] = np.zeros(shape, np.float32)
    with pytest.raises(BundleError, match=sentence):
        infer_spec(by_torch_name(arrays))


def test_prefixed_names_are_the_recorded_ones() -> None:
    recorded = json.loads((FIXTURES / "fcn_resnet50_c5.prefixed_names.json").read_text())
    names = [name for name, _ in recorded_case("fcn")["arrays"]]
    assert [prefixed(name, "fcn") for name in names] == recorded
    assert torch_names(recorded) == torch_names(names)


@pytest.mark.parametrize("auxiliary", [True, False])
@pytest.mark.parametrize(("algorithm", "backbone"), VALUES)
def test_every_kind_of_names_leads_to_our_names(algorithm: Algorithm, backbone: str, auxiliary: bool) -> None:
    names = structural_names(algorithm, backbone, auxiliary)
    assert len(names) == VALUES[algorithm, backbone][0] - (0 if auxiliary else 7)
    assert torch_names([""] * len(names)) == torch_names(names) == [torch_name(name) for name in names]
    random.Random(len(names)).shuffle(names)
    ours = torch_names(names)
    for number in (0, 11):
        assert torch_names([prefixed(name, algorithm, number) for name in names]) == ours
        assert torch_names([exported(prefixed(name, algorithm, number)) for name in names]) == ours
    synchronised = [prefixed(name, algorithm).replace("_batchnorm", "_syncbatchnorm") for name in names]
    assert torch_names(synchronised) == ours
    without_root = [prefixed(name, algorithm).partition("_")[2] for name in names]  # MXNet's former `save_params`
    assert torch_names(without_root) == ours


def test_the_arrays_of_recorded_networks_are_made_in_this_order() -> None:
    algorithms: tuple[Algorithm, ...] = ("fcn", "psp", "deeplab")
    for algorithm in algorithms:
        assert [name for name, _ in recorded_case(algorithm)["arrays"]] == structural_names(algorithm, "resnet-50")


def test_names_of_an_unknown_making_count_by_their_order() -> None:
    names = structural_names("fcn", "resnet-50")
    foreign = [f"mine{number}_{name.rpartition('.')[2]}" for number, name in enumerate(names)]
    assert torch_names(foreign) == torch_names(names)
    with pytest.raises(BundleError, match=r"'mine2_beta' stands where 'backbone\.features\.conv1\.1\.weight'"):
        torch_names([foreign[0], foreign[2], foreign[1], *foreign[3:]])


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a.weight", "b.weight", "a.weight"], "more than one array called 'a.weight'"),
        (["arg:a_weight", "aux:a_weight"], "more than one array called 'a_weight'"),
        (["a_weight"], "1 arrays without structural names, .* have 282, 289, 302, .*, 574"),
        ([], "0 arrays without structural names"),
    ],
)
def test_names_that_lead_nowhere(names: list[str], sentence: str) -> None:
    with pytest.raises(BundleError, match=sentence):
        torch_names(names)
