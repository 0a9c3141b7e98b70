from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from segwright.checks.label_statistics import LabelStatistics
from segwright.hyperparameters import Hyperparameters
from segwright.networks.timm_import import timm
from segwright.recipes import CHOSEN_IN_BEST
from segwright.training.rules import Circumstances, apply_choices, choose_backbone, choose_settings

STREETS = LabelStatistics(
    images=200,
    long_side=480,
    short_side=360,
    shares=(0.6, 0.39, 0.01),
    widths=(120.0, 80.0, 20.0),
    has_up=True,
    up_reason="road has 97% of its pixels in the bottom half",
    has_left=False,
    left_reason="no class is always left or right",
    has_direction=True,
    direction_reason="pole has 77% of its borders running vertically",
    colour_accuracy=0.3,
)
CELLS = replace(
    STREETS,
    shares=(0.5, 0.3, 0.2),
    has_up=False,
    up_reason="no class prefers top or bottom",
    has_direction=False,
    direction_reason="no class has borders of one direction",
)


def chosen(labels: LabelStatistics, device: str = "cpu", images: int = 400, **given: Any) -> Hyperparameters:
    names = ["ground", "car", "pole"]
    return choose_settings(Hyperparameters(**given), Circumstances(device, images, names, labels), {})


def test_the_backbone_follows_the_device() -> None:
    def backbone(device: str, **given: Any) -> str:
        settings = Hyperparameters(**given)
        return apply_choices(settings, choose_backbone(settings, device), {}).backbone

    assert backbone("cpu") == "tf_efficientnet_lite0"
    assert backbone("cuda") == "resnet-50"
    assert backbone("cpu", backbone="resnet18") == "resnet18"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_file_of_weights_says_which_backbone_it_is(tmp_path: Path, device: str) -> None:
    arrays = timm.create_model("resnet50").state_dict()
    save_file(arrays, tmp_path / "weights.safetensors")
    settings = Hyperparameters(backbone_weights=tmp_path / "weights.safetensors")
    assert apply_choices(settings, choose_backbone(settings, device), {}).backbone == "resnet50"
    given = Hyperparameters(backbone="resnet18", backbone_weights=tmp_path / "weights.safetensors")
    assert apply_choices(given, choose_backbone(given, device), {}).backbone == "resnet18"


@pytest.mark.parametrize(("width", "stride"), [(6.5, 2), (11, 2), (13, 4), (100, 4)])
def test_the_thinnest_class_decides_on_the_decoder(width: float, stride: int) -> None:
    assert chosen(replace(STREETS, widths=(120.0, 80.0, width))).decoder_output_stride == stride


def test_the_finest_decoder_is_for_labels_that_are_mostly_thin() -> None:
    assert chosen(replace(STREETS, widths=(120.0, 5.0, 4.0))).decoder_output_stride == 1
    assert chosen(replace(STREETS, widths=(5.0, 80.0, 70.0))).decoder_output_stride == 4  # only the background is thin
    assert chosen(replace(STREETS, widths=(120.0, None, 4.0), shares=(0.9, 0.0, 0.1))).decoder_output_stride == 1
    assert chosen(replace(STREETS, widths=(120.0, None, None), shares=(1.0, 0.0, 0.0))).decoder_output_stride == 4


def test_on_a_cpu_features_are_coarser() -> None:
    assert (chosen(STREETS).output_stride, chosen(STREETS, "cuda").output_stride) == (32, 16)
    assert chosen(STREETS, output_stride=8).output_stride == 8
    assert chosen(STREETS, algorithm="smp:deeplabv3plus").output_stride == 16


def test_large_images_are_reduced_as_far_as_nothing_becomes_too_thin() -> None:
    large = replace(STREETS, long_side=4096, short_side=3000, widths=(900.0, 500.0, 100.0))
    assert chosen(large).image_scale == 0.25
    assert chosen(large, "cuda").image_scale == 0.5
    assert chosen(replace(large, widths=(900.0, 500.0, 16.0))).image_scale == 0.5
    assert chosen(replace(large, widths=(900.0, 500.0, 4.0))).image_scale == 1
    assert chosen(STREETS).image_scale == 1


def test_a_given_base_size_is_kept() -> None:
    settings = chosen(STREETS, base_size=240)
    assert settings.image_scale is None and settings.base_size == 240
    # at half the size, the pole is thinner
    assert settings.decoder_output_stride == 2


def test_a_crop_is_no_larger_than_images() -> None:
    assert chosen(STREETS).crop_size == 256
    assert chosen(STREETS, "cuda").crop_size == 480
    assert chosen(replace(STREETS, long_side=100, short_side=60)).crop_size == 128
    assert chosen(replace(STREETS, long_side=20, short_side=20)).crop_size == 32


def test_scales_follow_perspective_and_fill_the_crop() -> None:
    assert chosen(STREETS).scale_range == (0.71, 2.0)
    assert chosen(replace(STREETS, long_side=1024, short_side=768)).scale_range == (0.5, 2.0)
    assert chosen(CELLS).scale_range == (0.71, 1.4)
    assert chosen(replace(CELLS, long_side=320, short_side=256)).scale_range == (0.8, 1.4)
    assert chosen(CELLS, crop_size=64).scale_range == (0.7, 1.4)


def test_a_model_to_start_from_has_no_random_backbone() -> None:
    seen = Circumstances("cpu", 400, ["ground", "car", "pole"], STREETS, starts_from_model=True)
    assert choose_settings(Hyperparameters(use_pretrained_model=False), seen, {}).head_rate_factor == 10
    assert chosen(STREETS, use_pretrained_model=False).head_rate_factor == 1


def test_without_a_decoder_features_stay_finer() -> None:
    assert chosen(STREETS, decoder_output_stride=None).output_stride == 16


@pytest.mark.parametrize("loss", ["dice", "lovasz"])
def test_losses_of_regions_take_no_class_weights(loss: str) -> None:
    assert chosen(STREETS, loss=loss).class_weights == "none"


def test_masks_without_a_labelled_pixel_choose_nothing_by_class() -> None:
    nothing = replace(STREETS, widths=(None,) * 3, shares=(0.0,) * 3)
    assert chosen(nothing).class_weights == "none" and chosen(nothing).decoder_output_stride == 4


def test_only_what_the_documents_call_chosen_is_chosen() -> None:
    for labels in (STREETS, CELLS, replace(CELLS, has_left=True, colour_accuracy=0.99)):
        reasons: dict[str, str] = {}
        settings = Hyperparameters(use_pretrained_model=False)
        choose_settings(settings, Circumstances("cpu", 20, ["ground", "car", "pole"], labels), reasons)
        assert set(reasons) < set(CHOSEN_IN_BEST)


def test_turning_images_follows_what_labels_show() -> None:
    streets, cells = chosen(STREETS), chosen(CELLS)
    assert (streets.flips, streets.rotation) == ("horizontal", 0)
    assert (cells.flips, cells.rotation) == ("both", 180)
    assert chosen(replace(CELLS, has_direction=True)).rotation == 0
    lungs = chosen(replace(CELLS, has_left=True))
    assert (lungs.flips, lungs.rotation) == ("none", 0)


def test_colour_that_is_the_class_is_not_changed() -> None:
    assert chosen(STREETS).photometric > 0
    assert chosen(replace(STREETS, colour_accuracy=None)).photometric > 0
    assert chosen(replace(STREETS, colour_accuracy=0.97)).photometric == 0


def test_a_rare_class_gets_class_weights() -> None:
    assert chosen(STREETS).class_weights == "auto"
    assert chosen(CELLS).class_weights == "none"
    assert chosen(replace(CELLS, shares=(0.5, 0.5, 0.0))).class_weights == "none"


@pytest.mark.parametrize("device, updates", [("cpu", 3000), ("cuda", 10_000)])
@pytest.mark.parametrize("images", [1, 3, 20, 367, 2000])
def test_small_data_sets_get_thousands_of_updates_too(images: int, device: str, updates: int) -> None:
    settings = chosen(STREETS, device, images)
    an_epoch = -(-images * settings.repeats // settings.mini_batch_size)
    assert an_epoch >= 46
    assert updates <= settings.epochs * an_epoch < updates + an_epoch + 1


def test_large_data_sets_are_seen_ten_times() -> None:
    settings = chosen(STREETS, "cuda", 100_000)
    assert settings.repeats == 1 and settings.epochs == 10


def test_epochs_that_are_given_are_passes_over_the_images() -> None:
    assert chosen(STREETS, images=20, epochs=30).repeats == 1
    assert chosen(STREETS, images=20, repeats=8).epochs == 150


def test_choices_are_logged_with_their_reasons(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    chosen(CELLS, crop_size=64)
    assert "rotation 180: no class has borders of one direction" in caplog.text
    assert "scale_range 0.7 to 1.4: " in caplog.text
    assert "crop_size" not in caplog.text
