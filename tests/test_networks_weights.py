import logging
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from segwright.errors import UserError
from segwright.networks import NetworkSpec, SegmentationNetwork, build_network, timm_name
from segwright.networks.timm_import import timm
from segwright.networks.weights import LIKELY_BACKBONES, fitting_backbone

Arrays = dict[str, Tensor]


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.networks.weights.LIKELY_BACKBONES", ("resnet18", "tf_efficientnet_lite0"))


@pytest.fixture(params=["test_efficientnet", "test_convnext", "test_vit3"])
def backbone(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def published(backbone: str) -> Arrays:
    torch.manual_seed(3)
    state: Arrays = timm.create_model(backbone).state_dict()
    return {name: torch.rand_like(each) if each.is_floating_point() else each for name, each in state.items()}


def build(backbone: str, pretrained: bool | Path, bands: int = 3) -> SegmentationNetwork:
    return build_network(NetworkSpec("fcn", backbone, num_classes=2, bands=bands), pretrained=pretrained)


def holds(network: SegmentationNetwork, arrays: Arrays) -> bool:
    values = [array.float() for array in arrays.values()]
    return all(
        any(one.shape == parameter.shape and torch.equal(one, parameter) for one in values)
        for parameter in network.backbone.parameters()
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
def test_files_with_the_backbones_arrays(suffix: str, tmp_path: Path) -> None:
    arrays = published("test_efficientnet")
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(arrays, path)
    else:
        torch.save({"epoch": 3, "state_dict": arrays} if suffix == ".pt" else arrays, path)
    assert holds(build("test_efficientnet", path), arrays)


def test_half_precision_without_classifier(backbone: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrays = {
        name: array.half() if array.ndim > 1 else array
        for name, array in published(backbone).items()
        if not re.match(r"classifier\.|head\.fc\.|head\.(weight|bias)", name) and "num_batches" not in name
    }
    save_file(arrays, tmp_path / "half.safetensors")
    with caplog.at_level(logging.WARNING):
        network = build(backbone, tmp_path / "half.safetensors")
    assert holds(network, arrays)
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert caplog.text == ""


def test_other_bands_adapt_the_first_convolution(tmp_path: Path) -> None:
    arrays = published("test_efficientnet")
    save_file(arrays, tmp_path / "rgb.safetensors")
    network = build("test_efficientnet", tmp_path / "rgb.safetensors", bands=1)
    first = next(network.backbone.parameters())
    torch.testing.assert_close(first.detach(), arrays["conv_stem.weight"].sum(dim=1, keepdim=True))


def test_arrays_missing_and_of_other_shapes(tmp_path: Path) -> None:
    arrays = published("test_efficientnet")
    del arrays["conv_stem.weight"], arrays["bn1.bias"]
    save_file(arrays, tmp_path / "some.safetensors")
    with pytest.raises(UserError, match=r"some.safetensors: 2 of the \d+ arrays .* conv_stem.weight, bn1.bias"):
        build("test_efficientnet", tmp_path / "some.safetensors")
    arrays = published("test_efficientnet") | {"conv_stem.weight": torch.zeros(7, 3, 3, 3)}
    save_file(arrays, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"1 arrays have other shapes .* conv_stem.weight \(\[7, 3, 3, 3\] instead"):
        build("test_efficientnet", tmp_path / "other.safetensors")


class Spy:
    ran = False

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return run_spy, ("ran",)


def run_spy(name: str) -> None:
    setattr(Spy, name, True)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1), "spy": Spy()}, tmp_path / "spy.pth")
    with pytest.raises(UserError, match="It is not opened"):
        build("test_efficientnet", tmp_path / "spy.pth")
    assert not Spy.ran


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("broken.safetensors", b"not safetensors", "not a readable safetensors file"),
        ("broken.pth", b"not a pickle at all", "is damaged or holds more than arrays"),
        ("empty.pth", b"", "not a readable PyTorch file"),
        ("weights.npz", b"PK", "are read from .safetensors, .pth, .pt and .bin files only"),
        ("absent.pth", None, "there is no such file"),
    ],
)
def test_files_that_are_no_weights(name: str, content: bytes | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: .*{sentence}"):
        build("test_efficientnet", tmp_path / name)


def test_content_other_than_named_arrays(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="does not hold named arrays"):
        build("test_efficientnet", tmp_path / "list.pth")


def test_backbone_without_published_weights() -> None:
    with pytest.raises(UserError, match=r"no weights are published for 'darknet17'. .* as backbone_weights"):
        build("darknet17", pretrained=True)


def test_a_backbone_with_a_decoder_starts_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    arrays = timm.create_model("test_resnet").state_dict()
    save_file(arrays, file)
    network = build_network(NetworkSpec("fcn", "test_resnet", 2, decoder_output_stride=2), pretrained=file)
    name = "layer1.0.conv1.weight"
    torch.testing.assert_close(network.state_dict()[f"backbone.features.{name}"], arrays[name])


def test_a_file_that_fits_another_backbone_says_which(tmp_path: Path) -> None:
    file = tmp_path / "downloaded.safetensors"
    save_file({name: array.half() for name, array in timm.create_model("resnet18").state_dict().items()}, file)
    assert fitting_backbone(file, ["resnet34", "convnext_tiny"]) is None
    with pytest.raises(UserError, match=r"backbone 'resnet34' are missing.* This file fits the backbone resnet18: set"):
        build("resnet34", file)
    save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(UserError, match=r"timm's names\.$"):
        build("test_resnet", file)


def test_a_file_of_a_larger_network_fits_no_smaller_one(tmp_path: Path) -> None:
    file = tmp_path / "downloaded.safetensors"
    save_file(timm.create_model("resnet34").state_dict(), file)
    assert fitting_backbone(file, ["resnet18"]) is None
    assert fitting_backbone(file, ["resnet18", "resnet34"]) == "resnet34"


def test_a_file_fits_the_backbone_that_it_is_named_after(tmp_path: Path) -> None:
    file = tmp_path / "efficientnet_lite0.mine.safetensors"  # the two have arrays of the same shapes
    save_file(timm.create_model("efficientnet_lite0").state_dict(), file)
    assert fitting_backbone(file, ["tf_efficientnet_lite0"]) == "efficientnet_lite0"
    file = file.rename(tmp_path / "weights.safetensors")
    assert fitting_backbone(file, ["resnet18", "tf_efficientnet_lite0"]) == "tf_efficientnet_lite0"


def test_likely_backbones_exist() -> None:
    assert all(timm_name(backbone) for backbone in LIKELY_BACKBONES)
