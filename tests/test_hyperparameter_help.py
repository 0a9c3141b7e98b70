import math

import pytest

from segwright.errors import HyperparameterError
from segwright.hyperparameter_help import OTHER_NAMES, allowed
from segwright.hyperparameters import Hyperparameters


def complaint(**strings: str) -> str:
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters.from_strings(strings)
    return str(caught.value)


IN_RANGE = {
    "num_classes": ("2", "254"),
    "learning_rate": ("1e-9", "1"),
    "lr_scheduler_factor": ("0", "1"),
    "momentum": ("0.0", "1"),
    "weight_decay": ("0", "0.999"),
    "gamma1": ("0", "1"),
    "gamma2": ("0", "1"),
    "base_size": ("17", "5000"),
    "crop_size": ("17", "5000"),
    "early_stopping_tolerance": ("0", "1"),
    "aux_weight": ("0", "1"),
    "workers": ("0", "64"),
    "seed": ("0", "4294967295"),
    "output_stride": ("8", "16", "32"),
    "optimizer": ("sgd", "nag", "adam", "adamw", "adagrad", "adadelta", "rmsprop"),
    "lr_scheduler": ("poly", "cosine"),
    "precision_dtype": ("float32", "float16", "bfloat16", "auto"),
    "augmentation_type": ("default", "none"),
    "padding": ("ignore", "class-0"),
    "last_batch": ("keep", "rollover"),
    "loss": ("cross-entropy", "ohem", "focal", "dice", "lovasz", "cross-entropy+dice", "cross-entropy+lovasz"),
    "class_weights": ("none", "auto"),
    "update_rule": ("mean", "gluoncv"),
    "warmup": ("0", "0.5"),
    "head_rate_factor": ("0.1", "100"),
    "inference_scale": ("auto", "0.25", "1.5", "4"),
    "backbone": ("resnet-101", "tf_efficientnet_lite0"),
}
OUT_OF_RANGE = {
    "num_classes": ("1", "255", "2.5", "None"),
    "learning_rate": ("0", "1.1", "nan", "inf", "-inf", "0,1"),
    "lr_scheduler_factor": ("-0.1", "1.1"),
    "momentum": ("-0.1", "1.1"),
    "weight_decay": ("-1e-9", "1", "nan"),
    "gamma1": ("-0.1", "1.1"),
    "gamma2": ("-0.1", "1.1"),
    "base_size": ("16",),
    "crop_size": ("16", "-240"),
    "early_stopping_tolerance": ("-0.1", "1.1"),
    "early_stopping_patience": ("0",),
    "early_stopping_min_epochs": ("-1",),
    "epochs": ("0", "-1", "1.5", "x", "9" * 5000),
    "mini_batch_size": ("0",),
    "validation_mini_batch_size": ("0",),
    "num_training_samples": ("0", "many"),
    "logging_frequency": ("0",),
    "workers": ("-1",),
    "aux_weight": ("-1",),
    "seed": ("-1", "4294967296"),
    "output_stride": ("4", "x", "9" * 5000),
    "optimizer": ("lamb",),
    "lr_scheduler": ("constant",),
    "precision_dtype": ("float64",),
    "augmentation_type": ("strong",),
    "algorithm": ("unet",),
    "syncbn": ("maybe", "2"),
    "loss": ("huber", "dice+lovasz"),
    "class_weights": ("some", "1;2", "1, x"),
    "padding": ("1",),
    "warmup": ("-0.1", "1"),
    "head_rate_factor": ("0", "101"),
    "inference_scale": ("0.2", "4.1", "nan", "large"),
    "backbone": ("",),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in IN_RANGE for text in IN_RANGE[name]])
def test_values_within_the_range_are_taken(name: str, text: str) -> None:
    assert str(getattr(Hyperparameters.from_strings({name: text}), name)) in (text, str(_number(text)))


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in OUT_OF_RANGE for text in OUT_OF_RANGE[name]])
def test_values_outside_the_range_are_refused_with_name_value_and_range(name: str, text: str) -> None:
    message = complaint(**{name: text})
    assert message.startswith(f"{name} is ")
    assert text[:50] in message
    assert f"it takes {allowed(Hyperparameters.model_fields[name])}" in message
    assert len(message) < 250


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crop_size", "a whole number of at least 17"),
        ("num_classes", "a whole number from 2 to 254"),
        ("seed", "a whole number from 0 to 4294967295"),
        ("learning_rate", "a number above 0 and at most 1"),
        ("weight_decay", "a number of at least 0 and below 1"),
        ("gamma1", "a number from 0 to 1"),
        ("inference_scale", "auto, or a number from 0.25 to 4"),
        (
            "algorithm",
            "one of fcn, psp, deeplab, smp:unet, smp:unetplusplus, smp:manet, smp:linknet, smp:fpn, smp:upernet, "
            "smp:segformer, smp:deeplabv3plus",
        ),
        ("output_stride", "one of 8, 16, 32"),
        ("syncbn", "True or False"),
        ("backbone", "a name"),
        (
            "class_weights",
            "one of none, auto, or numbers from 0.000001 to 1000000, one for each class, such as 1, 5, 2",
        ),
        ("backbone_weights", "the path of a file"),
    ],
)
def test_what_is_allowed_is_worded(name: str, words: str) -> None:
    assert allowed(Hyperparameters.model_fields[name]) == words


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("epoch", "epochs"),
        ("learning-rate", "learning_rate"),
        ("LearningRate", "learning_rate"),
        ("optimzer", "optimizer"),
    ],
)
def test_unknown_names_get_the_nearest_one(wrong: str, right: str) -> None:
    assert complaint(**{wrong: "1"}) == f'There is no hyperparameter "{wrong}" (given as "1"); did you mean {right}?'


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("lr", "learning_rate (the peak learning rate)"),
        ("batch_size", "mini_batch_size (images per training batch, over all devices together)"),
        ("batchSize", "mini_batch_size (images per training batch, over all devices together)"),
        ("max_epochs", "epochs (passes over the training images, each taken repeats times)"),
        ("wd", "weight_decay (weight decay, decoupled in adamw)"),
        ("num-workers", "workers (processes that load training data, at most one per CPU core)"),
        ("encoder", "backbone (the encoder: resnet-50, resnet-101, or the name of any timm model with feature maps)"),
    ],
)
def test_names_of_other_tools_are_understood(theirs: str, ours: str) -> None:
    assert complaint(**{theirs: "1"}) == f'There is no hyperparameter "{theirs}" (given as "1"); use {ours}.'


def test_python_callers_are_told_as_well() -> None:
    with pytest.raises(HyperparameterError, match=r"use base_size \(.*\) or crop_size \("):
        Hyperparameters.model_validate({"image_size": 256})


def test_other_names_lead_to_hyperparameters_and_are_none_themselves() -> None:
    options = {"device", "output", "from"}
    assert OTHER_NAMES.keys() - options <= Hyperparameters.model_fields.keys()
    assert not {other for names in OTHER_NAMES.values() for other in names} & Hyperparameters.model_fields.keys()


def test_names_like_no_other_get_no_guess() -> None:
    assert "did you mean" not in complaint(zzz="1")


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("algorithm", "deeplabv3", "deeplab"),
        ("optimizer", "ADAM", "adam"),
        ("lr_scheduler", "cosin", "cosine"),
        ("loss", "cross_entropy_dice", "cross-entropy+dice"),
        ("class_weights", "Auto", "auto"),
        ("inference_scale", "automatic", "auto"),
    ],
)
def test_misspelt_choices_get_the_nearest_one(name: str, wrong: str, right: str) -> None:
    assert complaint(**{name: wrong}).endswith(f"Did you mean {right}?")


@pytest.mark.parametrize("text", ["0, 1", "1, -1", "1, nan", "1, inf", "1e-50, 1"])
def test_class_weights_are_above_0_and_finite(text: str) -> None:
    assert complaint(class_weights=text).startswith(
        f"class_weights is ({', '.join(map(repr, map(float, text.split(','))))})"
    )


def test_all_mistakes_are_in_one_message() -> None:
    message = complaint(epochs="0", algorithm="psq", learning_rat="1")
    assert message.startswith("3 hyperparameters are wrong: ")
    assert all(part in message for part in ("epochs is", "Did you mean psp?", "did you mean learning_rate?"))
