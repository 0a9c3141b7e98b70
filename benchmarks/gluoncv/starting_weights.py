"""Starting weights of an FCN ResNet-50 for both frameworks, as .npz under GluonCV's structural names.

python benchmarks/gluoncv/starting_weights.py BACKBONE_WEIGHTS OUTPUT.npz

BACKBONE_WEIGHTS is timm's plain `resnet50` as .safetensors, whose stages GluonCV's ResNet-50 shares. Where an array of
the network has the name and the shape of one in that file, it takes its values. The others (the deep stem, the two
convolutions that the stem's 128 channels enter, both heads) are drawn, each from its name: heads uniform over +-0.07 as
in GluonCV, other convolutions normal with variance 2 / (inputs of an output), gamma and variance 1, the rest 0.
"""

import argparse
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from segwright.mxnet.state_dict import to_state_dict, torch_name
from segwright.networks import NetworkSpec, build_network

CLASSES = 11
Arrays = dict[str, NDArray[np.float32]]

# Ours -> GluonCV's.
_PREFIXES = {"backbone.features.": "", "auxiliary_head.": "auxlayer.", "head.": "head."}
_NORM = {"weight": "gamma", "bias": "beta"}


def main() -> None:
    """Write the weights, and make sure that our network takes them."""
    parser = argparse.ArgumentParser(description="Write the starting weights of both frameworks.")
    parser.add_argument("backbone_weights", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the drawn arrays (default 0)")
    arguments = parser.parse_args()
    network = build_network(NetworkSpec("fcn", "resnet-50", num_classes=CLASSES))
    given = {_gluoncv_of_timm(name): array for name, array in load_file(arguments.backbone_weights).items()}
    arrays: Arrays = {}
    drawn: list[str] = []
    for name, shape in _gluoncv_arrays({name: tuple(each.shape) for name, each in network.state_dict().items()}):
        if name in given and given[name].shape == shape:
            arrays[name] = given[name].astype(np.float32)
        else:
            arrays[name] = _drawn(name, shape, arguments.seed)
            drawn.append(name)
    network.load_state_dict(to_state_dict({torch_name(name): array for name, array in arrays.items()}, network))
    np.savez(arguments.output, **arrays)  # type: ignore[arg-type]
    print(
        f"{len(arrays) - len(drawn)} arrays from {arguments.backbone_weights.name}, {len(drawn)} drawn: {_short(drawn)}"
    )


def _gluoncv_arrays(ours: dict[str, tuple[int, ...]]) -> list[tuple[str, tuple[int, ...]]]:
    """GluonCV's names and the shapes of all arrays of our network."""
    return [(_gluoncv_name(name, ours), shape) for name, shape in ours.items() if not name.endswith("_tracked")]


def _gluoncv_name(name: str, ours: dict[str, tuple[int, ...]]) -> str:
    prefix = next(prefix for prefix in _PREFIXES if name.startswith(prefix))
    module, _, last = name.rpartition(".")
    is_norm = f"{module}.running_mean" in ours
    renamed = f"{module}.{_NORM.get(last, last)}" if is_norm else name
    return _PREFIXES[prefix] + renamed.removeprefix(prefix)


def _gluoncv_of_timm(name: str) -> str:
    """GluonCV's name of an array of timm's plain ResNet."""
    module, _, last = name.rpartition(".")
    is_norm = module.endswith(("bn1", "bn2", "bn3", "downsample.1"))
    return f"{module}.{_NORM.get(last, last)}" if is_norm else name


def _drawn(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    rng = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    if name.endswith(("gamma", "running_var")):
        return np.ones(shape, dtype=np.float32)
    if not name.endswith("weight"):
        return np.zeros(shape, dtype=np.float32)
    if name.startswith(("head.", "auxlayer.")):
        return rng.uniform(-0.07, 0.07, shape).astype(np.float32)
    return np.asarray(np.sqrt(2 / np.prod(shape[1:])) * rng.standard_normal(shape), dtype=np.float32)


def _short(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in names))


if __name__ == "__main__":
    main()
