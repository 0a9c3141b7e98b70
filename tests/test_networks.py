import functools
import logging
import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from segwright.networks import Algorithm, NetworkSpec, SegmentationNetwork, build_network, resize
from segwright.networks.heads import FCNHead, classifier

ALGORITHMS: tuple[Algorithm, ...] = ("fcn", "psp", "deeplab")
# strides 8 and 32, batch and layer norms, padded and not, channels first, last and from a transformer
BACKBONES = {
    "test_resnet": 8,
    "test_efficientnet": 8,
    "test_convnext": 8,
    "test_mambaout": 32,
    "test_vit3": 16,
}


def images_of(batch: int, height: int, width: int, bands: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(0, 256, (batch, bands, height, width), dtype=torch.uint8, generator=generator)


DECODERS = (None, 4, 1)


build_once = functools.cache(build_network)


def tiny(algorithm: Algorithm = "fcn", backbone: str = "test_efficientnet") -> SegmentationNetwork:
    torch.manual_seed(1)
    return build_network(NetworkSpec(algorithm, backbone, num_classes=4))


# each algorithm with each backbone, and each of both with each decoder
@pytest.mark.parametrize(
    ("algorithm", "backbone", "decoder"),
    [
        (algorithm, backbone, DECODERS[(row + column) % 3])
        for row, algorithm in enumerate(ALGORITHMS)
        for column, backbone in enumerate(BACKBONES)
    ],
)
def test_every_network(algorithm: Algorithm, backbone: str, decoder: int | None) -> None:
    torch.manual_seed(1)
    network = build_once(NetworkSpec(algorithm, backbone, num_classes=4, decoder_output_stride=decoder))
    assert network.spec.output_stride == BACKBONES[backbone]
    is_deterministic_in_any_memory_format(network.eval())
    learns_everywhere(network.train())
    can_be_saved_and_rebuilt(network.eval())


# tiny, odd, and next to a multiple of a stride
LENGTHS = st.one_of(
    st.integers(1, 9),
    st.integers(1, 100),
    st.builds(lambda times, more: 8 * times + more, st.integers(1, 12), st.sampled_from([-1, 0, 1])),
)


@pytest.mark.parametrize("backbone", BACKBONES)
@settings(max_examples=12)
@given(
    algorithm=st.sampled_from(ALGORITHMS),
    height=LENGTHS,
    width=LENGTHS,
    stride=st.sampled_from([8, 16, 32]),
    decoder=st.sampled_from([None, None, 4, 2, 1]),
)
@example(algorithm="fcn", height=65, width=97, stride=8, decoder=None)
@example(algorithm="psp", height=1, width=1, stride=8, decoder=None)
@example(algorithm="psp", height=33, width=65, stride=32, decoder=2)
@example(algorithm="deeplab", height=1, width=1, stride=16, decoder=1)
@example(algorithm="deeplab", height=65, width=9, stride=8, decoder=None)
@torch.no_grad()
def test_every_network_takes_any_size(
    backbone: str, algorithm: Algorithm, height: int, width: int, stride: int, decoder: int | None
) -> None:
    spec = NetworkSpec(algorithm, backbone, num_classes=4, output_stride=stride, decoder_output_stride=decoder)
    network = build_once(spec).eval()
    images = images_of(2, height, width)
    logits, auxiliary = network.forward_with_auxiliary(images)
    assert auxiliary is not None
    assert logits.shape == auxiliary.shape == (2, 4, height, width)
    assert logits.dtype == auxiliary.dtype == torch.float32
    assert logits.isfinite().all() and auxiliary.isfinite().all()
    coarse = network.coarse_logits(images)
    stride = decoder or network.spec.output_stride
    assert coarse.shape == (2, 4, -(-height // stride), -(-width // stride))
    torch.testing.assert_close(resize(coarse, (height, width)), logits)
    torch.testing.assert_close(network(images[1:]), logits[1:], rtol=1e-4, atol=1e-4)
    for last in ((..., slice(-1, None), slice(None)), (..., slice(-1, None))):  # nothing is cut off
        changed = images.clone()
        changed[last] ^= 128
        assert not torch.equal(network(changed), logits)


@pytest.mark.parametrize("backbone", BACKBONES)
@settings(max_examples=8)
@given(algorithm=st.sampled_from(ALGORITHMS), batch=st.integers(1, 3), height=LENGTHS, width=LENGTHS)
@example(algorithm="psp", batch=1, height=1, width=1)
@example(algorithm="deeplab", batch=1, height=33, width=1)
def test_every_network_trains_at_any_size(
    backbone: str, algorithm: Algorithm, batch: int, height: int, width: int
) -> None:
    network = build_once(NetworkSpec(algorithm, backbone, num_classes=4)).train()
    network.zero_grad()
    main, auxiliary = network.forward_with_auxiliary(images_of(batch, height, width))
    assert auxiliary is not None
    torch.autograd.backward(main.square().mean() + auxiliary.square().mean())
    assert all(each.grad is not None and each.grad.isfinite().all() for each in network.parameters())


@torch.no_grad()
def is_deterministic_in_any_memory_format(network: SegmentationNetwork) -> None:
    images = images_of(2, 65, 48)
    logits = network(images)
    torch.testing.assert_close(network(images), logits, rtol=0, atol=0)
    torch.testing.assert_close(network.forward_with_auxiliary(images)[0], logits, rtol=0, atol=0)
    last = network(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, logits, rtol=1e-4, atol=1e-4)
    alone = torch.cat([network(image.unsqueeze(0)) for image in images])
    torch.testing.assert_close(alone, logits, rtol=1e-4, atol=1e-4)


def learns_everywhere(network: SegmentationNetwork) -> None:
    network.zero_grad()
    main, auxiliary = network.forward_with_auxiliary(images_of(2, 64, 80))
    assert auxiliary is not None
    torch.autograd.backward(main.square().mean() + auxiliary.square().mean())
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []
    split = [*network.backbone.parameters(), *network.head_parameters()]
    assert {id(each) for each in split} == {id(each) for each in network.parameters()}


@torch.no_grad()
def can_be_saved_and_rebuilt(network: SegmentationNetwork) -> None:
    again = build_network(network.spec).eval()
    again.load_state_dict(network.state_dict())
    assert again.spec == network.spec
    images = images_of(1, 40, 72)
    torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)


def test_a_decoder_merges_the_finer_stages_that_a_backbone_has() -> None:
    spec = NetworkSpec("deeplab", "", num_classes=4, decoder_output_stride=1)
    names = ("test_resnet", "test_mambaout", "test_vit3")
    networks = {name: build_network(replace(spec, backbone=name)) for name in names}
    skips = {name: list(network.decoder.reduce) for name, network in networks.items() if network.decoder is not None}
    assert skips == {"test_resnet": ["4", "2", "1"], "test_mambaout": ["16", "8", "4", "1"], "test_vit3": ["1"]}
    classifiers = networks["test_resnet"].classifier_names()
    assert classifiers[:2] == ["decoder.classifier.1.weight", "decoder.classifier.1.bias"]
    assert all(networks["test_resnet"].state_dict()[name].shape[0] == 4 for name in classifiers)


def test_a_network_with_a_decoder_has_the_arrays_of_one_without_but_for_its_classifier() -> None:
    spec = NetworkSpec("fcn", "test_efficientnet", num_classes=4)
    plain, refined = (set(build_once(replace(spec, decoder_output_stride=stride)).state_dict()) for stride in (None, 2))
    assert plain - refined == {"head.block.4.weight", "head.block.4.bias"}
    assert {name.partition(".")[0] for name in refined - plain} == {"backbone", "decoder"} or all(
        name.startswith("decoder.") for name in refined - plain
    )


def test_without_auxiliary_head() -> None:
    network = build_network(NetworkSpec("psp", "test_resnet", num_classes=2, auxiliary=False)).eval()
    assert network.forward_with_auxiliary(images_of(1, 32, 32))[1] is None
    assert not any("auxiliary" in name for name in network.state_dict())


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_output_stride_is_selectable(stride: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="segwright"):
        network = build_network(NetworkSpec("deeplab", "test_resnet", num_classes=2, output_stride=stride))
    assert network.spec.output_stride == stride
    assert network.eval().coarse_logits(images_of(1, 96, 64)).shape[-2:] == (96 // stride, 64 // stride)
    convolutions = [module for module in network.head.modules() if isinstance(module, nn.Conv2d)]
    rates = [convolution.dilation[0] for convolution in convolutions if convolution.dilation[0] > 1]
    assert rates == [rate * 8 // stride for rate in (12, 24, 36)]
    assert caplog.text == ""


@pytest.mark.parametrize(("bands", "bit_depth"), [(1, 8), (3, 16), (5, 12)])
def test_bands_and_bit_depth(bands: int, bit_depth: int) -> None:
    network = build_network(NetworkSpec("fcn", "test_resnet", num_classes=2, bands=bands, bit_depth=bit_depth)).eval()
    assert network.spec.mean == network.spec.std == (0.5,) * bands
    brightest = torch.full((1, bands, 20, 30), 2**bit_depth - 1).to(torch.uint16)
    torch.testing.assert_close(network.normalise(brightest), torch.ones(1, bands, 20, 30))
    torch.testing.assert_close(network.normalise(torch.zeros_like(brightest)), -torch.ones(1, bands, 20, 30))
    assert network(brightest).shape == (1, 2, 20, 30)


@pytest.mark.parametrize(("numbers", "bit_depth"), [("float", 32), ("int", 16), ("int", 8), ("uint", 32)])
def test_other_numbers_are_normalised_as_they_are(numbers: Literal["uint", "int", "float"], bit_depth: int) -> None:
    spec = NetworkSpec(
        "fcn",
        "test_efficientnet",
        2,
        bands=2,
        bit_depth=bit_depth,
        mean=(300.0, -1.0),
        std=(10.0, 2.0),
        numbers=numbers,
    )
    network = build_network(spec).eval()
    pixels = torch.tensor([[310.0, math.nan, math.inf, 290.0], [3.0, -1.0, -math.inf, math.nan]]).view(1, 2, 2, 2)
    normalised = network.normalise(pixels)
    assert normalised.flatten().tolist() == [1, 0, 0, -1, 2, 0, 0, 0]
    assert network(torch.full((1, 2, 40, 40), math.nan)).isfinite().all()
    with pytest.raises(TypeError, match=r"takes floating-point pixels, not torch\.uint8"):
        network(torch.zeros(1, 2, 40, 40, dtype=torch.uint8))


def test_normalisation_is_the_specs_or_the_backbones() -> None:
    spec = NetworkSpec("fcn", "resnet18", num_classes=2)
    assert build_network(spec).spec.mean == (0.485, 0.456, 0.406)
    own = build_network(replace(spec, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0)))
    expected = torch.tensor([(1 - 0.1) / 0.5, (1 - 0.2) / 0.25, (1 - 0.3) / 1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(own.normalise(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)), expected)
    with pytest.raises(ValueError, match="3 bands"):
        build_network(replace(spec, mean=(0.1,), std=(0.5,)))


def test_normalised_images_are_refused_where_pixels_are_wanted() -> None:
    with pytest.raises(TypeError, match="integer pixels, not"):
        tiny()(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(("algorithm", "name"), [("psp", "head.pyramid.0.1"), ("deeplab", "head.pooled.1")])
def test_one_image_trains(algorithm: Algorithm, name: str, caplog: pytest.LogCaptureFixture) -> None:
    network = tiny(algorithm)
    norm = network.get_submodule(name)
    fresh = norm.get_buffer("running_var").clone()
    with caplog.at_level(logging.INFO, logger="segwright"):
        torch.autograd.backward(network.forward_with_auxiliary(images_of(1, 64, 64))[0].sum())
        network.forward_with_auxiliary(images_of(1, 64, 64))
    assert caplog.text.count("it uses its running statistics") == 1
    assert norm.training
    assert torch.equal(norm.get_buffer("running_var"), fresh)
    network.forward_with_auxiliary(images_of(2, 64, 64))
    assert not torch.equal(norm.get_buffer("running_var"), fresh)


def test_training_starts_from_nearly_equal_probabilities() -> None:
    logits = tiny("deeplab", "test_resnet")(images_of(4, 64, 64))
    assert logits.softmax(dim=1).sub(0.25).abs().max() < 0.2


def test_autocast_gives_float32_logits() -> None:
    network = tiny("psp").eval()
    images = images_of(1, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, network(images).detach(), rtol=0.1, atol=0.1)


def test_synchronised_batch_norms_keep_names_and_activations() -> None:
    network = tiny()
    before = network.state_dict()
    network.synchronise_batch_norms()
    assert network.state_dict().keys() == before.keys()
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    assert torch.isfinite(network.eval()(images_of(1, 32, 32))).all()


def test_a_seed_gives_a_head_the_weights_that_it_gave_in_earlier_versions() -> None:
    torch.manual_seed(5)
    first_drawn = classifier(64, 4)
    torch.manual_seed(5)
    torch.testing.assert_close(FCNHead(256, 4).block[-1].weight, first_drawn.weight, rtol=0, atol=0)
