from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segwright.networks import NetworkSpec, build_network
from segwright.networks.depthwise import DepthwiseConv2d, StridedDepthwiseConv2d, with_fast_depthwise
from segwright.networks.timm_import import timm


def pair(kernel: int, dilation: int, *, bias: bool = False) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(kernel + dilation)
    padding = dilation * (kernel // 2)
    plain = nn.Sequential(nn.Conv2d(6, 6, kernel, padding=padding, dilation=dilation, groups=6, bias=bias))
    fast = with_fast_depthwise(deepcopy(plain))
    assert isinstance(fast[0], DepthwiseConv2d)  # type: ignore[index]
    return plain, fast


def outcome(module: nn.Module, maps: Tensor) -> tuple[Tensor, ...]:
    """Output, the gradient of the input, and those of the parameters."""
    maps = maps.clone().requires_grad_()
    output = module(maps)
    (output.float() ** 2).sum().backward()
    return output, maps.grad, *(parameter.grad for parameter in module.parameters())


@pytest.mark.parametrize("size", [(12, 16), (13, 9), (1, 3)])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 2), (5, 2), (5, 4), (7, 3)])
def test_values_and_gradients_are_those_of_a_plain_convolution(
    kernel: int, dilation: int, size: tuple[int, int]
) -> None:
    plain, fast = pair(kernel, dilation, bias=True)
    maps = torch.randn(2, 6, *size).contiguous(memory_format=torch.channels_last)
    for expected, got in zip(outcome(plain, maps), outcome(fast, maps), strict=True):
        assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(12, 16), (13, 9), (1, 3)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_strided_ones_have_the_values_and_gradients_of_plain_ones(
    kernel: int, size: tuple[int, int], precision: torch.dtype
) -> None:
    torch.manual_seed(kernel)
    layers: Any = timm.layers
    plain = nn.Sequential(layers.create_conv2d(6, 6, kernel, stride=2, padding="same", groups=6, bias=True))
    fast = with_fast_depthwise(deepcopy(plain))
    assert isinstance(fast[0], StridedDepthwiseConv2d)  # type: ignore[index]
    maps = torch.randn(2, 6, *size).contiguous(memory_format=torch.channels_last)
    expected = outcome(plain, maps)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        got = outcome(fast, maps)
    close = 1e-4 if precision == torch.float32 else 0.02
    for one, other in zip(expected, got, strict=True):
        assert one.shape == other.shape and (one - other).norm() <= close * one.norm() + 1e-4


def test_bfloat16_keeps_its_type_and_the_weights_their_own() -> None:
    plain, fast = pair(5, 2)
    maps = torch.randn(2, 6, 12, 16)
    with torch.autocast("cpu", torch.bfloat16):
        output, of_maps, of_weight = outcome(fast, maps)
    assert output.dtype == torch.bfloat16
    assert of_maps.dtype == of_weight.dtype == torch.float32
    for expected, got in zip(outcome(plain, maps), (output, of_maps, of_weight), strict=True):
        assert (got - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_evaluation_gives_the_same_bits(dilation: int) -> None:
    plain, fast = pair(5, dilation)
    maps = torch.randn(1, 6, 11, 8).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(plain.eval()(maps), fast.eval()(maps))


def test_exported_graphs_hold_plain_convolutions() -> None:
    _, fast = pair(5, 2)
    graph = torch.export.export(fast.eval(), (torch.randn(1, 6, 12, 16),)).graph
    assert [node.target.__name__ for node in graph.nodes if callable(node.target)] == ["conv2d.default"]


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Conv2d(6, 6, 3, padding=1, stride=2, groups=6),
        nn.Conv2d(6, 12, 3, padding=1, groups=6),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(6, 6, 3, padding="same", groups=6),
        nn.Conv2d(6, 6, 3, padding=1, groups=6, padding_mode="reflect"),
    ],
)
def test_other_convolutions_stay_what_they_are(other: nn.Conv2d) -> None:
    assert with_fast_depthwise(nn.Sequential(other))[0] is other  # type: ignore[index]


def test_a_backbone_has_them_under_its_own_names() -> None:
    network = build_network(NetworkSpec("fcn", "tf_efficientnet_lite0", num_classes=2, output_stride=16))
    fast = [name for name, module in network.named_modules() if isinstance(module, DepthwiseConv2d)]
    assert "backbone.features.blocks.4.0.conv_dw" in fast
    assert f"{fast[0]}.weight" in network.state_dict()
