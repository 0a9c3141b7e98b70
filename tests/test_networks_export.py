"""Exported graphs are right at other sizes. `python -m tests.test_networks_export` tries every network, for minutes."""

import itertools
import tempfile
import warnings
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.export import Dim

from segwright.algorithms import usual_output_stride
from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network
from segwright.networks.backbone import Backbone
from segwright.networks.timm_import import timm

TRACED = (2, 64, 96)
OTHER_SIZES = [(1, 65, 129), (3, 97, 40), (2, 120, 33)]


def images_of(batch: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)


def exported(network: SegmentationNetwork) -> torch.export.ExportedProgram:
    dynamic = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    return torch.export.export(network, (images_of(*TRACED),), dynamic_shapes=(dynamic,))


def onnx_session(program: torch.export.ExportedProgram, path: Path) -> onnxruntime.InferenceSession:
    with warnings.catch_warnings():
        # PyTorch's exporter copies trees by a name that PyTorch itself has deprecated
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
        converted = torch.onnx.export(program, dynamo=True, input_names=["images"], verbose=False, optimize=False)
    assert converted is not None
    converted.save(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warns of each constant that it cannot fold
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def agrees_everywhere(network: SegmentationNetwork, path: Path) -> None:
    program = exported(network)
    session = onnx_session(program, path)
    for size in [TRACED, *OTHER_SIZES]:
        images = images_of(*size)
        with torch.no_grad():
            expected = network(images)
            torch.testing.assert_close(program.module()(images), expected)
        (logits,) = session.run(None, {"images": images.numpy()})
        assert np.abs(logits - expected.numpy()).max() / expected.abs().max() < 1e-5


def test_exported_graphs_are_right_at_other_sizes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = NetworkSpec("deeplab", "test_efficientnet", 3, auxiliary=False, decoder_output_stride=1)
    agrees_everywhere(build_network(spec).eval(), tmp_path / "network.onnx")


def test_a_decoder_of_segmentation_models_pytorch_exports_too(tmp_path: Path) -> None:
    every_size_exports("smp:deeplabv3plus", "test_efficientnet", tmp_path / "network.onnx")


def every_size_exports(algorithm: Algorithm, backbone: str, path: Path) -> None:
    torch.manual_seed(0)
    spec = NetworkSpec(algorithm, backbone, 3, auxiliary=False, output_stride=usual_output_stride(algorithm))
    agrees_everywhere(build_network(spec).eval(), path)


def test_exported_graphs_take_floats_with_gaps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = NetworkSpec(
        "fcn",
        "test_efficientnet",
        3,
        auxiliary=False,
        bands=2,
        bit_depth=32,
        mean=(5.0, 0.0),
        std=(2.0, 1.0),
        numbers="float",
    )
    network = build_network(spec).eval()
    images = torch.randn(1, 2, 64, 96)
    images[0, 1, 3:9] = torch.nan
    session = onnx_session(torch.export.export(network, (torch.zeros(1, 2, 64, 96),)), tmp_path / "network.onnx")
    with torch.no_grad():
        expected = network(images)
    (logits,) = session.run(None, {"images": images.numpy()})
    assert expected.isfinite().all()
    assert np.abs(logits - expected.numpy()).max() / expected.abs().max() < 1e-5


class Patches(nn.Module):
    """As small as a feature extractor of timm can be: two stages that take multiples of 32 pixels only."""

    output_fmt = "NCHW"
    pretrained_cfg: ClassVar = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

    def __init__(self) -> None:
        super().__init__()
        self.feature_info = timm.models.FeatureInfo(
            [{"num_chs": 4, "reduction": 16, "module": "a"}, {"num_chs": 8, "reduction": 32, "module": "b"}],
            (0, 1),
        )
        self.a = nn.Conv2d(3, 4, 16, stride=16)
        self.b = nn.Conv2d(4, 8, 2, stride=2)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        first = self.a(pixels)
        return [first, self.b(first)]


@pytest.mark.parametrize("algorithm", ["fcn", "psp"])
def test_padding_for_backbones_that_want_multiples_exports_too(algorithm: Algorithm, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = Backbone(Patches(), multiple=32)
    assert backbone.fits_contract(bands=3)
    network = SegmentationNetwork(NetworkSpec(algorithm, "patches", num_classes=3, auxiliary=False), backbone).eval()
    agrees_everywhere(network, tmp_path / "network.onnx")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for pair in itertools.product(get_args(Algorithm), ("test_efficientnet", "test_convnext", "test_vit3")):
            every_size_exports(*pair, Path(folder) / "network.onnx")
            print("exported", *pair)
