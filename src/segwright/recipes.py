"""The defaults of the recipe `best`; those of `sagemaker` are the defaults of the fields of `Hyperparameters`."""

from collections.abc import Mapping
from typing import Any, Final

from segwright.algorithms import check_offered, is_smp, usual_output_stride

BEST_DEFAULTS: Final[Mapping[str, Any]] = {
    "epochs": 30,
    "mini_batch_size": 8,
    "optimizer": "adamw",
    "learning_rate": 0.0004,
    "weight_decay": 0.01,
    "warmup": 0.05,
    "update_rule": "mean",
    "last_batch": "keep",
    "padding": "ignore",
    "validation_mini_batch_size": 1,
    "algorithm": "deeplab",
    "output_stride": 16,
    "decoder_output_stride": 4,
    "image_scale": 1.0,
    "crop_size": 256,
    "precision_dtype": "auto",
    "inference_scale": "auto",
    "validate_every": None,
}
"""The defaults of the recipe `best` that differ from SageMaker's."""

CHOSEN_IN_BEST: Final = (
    "backbone",
    "output_stride",
    "decoder_output_stride",
    "image_scale",
    "scale_range",
    "crop_size",
    "flips",
    "rotation",
    "blur",
    "photometric",
    "repeats",
    "epochs",
    "mini_batch_size",
    "class_weights",
    "head_rate_factor",
)
"""What rules choose in `best` by data and device (training/rules.py), where it is not given; where labels cannot be
measured, as in Pipe mode, `BEST_DEFAULTS` and the fields' defaults apply."""

_OPTIMIZER_DEFAULTS: Final = ("learning_rate", "weight_decay")


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given hyperparameters with the defaults of their recipe where they differ from SageMaker's.

    Learning rate and weight decay are AdamW's, other optimizers have SageMaker's. Decoders of
    segmentation_models_pytorch have their own output stride, in both recipes. A given base_size takes the place of
    image_scale. Raises HyperparameterError for a decoder that is not offered.
    """
    algorithm = str(given.get("algorithm"))
    check_offered(algorithm)
    own = {"output_stride": usual_output_stride(algorithm)} if is_smp(algorithm) else {}
    if given.get("recipe", "best") != "best":
        return own | dict(given)
    defaults = dict(BEST_DEFAULTS) | own
    if own:
        del defaults["decoder_output_stride"]
    if given.get("optimizer", defaults["optimizer"]) != defaults["optimizer"]:
        defaults = {name: value for name, value in defaults.items() if name not in _OPTIMIZER_DEFAULTS}
    if "base_size" in given:
        del defaults["image_scale"]
    return defaults | dict(given)
