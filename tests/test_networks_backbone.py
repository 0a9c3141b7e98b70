import logging

import pytest
import torch

from segwright.errors import HyperparameterError
from segwright.networks.backbone import plan_backbone, timm_name


def test_sagemakers_names_are_gluoncvs_own_weights() -> None:
    assert timm_name("resnet-50") == "resnet50s.gluon_in1k"
    assert timm_name("resnet-101") == "resnet101s.gluon_in1k"
    assert timm_name("convnext_tiny") == "convnext_tiny"


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        ("resnet-51", "'resnet-51' is neither .* Did you mean .*resnet-50"),
        ("efficientnet_bo", "Did you mean efficientnet_b"),
        ("qqqqqqq", "neither 'resnet-50' nor 'resnet-101' nor the name of a timm model"),
        ("resnet50.a1_in2k", "no weights called 'a1_in2k'. Did you mean .*resnet50.a1_in1k"),
        ("hf-hub:someone/something", "neither"),
    ],
)
def test_names_that_do_not_exist(backbone: str, sentence: str) -> None:
    with pytest.raises(HyperparameterError, match=sentence):
        plan_backbone(backbone, 8, 3)


@pytest.mark.parametrize("backbone", ["resmlp_12_224", "levit_128s"])
def test_models_without_feature_maps_that_follow_the_image(backbone: str) -> None:
    with pytest.raises(HyperparameterError, match=f"'{backbone}' cannot be used, because timm gives no feature maps"):
        plan_backbone(backbone, 8, 3)


@pytest.mark.parametrize(
    ("backbone", "wanted", "achieved"),
    [("test_mambaout", 8, 32), ("test_vit3", 8, 16), ("test_vit3", 32, 16), ("hrnet_w18_small", 16, 32)],
)
def test_the_nearest_stride_is_taken_and_said(
    backbone: str, wanted: int, achieved: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="segwright"):
        _, built = plan_backbone(backbone, wanted, 3)
    assert built.strides[-1] == achieved
    assert f"{backbone} cannot give output stride {wanted}; its nearest, {achieved}, is used" in caplog.text


def test_padding_is_cut_off_again() -> None:
    _, backbone = plan_backbone("test_convnext", 8, 3)
    backbone.eval()
    small = torch.randn(1, 3, 40, 70)
    padded = torch.nn.functional.pad(small, (0, 96 - 70, 0, 64 - 40))
    for cut, whole in zip(backbone(small), backbone(padded), strict=True):
        torch.testing.assert_close(cut, whole[..., :5, :9])
