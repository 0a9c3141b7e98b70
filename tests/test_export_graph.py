"""Exported graphs are right at other sizes. `python -m tests.test_export_graph` tries every network, for minutes."""

import itertools
import operator
import tempfile
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from segwright.algorithms import usual_output_stride
from segwright.errors import UserError
from segwright.export.graph import OUTPUTS, images_of, write_onnx
from segwright.export.openvino import write_openvino
from segwright.inference.runtimes.onnx import ONNXRuntime
from segwright.inference.runtimes.opening import ExportRuntime, open_export
from segwright.inference.runtimes.openvino import OpenVINORuntime
from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network
from segwright.networks.backbone import Backbone
from segwright.networks.timm_import import timm

SIZES = [(2, 64, 96), (1, 65, 129), (3, 97, 40), (2, 120, 33), (1, 5, 3), (1, 1, 1)]


class Patches(nn.Module):
    """As small as a feature extractor of timm can be: two stages that take multiples of 32 pixels only."""

    output_fmt = "NCHW"
    pretrained_cfg: ClassVar = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.feature_info = timm.models.FeatureInfo(
            [{"num_chs": 4, "reduction": 16, "module": "a"}, {"num_chs": 8, "reduction": 32, "module": "b"}],
            (0, 1),
        )
        self.a = nn.Conv2d(bands, 4, 16, stride=16)
        self.b = nn.Conv2d(4, 8, 2, stride=2)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        first = self.a(pixels)
        return [first, self.b(first)]


def patches(spec: NetworkSpec) -> SegmentationNetwork:
    torch.manual_seed(0)
    return SegmentationNetwork(spec, Backbone(Patches(spec.bands), multiple=32)).eval()


def built(spec: NetworkSpec) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(spec).eval()


def agrees(network: SegmentationNetwork, runtime: ExportRuntime, size: tuple[int, int, int]) -> None:
    images = images_of(network.spec, *size)
    with torch.no_grad():
        logits, resized = network.coarse_logits(images), network(images)
    mask, probabilities, found = runtime.run(images.numpy())
    assert mask.dtype == np.uint8 and mask.shape == (size[0], *size[1:])
    assert np.abs(found - logits.numpy()).max() / logits.abs().max() < 1e-5
    assert np.abs(probabilities - resized.softmax(1).numpy()).max() < 1e-5
    chosen = resized.gather(1, torch.from_numpy(mask).long()[:, None])
    assert (resized.amax(1, keepdim=True) - chosen).max() / resized.abs().max() < 1e-5  # ties go either way


def agrees_everywhere(network: SegmentationNetwork, folder: Path, *, openvino: bool = True) -> None:
    write_onnx(network, folder / "model.onnx")
    runtimes = [open_export(folder / "model.onnx", "onnx", "float32", outputs=OUTPUTS)]
    if openvino:
        write_openvino(folder / "model.onnx", folder / "model.xml")
        runtimes.append(open_export(folder / "model.xml", "openvino", "float32", outputs=OUTPUTS))
    for runtime, size in itertools.product(runtimes, SIZES):
        agrees(network, runtime, size)


class Stages(nn.Sequential):
    """An extractor with a convolution for each map, as decoders take them."""

    output_fmt, pretrained_cfg = Patches.output_fmt, Patches.pretrained_cfg

    def __init__(self, strides: tuple[int, ...]) -> None:
        super().__init__(*(nn.Conv2d(4 if index else 3, 4, 3, stride, 1) for index, stride in enumerate(strides)))
        reductions = itertools.accumulate(strides, operator.mul)
        self.feature_info = timm.models.FeatureInfo(
            [
                {"num_chs": 4, "reduction": reduction, "module": str(index)}
                for index, reduction in enumerate(reductions)
            ],
            tuple(range(len(strides))),
        )

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return list(itertools.accumulate(self, lambda maps, stage: stage(maps).relu(), initial=pixels))[1:]


@pytest.mark.parametrize(
    ("algorithm", "decoder", "strides"), [("deeplab", 1, (4, 4)), ("smp:segformer", None, (2, 2, 2, 2, 1))]
)
def test_decoders_export_too(
    algorithm: Algorithm, decoder: int | None, strides: tuple[int, ...], tmp_path: Path
) -> None:
    """The refining one, and one of segmentation_models_pytorch."""
    torch.manual_seed(0)
    spec = NetworkSpec(algorithm, "stages", 3, output_stride=16, auxiliary=False, decoder_output_stride=decoder)
    agrees_everywhere(SegmentationNetwork(spec, Backbone(Stages(strides), multiple=16)).eval(), tmp_path)
    assert str(Path(__file__).parent.parent).encode() not in (tmp_path / "model.onnx").read_bytes(), "where it was made"
    model = onnx.load(tmp_path / "model.onnx")
    assert [(entry.name, len(entry.type.tensor_type.shape.dim)) for entry in model.graph.input] == [("image", 4)]


def every_size_exports(algorithm: Algorithm, backbone: str, folder: Path, *, openvino: bool = True) -> None:
    spec = NetworkSpec(algorithm, backbone, 3, auxiliary=False, output_stride=usual_output_stride(algorithm))
    agrees_everywhere(built(spec), folder, openvino=openvino)


class PooledPatches(Patches):
    """With the pooling of timm's ResNet-D, of which OpenVINO makes nothing where there is one pixel."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(bands, 4, 16, stride=16, padding=8)
        self.b = nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), nn.Conv2d(4, 8, 1))  # type: ignore[assignment]


def test_pooling_that_rounds_up_exports_too_and_16_bits_of_any_bands(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = NetworkSpec("fcn", "patches", num_classes=3, auxiliary=False, bands=2, bit_depth=16)
    agrees_everywhere(SegmentationNetwork(spec, Backbone(PooledPatches(spec.bands), multiple=1)).eval(), tmp_path)


def test_exported_graphs_take_floats_with_gaps_at_any_size(tmp_path: Path) -> None:
    spec = NetworkSpec(
        "psp",
        "patches",
        num_classes=3,
        auxiliary=False,
        bands=2,
        bit_depth=32,
        mean=(5.0, 0.0),
        std=(2.0, 1.0),
        numbers="float",
    )
    network = patches(spec)
    images = images_of(spec, 1, 70, 96)
    images[0, 1, 3:9] = torch.nan
    agrees_everywhere(network, tmp_path)
    with torch.no_grad():
        expected = network.coarse_logits(images)
    assert expected.isfinite().all()
    for runtime in (ONNXRuntime, OpenVINORuntime):  # which reads ONNX files as well
        logits = runtime(tmp_path / "model.onnx", "float32").coarse_logits(images)
        assert (logits - expected).abs().max() / expected.abs().max() < 1e-5


def test_a_network_that_cannot_be_traced_is_one_error(tmp_path: Path) -> None:
    network = patches(NetworkSpec("fcn", "patches", num_classes=3, auxiliary=False))
    network.head.register_forward_hook(lambda _module, _inputs, output: output * float(output.detach().max()))
    with pytest.raises(UserError, match="fcn on patches cannot be exported"):
        write_onnx(network, tmp_path / "model.onnx")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for pair in itertools.product(get_args(Algorithm), ("test_efficientnet", "test_convnext", "test_vit3")):
            every_size_exports(*pair, Path(folder), openvino=pair[1] != "test_vit3")  # refused: it is not exact there
            print("exported", *pair)
