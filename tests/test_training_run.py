import logging
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segwright
from segwright.bundle import Description, load_network, read_description
from segwright.devices import choose_precision
from segwright.errors import DataError, HyperparameterError, LabelError, OutputExistsError
from segwright.training.train_step import TrainState
from tests.conftest import Draw, blocks
from tests.helpers.trainings import killed_at, records, settings, train


def test_a_network_learns_and_the_bundle_says_everything(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder(train=12)
    bundle = train(data, tmp_path / "model", epochs="12", precision_dtype="float32")
    description = read_description(bundle)
    assert description.metrics["best"]["mean_iou"] > 0.6
    assert description.metrics["last"]["epoch"] == 12
    assert description.hyperparameters["num_classes"] == 3
    assert description.hyperparameters["num_training_samples"] == 12
    assert description.class_names == ("class 0", "class 1", "class 2")
    assert description.data["train"]["pairs"] == 12
    assert sum(description.data["train"]["histogram"]) == 12 * 40 * 48
    assert len(records(bundle)) == 12

    scores = segwright.evaluate(bundle, data / "validation", data / "validation_annotation", device="cpu")
    assert scores.mean_iou == pytest.approx(description.metrics["best"]["mean_iou"], abs=1e-9)
    image, mask = blocks(seed=5000)
    model = segwright.load(bundle, device="cpu")
    assert (model.mask(image) == mask).mean() > 0.8


def test_train_returns_the_model_with_the_best_weights(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder()
    chosen = settings(epochs="3", learning_rate="0.5")
    model = segwright.train(segwright.Channels.locate(data), tmp_path / "model", chosen, device="cpu")
    description, best = load_network(tmp_path / "model")
    _, last = load_network(tmp_path / "model", "last.safetensors")
    assert description.metrics["best"]["epoch"] < 3
    assert model.description == description
    weights = model.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in best.state_dict().items())
    assert any(not torch.equal(value, weights[name]) for name, value in last.state_dict().items())
    file = data / "validation" / "000.jpg"
    assert (model.mask(file) == segwright.load(tmp_path / "model", "cpu").mask(file)).all()


def test_the_same_seed_ends_with_the_same_bits(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder()
    _, first = load_network(train(data, tmp_path / "a"), "last.safetensors")
    _, again = load_network(train(data, tmp_path / "b", _workers="2"), "last.safetensors")
    _, other = load_network(train(data, tmp_path / "c", seed="1"), "last.safetensors")
    state = first.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
    assert any(not torch.equal(value, state[name]) for name, value in other.state_dict().items())


def test_what_is_not_given_again_is_resumed_as_it_was(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    channels, output = segwright.Channels.locate(channels_folder()), tmp_path / "model"
    usual = choose_precision("auto", torch.device("cpu"))
    first = settings(precision_dtype="bfloat16" if usual is torch.float32 else "float32")
    policy = segwright.CheckpointPolicy(every=1e-9, resume=True)
    with killed_at(3, monkeypatch):
        segwright.train(channels, output, first, checkpoints=policy, device="cpu")
    with caplog.at_level(logging.WARNING, "segwright"):
        segwright.train(channels, output, segwright.Hyperparameters(), checkpoints=policy, device="cpu")
    assert "resumed with changes" not in caplog.text, "in epochs, precision, ..."
    assert len(records(output)) == 2 and first.changes().items() <= read_description(output).hyperparameters.items()


def test_a_wrong_number_of_samples_is_reported_and_not_trusted(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "segwright"):
        bundle = train(channels_folder(), tmp_path / "model", num_training_samples="100")
    assert "num_training_samples is 100, but there are 8" in caplog.text
    last = records(bundle)[-1]
    assert last["updates"] == 4
    warm = 0.05 * 4
    assert last["learning_rate"] == pytest.approx(0.01 * (1 - (3 - warm) / (4 - warm)) ** 0.9)


def test_a_last_batch_of_one_image_does_not_stop_pooled_heads(channels_folder: Draw, tmp_path: Path) -> None:
    train(channels_folder(train=5), tmp_path / "model", algorithm="deeplab", epochs="1")


def test_early_stopping_ends_the_run(channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        bundle = train(
            channels_folder(),
            tmp_path / "model",
            epochs="9",
            learning_rate="1e-12",
            early_stopping="True",
            early_stopping_min_epochs="1",
            early_stopping_patience="2",
            early_stopping_tolerance="1.0",
        )
    assert len(records(bundle)) < 9
    assert "stopped early" in caplog.text


def test_an_interrupt_leaves_a_usable_model_and_says_so(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    step = TrainState.train_step

    def interrupted_step(self: TrainState, *arguments: object) -> object:
        if self.updates == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainState, "train_step", interrupted_step)
    data = channels_folder()
    with caplog.at_level(logging.WARNING, "segwright"), pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "model")
    assert "holds a usable model" in caplog.text
    description, _ = load_network(tmp_path / "model")
    assert description.metrics["best"]["epoch"] == 1 and description.metrics["last"] is None
    load_network(tmp_path / "model", "last.safetensors")


def test_an_interrupt_in_the_first_epoch_leaves_one_too(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TrainState.train_step

    def interrupted_step(self: TrainState, *arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainState, "train_step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        train(channels_folder(), tmp_path / "model")
    assert segwright.load(tmp_path / "model", "cpu").mask(blocks(1)[0]).shape == (40, 48)


def test_a_batch_larger_than_the_data_holds_them_all(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        bundle = train(channels_folder(train=5), tmp_path / "model", recipe="sagemaker", mini_batch_size="16")
    assert "a batch holds them all" in caplog.text
    assert [record["updates"] for record in records(bundle)] == [1, 2]


def test_the_log_names_the_recipe_and_few_updates(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        train(channels_folder(), tmp_path / "model", recipe="sagemaker", epochs="1")
    assert "recipe sagemaker with " in caplog.text and "epochs 1" in caplog.text
    assert "validation scores crops of 32 pixels from the centres" in caplog.text
    assert "2 updates in all" in caplog.text and "epochs 250 makes" in caplog.text
    assert "class_weights auto" not in caplog.text


def test_rare_classes_are_told_and_can_be_made_to_count(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = channels_folder()
    for mask in (data / "train_annotation").iterdir():
        classes = np.asarray(Image.open(mask)).copy()
        classes[classes == 2] = 1
        classes[:6, :6] = 2
        Image.fromarray(classes).save(mask)
    with caplog.at_level(logging.WARNING, "segwright"):
        train(data, tmp_path / "plain", epochs="1", class_weights="none")
        assert "few pixels are labelled class 2: class_weights auto" in caplog.text
        caplog.clear()
        train(data, tmp_path / "weighed", epochs="1", class_weights="auto")
        train(data, tmp_path / "listed", epochs="1", class_weights="1, 1, 4")
    assert "class_weights auto makes" not in caplog.text
    losses = {records(tmp_path / name)[0]["train_loss"] for name in ("plain", "weighed", "listed")}
    assert len(losses) == 3


def test_class_weights_are_one_for_each_class(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder()
    sentence = "class_weights has 2 numbers, but there are 3 classes: .* in the order class 0, class 1, class 2"
    with pytest.raises(HyperparameterError, match=sentence):
        train(data, tmp_path / "model", class_weights="1, 5")
    assert not (tmp_path / "model").exists()


def test_another_loss_trains_a_model(channels_folder: Draw, tmp_path: Path) -> None:
    values = {"epochs": "8", "precision_dtype": "bfloat16", "loss": "cross-entropy+lovasz"}
    bundle = train(channels_folder(train=12), tmp_path / "model", **values)
    first, *_, last = [float(str(record["train_loss"])) for record in records(bundle)]
    assert last < first
    assert read_description(bundle).metrics["best"]["mean_iou"] > 0.4


def test_validation_scores_crops_where_the_original_does(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder(train=4, validation=2, height=40, width=60)
    crops = read_description(train(data, tmp_path / "crops", validation_mini_batch_size="2", epochs="1"))
    whole = read_description(train(data, tmp_path / "whole", validation_mini_batch_size="1", epochs="1"))

    def support(of: Description) -> int:
        return sum(entry["support"] for entry in of.metrics["last"]["per_class"])

    assert support(crops) == 2 * 32 * 32
    assert support(whole) == 2 * 40 * 60


def test_bad_data_leaves_an_existing_bundle_alone(channels_folder: Draw, tmp_path: Path) -> None:
    data, output = channels_folder(), tmp_path / "model"
    train(data, output)
    before = read_description(output)
    with pytest.raises(OutputExistsError):
        train(data, output)
    Image.fromarray(np.full((40, 48), 77, np.uint8)).save(data / "train_annotation" / "000.png")
    with pytest.raises(DataError, match=r"000\.png"):
        segwright.train(
            segwright.Channels.locate(data),
            output,
            settings(num_classes="3"),
            device="cpu",
            checkpoints=segwright.CheckpointPolicy(overwrite=True),
        )
    assert read_description(output) == before


def test_class_names_travel_with_the_model(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder()
    names = tmp_path / "names.txt"
    names.write_text("sky\nground\nthing\n")
    channels = segwright.Channels.locate(data)
    segwright.train(channels, tmp_path / "model", settings(epochs="1"), class_names=names, device="cpu")
    assert segwright.load(tmp_path / "model", "cpu").class_names == ("sky", "ground", "thing")
    with pytest.raises(LabelError, match="3 class names"):
        segwright.train(channels, tmp_path / "other", settings(num_classes="4"), class_names=names, device="cpu")


def test_a_text_label_map_names_the_classes(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder()
    (data / "label_map").mkdir()
    (data / "label_map" / "train_label_map.txt").write_text("0 ground\n1 sky # above\n2 ground\n")
    bundle = train(data, tmp_path / "model", epochs="1")
    description = read_description(bundle)
    assert description.class_names == ("ground", "sky")
    assert description.label_map("validation") == description.label_map("train")


def test_float16_on_the_cpu_is_refused_before_anything_is_read(channels_folder: Draw, tmp_path: Path) -> None:
    with pytest.raises(segwright.UserError, match="precision_dtype"):
        train(channels_folder(), tmp_path / "model", precision_dtype="float16")


@pytest.mark.parametrize(("recipe", "loss"), [("best", "focal"), ("best", "dice"), ("sagemaker", "cross-entropy")])
def test_classifiers_start_from_the_shares_of_the_classes_where_the_loss_goes_by_them(
    channels_folder: Draw, tmp_path: Path, caplog: pytest.LogCaptureFixture, recipe: str, loss: str
) -> None:
    data = channels_folder()
    values = {"recipe": recipe, "loss": loss, "class_weights": "none", "epochs": "1", "optimizer": "sgd"}
    values["learning_rate"] = "1e-9"
    with caplog.at_level(logging.WARNING, "segwright"):
        bundle = train(data, tmp_path / "model", **values)
    description, network = load_network(bundle)
    counts = np.array(description.data["train"]["histogram"])
    expected = np.log(counts / counts.sum()) if loss == "focal" else np.zeros(3)
    for name in network.classifier_names():
        if name.endswith(".bias"):
            np.testing.assert_allclose(network.state_dict()[name].numpy(), expected, atol=1e-6)
    assert ("never predicted" in caplog.text and "class 2" in caplog.text) or loss != "focal"
