"""Training on from a trained model: `--from`."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import segwright
from segwright.bundle import Description, load_network, read_description
from segwright.errors import BundleError, HyperparameterError
from segwright.hyperparameters import Hyperparameters
from segwright.networks import NetworkSpec, build_network
from segwright.training.initialization import check_same_network, inherit_settings, resumed_settings, start_network
from tests.conftest import TINY_BACKBONE, Draw
from tests.helpers.trainings import train

CLASSIFIERS = ("head.block.4.weight", "head.block.4.bias", "auxiliary_head.block.4.weight")


@pytest.fixture
def bundle(channels_folder: Draw, tmp_path: Path) -> Path:
    """An FCN of three named classes, trained for an epoch."""
    data = channels_folder()
    (data / "label_map").mkdir()
    (data / "label_map" / "class_names.txt").write_text("sky\nground\nthing\n")
    plain = {"algorithm": "fcn", "output_stride": "8", "decoder_output_stride": "none"}
    return train(data, tmp_path / "trained", epochs="1", **plain)


def started(bundle: Path, names: tuple[str, ...], **given: object) -> dict[str, torch.Tensor]:
    parent = read_description(bundle).network
    wanted = inherit_settings(Hyperparameters.model_validate({"num_classes": len(names), **given}), parent)
    return start_network(wanted, names, parent.pixel_format, parent, bundle, blank=False).state_dict()


def test_the_same_classes_start_with_the_same_weights(bundle: Path) -> None:
    _, trained = load_network(bundle)
    state = started(bundle, ("sky", "ground", "thing"), crop_size=320)
    assert all(torch.equal(value, state[name]) for name, value in trained.state_dict().items())


def test_rows_follow_the_names(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, trained = load_network(bundle)
    with caplog.at_level(logging.INFO, "segwright"):
        state = started(bundle, ("thing", "tree", "sky", "car"))
    for name in CLASSIFIERS:
        had = trained.state_dict()[name]
        assert torch.equal(state[name][0], had[2]) and torch.equal(state[name][2], had[0])
        assert not torch.equal(state[name][1], had[1])
    assert torch.equal(state["head.block.0.weight"], trained.state_dict()["head.block.0.weight"])
    assert "kept by name: thing, sky; new: tree, car; dropped: ground" in caplog.text


def test_without_names_rows_follow_the_index(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    had = load_network(bundle)[1].state_dict()["head.block.4.weight"]
    with caplog.at_level(logging.INFO, "segwright"):
        assert torch.equal(started(bundle, ("class 0", "class 1"))["head.block.4.weight"], had[:2])
    assert (
        "kept by index, because not all have names: class 0 (was sky), class 1 (was ground); dropped: thing"
        in caplog.text
    )


def test_an_auxiliary_head_may_come_or_go(bundle: Path) -> None:
    assert not any(name.startswith("auxiliary") for name in started(bundle, ("sky", "thing"), aux_loss=False))
    again = build_network(NetworkSpec("fcn", TINY_BACKBONE, num_classes=3))
    assert set(started(bundle, ("sky", "ground", "thing"))) == set(again.state_dict())


@pytest.mark.parametrize("given", [{"decoder_output_stride": 4}, {"decoder_output_stride": 1, "output_stride": 16}])
def test_another_decoder_starts_anew_and_the_rest_does_not(
    bundle: Path, given: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    _, trained = load_network(bundle)
    with caplog.at_level(logging.INFO, "segwright"):
        state = started(bundle, ("sky", "ground", "thing"), **given)
    name = "backbone.features.conv1.weight"
    name = name if name in state else next(key for key in state if key.startswith("backbone") and state[key].ndim == 4)
    assert torch.equal(state[name], trained.state_dict()[name])
    assert "of the network are not in that model, or of another size, and start anew" in caplog.text


def test_from_one_decoder_to_another_of_other_channels(channels_folder: Draw, tmp_path: Path) -> None:
    fine = {"algorithm": "fcn", "output_stride": "16"}
    data = channels_folder()
    trained = train(data, tmp_path / "two", epochs="1", decoder_output_stride="2", **fine)
    network = load_network(trained)[1].state_dict()
    state = started(trained, ("a", "b", "c"), decoder_output_stride=1, output_stride=16)
    same = [name for name in network if name in state and state[name].shape == network[name].shape]
    kept = [name for name in same if "classifier" not in name and torch.equal(state[name], network[name])]
    assert len(kept) > len(same) / 2


def test_what_is_left_open_is_the_models(bundle: Path) -> None:
    wanted = inherit_settings(Hyperparameters(), read_description(bundle).network)
    assert (wanted.algorithm, wanted.backbone, wanted.output_stride) == ("fcn", TINY_BACKBONE, 8)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"algorithm": "psp"}, "algorithm is psp, but the model to start from has fcn"),
        ({"backbone_weights": "w.safetensors"}, "both give the backbone's weights"),
        ({"backbone": "resnet-50"}, f"backbone is resnet-50, but the model to start from has {TINY_BACKBONE}"),
    ],
)
def test_another_algorithm_or_backbone_is_refused(bundle: Path, given: dict[str, str], words: str) -> None:
    with pytest.raises(HyperparameterError, match=words):
        network = read_description(bundle).network
        check_same_network(inherit_settings(Hyperparameters.model_validate(given), network), network)


def test_sagemakers_name_and_timms_are_one_backbone(bundle: Path) -> None:
    network = replace(read_description(bundle).network, backbone="resnet50s.gluon_in1k")
    check_same_network(inherit_settings(Hyperparameters(backbone="resnet-50"), network), network)


@pytest.mark.parametrize(("then", "now"), [({"epochs": 5}, {"minutes": 2.0}), ({"minutes": 2.0}, {"epochs": 5})])
def test_what_is_resumed_keeps_its_settings_but_ends_as_it_is_told_now(
    then: dict[str, object], now: dict[str, object]
) -> None:
    had = Hyperparameters.model_validate({"optimizer": "sgd", "scale_range": (0.8, 1.2), **then})
    description = Description.model_construct(hyperparameters=had.model_dump(mode="json"))
    assert resumed_settings(Hyperparameters(), description) == had
    resumed = resumed_settings(Hyperparameters.model_validate(now), description)
    assert resumed == Hyperparameters.model_validate({"optimizer": "sgd", "scale_range": (0.8, 1.2), **now})
    assert Hyperparameters.model_validate(resumed.model_dump(mode="json")) == resumed, "and can be resumed again"
    assert resumed.model_fields_set == set(now)


@pytest.mark.parametrize("num_classes", [None, 3])
def test_the_whole_way(bundle: Path, tmp_path: Path, num_classes: int | None) -> None:
    data = tmp_path / "data"
    (data / "label_map" / "class_names.txt").unlink()
    further = tmp_path / "further"
    segwright.train(
        segwright.Channels.locate(data),
        further,
        Hyperparameters(num_classes=num_classes, epochs=1, crop_size=32, base_size=48, learning_rate=1e-9, workers=0),
        start_from=bundle.parent,  # the only model below it
        device="cpu",
    )
    before, after = read_description(bundle), read_description(further)
    assert after.class_names == before.class_names, "where nobody names classes, they are the model's"
    assert after.started_from == str(bundle) and before.started_from is None
    had, has = (load_network(path)[1] for path in (bundle, further))
    assert all(torch.allclose(has.get_parameter(name), value, atol=1e-5) for name, value in had.named_parameters())


def test_a_model_of_the_original_has_to_become_a_bundle_first(channels_folder: Draw, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    (original / "model_best.params").touch()
    sentence = (
        rf"{original} is a model of SageMaker's original algorithm: .* `segwright import-model {original} BUNDLE`"
    )
    with pytest.raises(BundleError, match=sentence):
        segwright.train(segwright.Channels.locate(channels_folder()), tmp_path / "further", start_from=original)
    assert not (tmp_path / "further").exists()
