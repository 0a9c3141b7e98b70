from dataclasses import replace
from typing import get_args

import pytest
import torch

from segwright.algorithms import Algorithm, is_smp, usual_output_stride
from segwright.errors import HyperparameterError, UserError
from segwright.hyperparameters import Hyperparameters
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network, resize
from segwright.networks.smp_head import SMPHead, check_installed
from segwright.training.initialization import check_same_network, inherit_settings
from tests.test_networks import (
    BACKBONES,
    can_be_saved_and_rebuilt,
    images_of,
    is_deterministic_in_any_memory_format,
    learns_everywhere,
)

ALGORITHMS: tuple[Algorithm, ...] = tuple(name for name in get_args(Algorithm) if is_smp(name))
AT_STRIDE_1 = ("smp:unet", "smp:unetplusplus", "smp:manet", "smp:linknet")


def spec_of(algorithm: Algorithm, backbone: str = "test_efficientnet") -> NetworkSpec:
    return NetworkSpec(algorithm, backbone, num_classes=4, output_stride=usual_output_stride(algorithm))


# each decoder with two backbones, each backbone with several decoders
@pytest.mark.parametrize(
    ("algorithm", "backbone"),
    [(name, list(BACKBONES)[(row + turn) % 5]) for row, name in enumerate(ALGORITHMS) for turn in (0, 2)],
)
def test_every_decoder(algorithm: Algorithm, backbone: str) -> None:
    torch.manual_seed(1)
    network = build_network(spec_of(algorithm, backbone))
    is_deterministic_in_any_memory_format(network.eval())
    takes_any_size(network)
    learns_everywhere(network.train())
    learns_from_one_tiny_image(network)
    can_be_saved_and_rebuilt(network.eval())


@torch.no_grad()
def takes_any_size(network: SegmentationNetwork) -> None:
    stride = 1 if network.spec.algorithm in AT_STRIDE_1 else 4
    for height, width in [(1, 1), (31, 33), (32, 64), (65, 9)]:
        images = images_of(1, height, width)
        logits, auxiliary = network.forward_with_auxiliary(images)
        assert auxiliary is not None
        assert logits.shape == auxiliary.shape == (1, 4, height, width)
        assert logits.dtype == torch.float32 and logits.isfinite().all()
        coarse = network.coarse_logits(images)
        assert coarse.shape == (1, 4, -(-height // stride), -(-width // stride))
        torch.testing.assert_close(resize(coarse, (height, width)), logits)
        for last in ((..., slice(-1, None), slice(None)), (..., slice(-1, None))):  # nothing is cut off
            changed = images.clone()
            changed[last] ^= 128
            assert not torch.equal(network(changed), logits)


def learns_from_one_tiny_image(network: SegmentationNetwork) -> None:
    network.zero_grad()
    torch.autograd.backward(network.forward_with_auxiliary(images_of(1, 9, 17))[0].square().mean())
    assert all(each.grad.isfinite().all() for each in network.head.parameters() if each.grad is not None)


@pytest.mark.parametrize("algorithm", ["smp:unet", "smp:fpn"])
def test_the_last_layers_bias_and_rows_are_found(algorithm: Algorithm) -> None:
    network = build_network(spec_of(algorithm))
    state = network.state_dict()
    assert network.classifier_names()[0].startswith("head.")
    assert [state[name].shape[0] for name in network.classifier_names()] == [4] * 4
    network.set_classifier_bias(torch.tensor([0.0, 1.0, 2.0, 300.0]))
    assert (network.eval()(images_of(1, 20, 20)).argmax(1) == 3).all()


def test_the_network_is_the_one_of_the_package() -> None:
    """With the weights and feature maps of the package's own model, the head gives its logits."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    theirs = smp.UnetPlusPlus("tu-test_resnet", encoder_weights=None, classes=4).eval()
    channels = dict(zip((2, 4, 8, 16, 32), theirs.encoder.out_channels[1:], strict=True))
    ours = SMPHead("smp:unetplusplus", channels, bands=3, num_classes=4).eval()
    ours.decoder.load_state_dict(theirs.decoder.state_dict())
    ours.classifier.load_state_dict(theirs.segmentation_head.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = dict(zip((2, 4, 8, 16, 32), theirs.encoder(images)[1:], strict=True))
        torch.testing.assert_close(ours(maps, (64, 96)), theirs(images))


def test_output_stride_is_the_decoders_own_unless_it_is_given() -> None:
    strides = {name: Hyperparameters(algorithm=name).output_stride for name in ALGORITHMS}
    assert strides.pop("smp:deeplabv3plus") == 16
    assert set(strides.values()) == {32}
    assert Hyperparameters(algorithm="smp:unet", recipe="sagemaker").output_stride == 32
    given = Hyperparameters.from_strings({"algorithm": "smp:unet", "output_stride": "16"})
    assert given.output_stride == 16
    network = build_network(replace(spec_of("smp:unet", "test_resnet"), output_stride=16)).eval()
    assert network.spec.output_stride == 16
    assert network(images_of(1, 40, 70)).shape == (1, 4, 40, 70)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"algorithm": "smp:unet", "decoder_output_stride": "4"}, "smp:unet is a decoder itself"),
        ({"algorithm": "smp:pan"}, "smp:pan is not offered: it pools .* images below 256 pixels"),
        ({"algorithm": "smp:dpt"}, "smp:dpt is not offered: it needs the tokens"),
        ({"algorithm": "smp:unetplus"}, "Did you mean smp:unetplusplus"),
        ({"algorithm": "UnetPlusPlus"}, "Did you mean smp:unetplusplus"),
    ],
)
def test_what_is_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(HyperparameterError, match=sentence):
        Hyperparameters.from_strings(given)


def test_a_model_to_start_from_gives_its_decoder() -> None:
    parent = spec_of("smp:unet")
    inherited = inherit_settings(Hyperparameters(backbone="test_efficientnet"), parent)
    assert (inherited.algorithm, inherited.output_stride) == ("smp:unet", 32)
    check_same_network(inherited, parent)
    refined = Hyperparameters.from_strings({"backbone": "test_efficientnet", "decoder_output_stride": "4"})
    with pytest.raises(HyperparameterError, match="Leave decoder_output_stride out"):
        check_same_network(inherit_settings(refined, parent), parent)


def test_a_backbone_with_other_strides_is_refused() -> None:
    with pytest.raises(HyperparameterError, match="and this backbone has 14"):
        SMPHead("smp:unet", {14: 64}, bands=3, num_classes=2)


def test_the_package_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.networks.smp_head.find_spec", lambda name: None)
    check_installed("fcn")
    for build in (lambda: check_installed("smp:unet"), lambda: build_network(spec_of("smp:unet"))):
        with pytest.raises(UserError, match=r"smp:unet needs .* pip install 'segwright\[decoders\]'"):
            build()
