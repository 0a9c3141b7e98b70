import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.errors import HyperparameterError
from segwright.hyperparameter_help import sections
from segwright.hyperparameters import Hyperparameters

ROOT = Path(__file__).parents[1]

SAGEMAKER_DEFAULTS: dict[str, Any] = {
    "backbone": "resnet-50",
    "use_pretrained_model": True,
    "algorithm": "fcn",
    "num_classes": None,
    "num_training_samples": None,
    "epochs": 10,
    "mini_batch_size": 16,
    "validation_mini_batch_size": 16,
    "learning_rate": 0.001,
    "lr_scheduler": "poly",
    "lr_scheduler_factor": 0.1,
    "lr_scheduler_step": None,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.0001,
    "gamma1": 0.9,
    "gamma2": 0.9,
    "base_size": 520,
    "crop_size": 240,
    "early_stopping": False,
    "early_stopping_min_epochs": 5,
    "early_stopping_patience": 4,
    "early_stopping_tolerance": 0.0,
    "precision_dtype": "float32",
    "syncbn": False,
}
UNDERSCORED_DEFAULTS: dict[str, Any] = {
    "workers": 16,
    "aux_loss": True,
    "aux_weight": 0.5,
    "augmentation_type": "default",
    "logging_frequency": 20,
}
OWN_DEFAULTS: dict[str, Any] = {
    "accumulation": 1,
    "output_stride": 8,
    "decoder_output_stride": None,
    "backbone_weights": None,
    "seed": 0,
    "padding": "class-0",
    "last_batch": "rollover",
    "head_rate_factor": 10.0,
    "update_rule": "gluoncv",
    "warmup": 0.0,
    "loss": "cross-entropy",
    "inference_scale": None,
    "class_weights": "none",
    "bands": None,
    "apply_exif_orientation": False,
    "image_scale": None,
    "scale_range": (0.5, 2.0),
    "flips": "horizontal",
    "rotation": 0.0,
    "blur": 0.5,
    "photometric": 0.0,
    "balanced_crops": 0.0,
    "repeats": 1,
    "minutes": None,
    "validate_every": 1,
}
BEST: dict[str, Any] = {
    "epochs": 30,
    "mini_batch_size": 8,
    "validation_mini_batch_size": 1,
    "algorithm": "deeplab",
    "output_stride": 16,
    "decoder_output_stride": 4,
    "image_scale": 1.0,
    "crop_size": 256,
    "precision_dtype": "auto",
    "optimizer": "adamw",
    "learning_rate": 0.0004,
    "weight_decay": 0.01,
    "padding": "ignore",
    "last_batch": "keep",
    "update_rule": "mean",
    "warmup": 0.05,
    "inference_scale": "auto",
    "validate_every": None,
}


def complaint(**strings: str) -> str:
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters.from_strings(strings)
    return str(caught.value)


def test_names_and_defaults_are_a_frozen_surface() -> None:
    expected = SAGEMAKER_DEFAULTS | UNDERSCORED_DEFAULTS | OWN_DEFAULTS
    assert Hyperparameters(recipe="sagemaker").model_dump() == expected | {"recipe": "sagemaker"}
    assert Hyperparameters().model_dump() == expected | BEST | {"recipe": "best"}
    assert Hyperparameters.from_strings({}) == Hyperparameters()
    assert Hyperparameters.from_strings({"recipe": "sagemaker"}) == Hyperparameters(recipe="sagemaker")


def test_there_is_no_third_recipe() -> None:
    assert complaint(recipe="fast") == 'recipe is "fast"; it takes one of best, sagemaker.'


@given(st.sampled_from(["best", "sagemaker"]), st.sampled_from(sorted(BEST)))
def test_any_value_of_a_recipe_can_be_overridden(recipe: str, name: str) -> None:
    others = SAGEMAKER_DEFAULTS | OWN_DEFAULTS if recipe == "best" else BEST
    settings = Hyperparameters.model_validate({"recipe": recipe, name: others[name]})
    assert getattr(settings, name) == others[name]
    assert name in settings.changes()


def test_another_optimizer_gets_the_documented_rate_and_decay() -> None:
    settings = Hyperparameters(optimizer="sgd")
    assert (settings.learning_rate, settings.weight_decay) == (0.001, 0.0001)
    assert Hyperparameters(optimizer="sgd", learning_rate=0.02).learning_rate == 0.02
    assert settings.epochs == BEST["epochs"]


@pytest.mark.parametrize("recipe", ["best", "sagemaker"])
def test_minutes_take_the_place_of_epochs(recipe: str) -> None:
    settings = Hyperparameters.from_strings({"recipe": recipe, "minutes": "2.5"})
    assert settings.minutes == 2.5 and settings.changes() == {"minutes": 2.5}
    assert Hyperparameters.model_validate(settings.model_dump()) == settings, "settings survive with all their fields"
    message = complaint(recipe=recipe, minutes="2.5", epochs="7")
    assert message == "epochs 7 and minutes 2.5 exclude each other: give one of them."
    assert complaint(minutes="0") == 'minutes is "0"; it takes a number above 0, or can be left out.'


def test_changes_are_what_differs_from_the_recipe() -> None:
    assert Hyperparameters(recipe="sagemaker").changes() == {}
    assert Hyperparameters(epochs=30, crop_size=320).changes() == {"crop_size": 320}


def test_the_strings_of_a_published_job_are_read() -> None:
    job = {
        "backbone": "resnet-50",
        "algorithm": "fcn",
        "use_pretrained_model": "True",
        "crop_size": "240",
        "num_classes": "21",
        "epochs": "10",
        "learning_rate": "0.0001",
        "optimizer": "rmsprop",
        "lr_scheduler": "poly",
        "mini_batch_size": "16",
        "validation_mini_batch_size": "16",
        "early_stopping": "True",
        "early_stopping_patience": "2",
        "early_stopping_min_epochs": "10",
        "num_training_samples": "1464",
        "_tuning_objective_metric": "validation:mIOU",
    }
    settings = Hyperparameters.from_strings(job)
    assert (settings.num_classes, settings.learning_rate, settings.early_stopping) == (21, 0.0001, True)


@pytest.mark.parametrize("text", ["True", "true", "TRUE", "1", "yes", '"True"', " true "])
def test_true_is_read_in_every_usual_spelling(text: str) -> None:
    assert Hyperparameters.from_strings({"syncbn": text}).syncbn is True


@pytest.mark.parametrize("text", ["False", "false", "0", "no", '"false"'])
def test_false_is_read_in_every_usual_spelling(text: str) -> None:
    assert Hyperparameters.from_strings({"use_pretrained_model": text}).use_pretrained_model is False


def test_one_pair_of_double_quotes_is_dropped() -> None:
    assert Hyperparameters.from_strings({"algorithm": '"psp"', "epochs": '"3"'}).algorithm == "psp"
    assert '""psp""' in complaint(algorithm='"""psp"""').replace("\\", "")


@pytest.mark.parametrize("text", ["10, 20", "10,20", " 20 ,10 ", '"10, 20"'])
def test_the_epochs_of_the_step_schedule_are_a_list(text: str) -> None:
    settings = Hyperparameters.from_strings({"lr_scheduler": "step", "lr_scheduler_step": text})
    assert settings.lr_scheduler_step == (10, 20)


@pytest.mark.parametrize("text", ["10,", "0, 5", "ten", "1.5", "5; 6"])
def test_bad_lists_of_epochs_are_refused(text: str) -> None:
    assert "a comma-separated list of epochs, such as 10, 20" in complaint(lr_scheduler_step=text)


@pytest.mark.parametrize("text", ["", '""', "  "])
def test_an_empty_value_leaves_out_what_is_optional_and_nothing_else(text: str) -> None:
    assert Hyperparameters.from_strings({"num_classes": text, "lr_scheduler_step": text}) == Hyperparameters()
    assert 'epochs is ""; it takes a whole number of at least 1.' in complaint(epochs=text)


def test_none_gives_what_is_optional_no_value_in_any_recipe() -> None:
    settings = Hyperparameters.from_strings({"decoder_output_stride": "none", "lr_scheduler_step": "none"})
    assert settings.decoder_output_stride is None and settings.changes() == {"decoder_output_stride": None}
    assert Hyperparameters.from_strings({"recipe": "sagemaker", "validate_every": "none"}).validate_every is None
    assert complaint(epochs="none") == 'epochs is "none"; it takes a whole number of at least 1.'


def test_only_what_was_given_counts_as_given() -> None:
    settings = Hyperparameters(epochs=5, class_weights="auto")
    assert settings.model_fields_set == {"epochs", "class_weights"}
    assert Hyperparameters.model_validate(settings).model_fields_set == {"epochs", "class_weights"}


@pytest.mark.parametrize("name", UNDERSCORED_DEFAULTS)
def test_underscored_names_are_read_with_and_without_the_underscore(name: str) -> None:
    text = {"aux_loss": "false", "augmentation_type": "none"}.get(name, "1")
    plain = Hyperparameters.from_strings({name: text})
    assert plain == Hyperparameters.from_strings({f"_{name}": text}) != Hyperparameters()
    assert "given twice" in complaint(**{name: text, f"_{name}": text})


def test_machinery_is_ignored_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    machinery = {
        "_kvstore": "device",
        "_num_kv_servers": "auto",
        "_hybrid": "False",
        "_new": "",
        "sagemaker_x": "1",
    }
    with caplog.at_level(logging.INFO, "segwright"):
        assert Hyperparameters.from_strings(machinery) == Hyperparameters()
    (message,) = caplog.messages
    assert all(name in message for name in machinery)


def test_without_machinery_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "segwright"):
        Hyperparameters.from_strings({"_workers": "2"})
    assert caplog.messages == []


def test_the_step_schedule_needs_its_epochs() -> None:
    assert "lr_scheduler_step must list epochs" in complaint(lr_scheduler="step")
    assert Hyperparameters(lr_scheduler="poly", lr_scheduler_step=(3,)).lr_scheduler_step == (3,)


def test_weights_for_a_backbone_that_shall_not_be_pretrained_are_a_contradiction() -> None:
    message = complaint(use_pretrained_model="False", backbone_weights="weights.safetensors")
    assert "leave one out" in message
    assert Hyperparameters.from_strings({"backbone_weights": "w"}).backbone_weights == Path("w")


@pytest.mark.parametrize("text", ["1, 5,2.5", "1,5,2.5", '"1, 5, 2.5"'])
def test_class_weights_are_a_word_or_a_list(text: str) -> None:
    assert Hyperparameters.from_strings({"class_weights": text}).class_weights == (1, 5, 2.5)
    assert Hyperparameters(class_weights=(1, 5, 2.5)).class_weights == (1, 5, 2.5)


def test_class_weights_have_no_effect_where_classes_count_alike() -> None:
    for loss in ("dice", "lovasz"):
        for weights in ("auto", "1, 2"):
            assert f"set loss to cross-entropy+{loss}" in complaint(loss=loss, class_weights=weights)
        assert Hyperparameters.from_strings({"loss": f"cross-entropy+{loss}", "class_weights": "auto"})


def test_the_originals_update_rule_knows_one_loss() -> None:
    assert "set update_rule to mean" in complaint(recipe="sagemaker", loss="dice")
    assert Hyperparameters(recipe="sagemaker", update_rule="mean", loss="dice").loss == "dice"


def test_python_callers_get_the_same_error() -> None:
    with pytest.raises(HyperparameterError, match="epochs is 0; it takes a whole number of at least 1"):
        Hyperparameters(epochs=0)


@given(st.integers(17, 5000))
def test_the_training_crop_is_rounded_up_to_a_multiple_of_8(size: int) -> None:
    settings = Hyperparameters(crop_size=size)
    assert settings.crop_size == size
    assert settings.training_crop_size % 8 == 0
    assert 0 <= settings.training_crop_size - size < 8


SPELLINGS = st.sampled_from(["{}", '"{}"', " {} "])
NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "epochs": st.integers(1, 10**6),
    "mini_batch_size": st.integers(1, 10**4),
    "num_classes": st.integers(2, 254),
    "crop_size": st.integers(17, 10**4),
    "seed": st.integers(0, 2**32 - 1),
    "learning_rate": st.floats(0, 1, exclude_min=True),
    "momentum": st.floats(0, 1),
    "weight_decay": st.floats(0, 1, exclude_max=True),
    "early_stopping_tolerance": st.floats(0, 1),
}
CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "recipe": st.sampled_from(["best", "sagemaker"]),
    "algorithm": st.sampled_from(["fcn", "psp", "deeplab"]),
    "optimizer": st.sampled_from(["sgd", "nag", "adam", "adamw", "adagrad", "adadelta", "rmsprop"]),
    "output_stride": st.sampled_from([8, 16, 32]),
    "syncbn": st.booleans(),
    "early_stopping": st.booleans(),
    "lr_scheduler_step": st.sets(st.integers(1, 1000), min_size=1).map(sorted).map(tuple),
}


@given(st.fixed_dictionaries({}, optional=NUMBERS | CHOICES), st.data())
def test_strings_say_what_values_say(values: dict[str, Any], data: st.DataObject) -> None:
    strings = {}
    for name, value in values.items():
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        strings[name] = data.draw(SPELLINGS).format(text)
    assert Hyperparameters.from_strings(strings) == Hyperparameters.model_validate(values)


@given(st.sampled_from(sorted(Hyperparameters.model_fields)), st.text(max_size=40))
def test_any_text_is_a_value_or_one_clear_error(name: str, text: str) -> None:
    try:
        Hyperparameters.from_strings({name: text})
    except HyperparameterError as error:
        assert name in str(error)


def test_settings_survive_json() -> None:
    settings = Hyperparameters(lr_scheduler_step=(3, 5), backbone_weights=Path("a/b"), class_weights=(1, 0.5))
    again = Hyperparameters.model_validate(json.loads(settings.model_dump_json()))
    assert again == settings


def test_every_hyperparameter_says_what_it_means_and_where_it_belongs() -> None:
    for name, field in Hyperparameters.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
    assert "" not in sections(Hyperparameters)


def test_the_documentation_is_current(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "write_hyperparameter_docs.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    for name in ("hyperparameters.md", "hyperparameters.schema.json", "recipes.md"):
        assert (ROOT / "docs" / name).read_text() == (tmp_path / name).read_text(), f"{name}: run make docs"
