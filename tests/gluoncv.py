"""The recorded networks of a live GluonCV: their weights, which follow a rule, in networks of ours."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network, state_dict_from_gluoncv

FIXTURES = Path(__file__).parent / "data" / "gluoncv"


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


def recorded_network(algorithm: Algorithm) -> SegmentationNetwork:
    """A network of ours with the weights of a recorded one, in training mode."""
    case = recorded_case(algorithm)
    arrays = {name: rule_made(name, shape, case["salt"]) for name, shape in case["arrays"]}
    network = build_network(NetworkSpec(algorithm, "resnet-50", num_classes=5))
    network.load_state_dict(state_dict_from_gluoncv(arrays, network))
    return network
