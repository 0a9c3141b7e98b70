"""Every hyperparameter, once: name, values, default and meaning.

From this one definition come the parsing of SageMaker's strings, the flags of the command line with their
help, the JSON schema and the tables in the documentation. The defaults that stand here are those of the recipe
`sagemaker`; the recipe `best` replaces some of them. This module refuses to know what any of them does: it never
imports torch, opens a data set or asks timm for a backbone.

Source: SageMaker's contract, section 3 (names, ranges and the documented defaults).
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict
from pydantic.functional_validators import ModelWrapValidatorHandler

from segwright.errors import HyperparameterError
from segwright.hyperparameter_words import describe, parse_epoch_list, parse_whole_number
from segwright.recipes import recipe_values

logger = logging.getLogger(__name__)


_RECIPE: Final[JsonDict] = {"section": "Recipe"}
_NETWORK: Final[JsonDict] = {"section": "Network"}
_DATA: Final[JsonDict] = {"section": "Data and augmentation"}
_TRAINING: Final[JsonDict] = {"section": "Training"}
_RATE: Final[JsonDict] = {"section": "Optimizer and learning rate"}
_STOPPING: Final[JsonDict] = {"section": "Early stopping"}

UNDERSCORED: Final = ("workers", "aux_loss", "aux_weight", "augmentation_type", "logging_frequency")
"""Fields that SageMaker writes with a leading underscore (contract section 3.2); both spellings will do."""

EpochList = Annotated[tuple[Annotated[int, Field(gt=0)], ...], BeforeValidator(parse_epoch_list)]
"""Epochs in ascending order; SageMaker's strings are comma lists with blanks, ``"10, 20"``."""


class Hyperparameters(BaseModel):
    """The settings of a training, checked: SageMaker's hyperparameters and a few of Segwright's own.

    Raises:
        HyperparameterError: at construction, with every unknown name and every bad value in one message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    recipe: Literal["best", "sagemaker"] = Field(
        default="best",
        description="The set of defaults: best is what evidence says, sagemaker is the original.",
        json_schema_extra=_RECIPE,
    )
    algorithm: Literal["fcn", "psp", "deeplab"] = Field(
        default="fcn",
        description="The decoder: FCN, PSPNet (psp) or DeepLabV3 (deeplab).",
        json_schema_extra=_NETWORK,
    )
    backbone: str = Field(
        default="resnet-50",
        min_length=1,
        description="The encoder: resnet-50, resnet-101, or the name of any timm model with feature maps.",
        json_schema_extra=_NETWORK,
    )
    use_pretrained_model: bool = Field(
        default=True,
        description="Start the backbone from weights pretrained on ImageNet.",
        json_schema_extra=_NETWORK,
    )
    backbone_weights: Path | None = Field(
        default=None,
        description="A local file with pretrained weights for the backbone; without it, timm downloads them.",
        json_schema_extra=_NETWORK,
    )
    num_classes: int | None = Field(
        default=None,
        ge=2,
        le=254,
        description="The number of classes, background included; left out, it comes from label map or masks.",
        json_schema_extra=_NETWORK,
    )
    output_stride: Annotated[Literal[8, 16, 32], BeforeValidator(parse_whole_number)] = Field(
        default=8,
        description="Input size over feature-map size: 8 is finest and slowest, 32 is coarsest and fastest.",
        json_schema_extra=_NETWORK,
    )
    decoder_output_stride: Annotated[Literal[1, 2, 4, 8] | None, BeforeValidator(parse_whole_number)] = Field(
        default=None,
        description="Refine the head's features with the backbone's finer ones down to this stride: 4 makes DeepLabV3 "
        "a DeepLabV3+, 1 draws the thinnest structures; left out, the original's head as it is.",
        json_schema_extra=_NETWORK,
    )
    aux_loss: bool = Field(
        default=True,
        description="Train an auxiliary head on the stage before the last as well.",
        json_schema_extra=_NETWORK,
    )
    aux_weight: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="The weight of the auxiliary head's loss.",
        json_schema_extra=_NETWORK,
    )
    base_size: int = Field(
        default=520,
        gt=16,
        description="Pixels of an image's longer side before the crop, multiplied by a random 0.5 to 2.0.",
        json_schema_extra=_DATA,
    )
    crop_size: int = Field(
        default=240,
        gt=16,
        description="Pixels of a side of the square training crop, rounded up to a multiple of 8.",
        json_schema_extra=_DATA,
    )
    bands: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Bands of the images; left out, 3 for ordinary pictures, else as many as the files have.",
        json_schema_extra=_DATA,
    )
    apply_exif_orientation: bool = Field(
        default=False,
        description="Turn pictures as their camera noted (EXIF), in training and in prediction alike.",
        json_schema_extra=_DATA,
    )
    padding: Literal["ignore", "class-0"] = Field(
        default="class-0",
        description="What a crop learns where it is larger than the picture: nothing, or class 0, as the original.",
        json_schema_extra=_DATA,
    )
    augmentation_type: Literal["default", "none"] = Field(
        default="default",
        description="default: random scale, crop, flip and blur; none: fixed scale and centred crop.",
        json_schema_extra=_DATA,
    )
    num_training_samples: int | None = Field(
        default=None,
        gt=0,
        description="Accepted for SageMaker's sake: samples are counted, and a difference is reported.",
        json_schema_extra=_DATA,
    )
    workers: int = Field(
        default=16,
        ge=0,
        description="Parallel loaders of training data, at most one for each processor core.",
        json_schema_extra=_DATA,
    )
    epochs: int = Field(
        default=10,
        gt=0,
        description="How often training visits every image.",
        json_schema_extra=_TRAINING,
    )
    mini_batch_size: int = Field(
        default=16,
        gt=0,
        description="Images in a training batch, over all devices together.",
        json_schema_extra=_TRAINING,
    )
    last_batch: Literal["keep", "rollover"] = Field(
        default="rollover",
        description="Images that do not fill a batch: keep makes a smaller batch of them, rollover begins the next "
        "epoch with them.",
        json_schema_extra=_TRAINING,
    )
    accumulation: int = Field(
        default=1,
        gt=0,
        description="Parts in which a device works off its share of a batch, to save memory.",
        json_schema_extra=_TRAINING,
    )
    validation_mini_batch_size: int = Field(
        default=16,
        gt=0,
        description="1 scores whole images at their own size; more scores crops of crop_size from their centres.",
        json_schema_extra=_TRAINING,
    )
    class_weights: Literal["none", "auto"] = Field(
        default="none",
        description="auto: a pixel counts by one over the square root of its class's share, so that rare and thin "
        "things are learnt; none: all pixels count alike.",
        json_schema_extra=_TRAINING,
    )
    precision_dtype: Literal["float32", "float16", "bfloat16", "auto"] = Field(
        default="float32",
        description="The number format of training and its validation; auto: the fastest that the device does well.",
        json_schema_extra=_TRAINING,
    )
    syncbn: bool = Field(
        default=False,
        description="Batch normalisation with statistics over all devices together.",
        json_schema_extra=_TRAINING,
    )
    logging_frequency: int = Field(
        default=20,
        gt=0,
        description="Batches from one progress line to the next.",
        json_schema_extra=_TRAINING,
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="All randomness derives from it: the same seed draws the same crops and weights.",
        json_schema_extra=_TRAINING,
    )
    optimizer: Literal["sgd", "nag", "adam", "adamw", "adagrad", "adadelta", "rmsprop"] = Field(
        default="sgd",
        description="The rule that updates the weights; nag is sgd with Nesterov momentum.",
        json_schema_extra=_RATE,
    )
    learning_rate: float = Field(
        default=0.001,
        gt=0,
        le=1,
        description="The learning rate at its highest.",
        json_schema_extra=_RATE,
    )
    head_rate_factor: float = Field(
        default=10.0,
        gt=0,
        le=100,
        description="How many times faster than the backbone the heads learn; without pretrained weights, 1 is better.",
        json_schema_extra=_RATE,
    )
    update_rule: Literal["mean", "gluoncv"] = Field(
        default="gluoncv",
        description="mean: the gradient of the mean loss; gluoncv: that divided by mini_batch_size once more, with "
        "the auxiliary head's at full weight, and momentum that holds the rate.",
        json_schema_extra=_RATE,
    )
    lr_scheduler: Literal["poly", "step", "cosine"] = Field(
        default="poly",
        description="How the learning rate falls over the training.",
        json_schema_extra=_RATE,
    )
    warmup: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="The share of all updates in which the learning rate grows evenly to its highest.",
        json_schema_extra=_RATE,
    )
    lr_scheduler_factor: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="With lr_scheduler step: what the learning rate is multiplied by at each listed epoch.",
        json_schema_extra=_RATE,
    )
    lr_scheduler_step: EpochList | None = Field(
        default=None,
        description="With lr_scheduler step, and required there: epochs at which the learning rate falls.",
        json_schema_extra=_RATE,
    )
    momentum: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Momentum of sgd and nag.",
        json_schema_extra=_RATE,
    )
    weight_decay: float = Field(
        default=0.0001,
        ge=0,
        lt=1,
        description="How strongly weights are drawn towards zero.",
        json_schema_extra=_RATE,
    )
    gamma1: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Decay of the mean squared gradient in rmsprop.",
        json_schema_extra=_RATE,
    )
    gamma2: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Accepted for SageMaker's sake: rmsprop uses it only in a variant that is not offered.",
        json_schema_extra=_RATE,
    )
    early_stopping: bool = Field(
        default=False,
        description="Stop when the validation mean IoU no longer improves.",
        json_schema_extra=_STOPPING,
    )
    early_stopping_min_epochs: int = Field(
        default=5,
        ge=0,
        description="Epochs that are trained in any case.",
        json_schema_extra=_STOPPING,
    )
    early_stopping_patience: int = Field(
        default=4,
        gt=0,
        description="Epochs without improvement after which training stops.",
        json_schema_extra=_STOPPING,
    )
    early_stopping_tolerance: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="A relative gain in mean IoU that is no larger than this counts as none.",
        json_schema_extra=_STOPPING,
    )

    @property
    def training_crop_size(self) -> int:
        """``crop_size`` rounded up to a multiple of 8, in pixels (contract section 3.1)."""
        return -(-self.crop_size // 8) * 8

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> Self:
        """Read hyperparameters as SageMaker writes them: names and values are strings.

        One pair of double quotes round a value is dropped, an empty value leaves an optional hyperparameter
        out, and names of SageMaker's and MXNet's own machinery are ignored, with a line in the log.

        Raises:
            HyperparameterError: unknown names, bad values or contradictions, all in one message.
        """
        values: dict[str, Any] = {}
        ignored: list[str] = []
        for given, text in strings.items():
            name = given[1:] if given.startswith("_") and given[1:] in UNDERSCORED else given
            if name.startswith(("_", "sagemaker_")):
                ignored.append(given)
            elif name in values:
                raise HyperparameterError(f"{name} is given twice, as {name} and as _{name}; give it once")
            elif (value := _unquoted(str(text))) or not cls._is_optional(name):
                values[name] = value
        if ignored:
            logger.info("Hyperparameters without a meaning here, ignored: %s", ", ".join(ignored))
        return cls.model_validate(values)

    @classmethod
    def _is_optional(cls, name: str) -> bool:
        return name in cls.model_fields and cls.model_fields[name].default is None

    @property
    def validation_crop_size(self) -> int | None:
        """Pixels of a side of the centre crops that validation scores; None where it scores whole images."""
        return self.training_crop_size if self.validation_mini_batch_size > 1 else None

    def changes(self) -> dict[str, Any]:
        """What differs from the defaults of the recipe, by name."""
        usual = type(self)(recipe=self.recipe)
        return {name: value for name, value in self if value != getattr(usual, name)}

    @model_validator(mode="before")
    @classmethod
    def _filled_from_the_recipe(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        recipe = data.get("recipe", cls.model_fields["recipe"].default)
        return {**recipe_values(recipe, data), **data}

    @model_validator(mode="after")
    def _check_contradictions(self) -> Self:
        if self.lr_scheduler == "step" and not self.lr_scheduler_step:
            raise ValueError("lr_scheduler is step, so lr_scheduler_step must list epochs, for example 10, 20")
        if self.backbone_weights is not None and not self.use_pretrained_model:
            raise ValueError(
                "backbone_weights gives pretrained weights but use_pretrained_model is False; leave one out"
            )
        return self

    # Defined last, so that it stands round all other checks.
    @model_validator(mode="wrap")
    @classmethod
    def _as_one_error(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(data)
        except ValidationError as error:
            raise HyperparameterError(describe(error, cls)) from None


def _unquoted(text: str) -> str:
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] == '"':
        return stripped[1:-1].strip()
    return stripped
