"""Every hyperparameter, defined once: name, values, default and meaning.

SageMaker's strings, the flags of the command line, the JSON schema and the tables in the documents are made from this
definition. The defaults of the fields are those of the recipe `sagemaker`; `recipes` replaces some of them.

Source: SageMaker's contract, section 3 (names, ranges and the documented defaults).
"""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from segwright.algorithms import Algorithm, check_decoder_stride
from segwright.errors import HyperparameterError
from segwright.hyperparameter_help import describe_errors
from segwright.hyperparameter_values import (
    EpochList,
    InferenceScale,
    Loss,
    ScaleRange,
    WeightList,
    parse_weights,
    parse_whole_number,
)
from segwright.recipes import BEST_DEFAULTS, with_defaults

logger = logging.getLogger(__name__)

UNDERSCORED: Final = ("workers", "aux_loss", "aux_weight", "augmentation_type", "logging_frequency")
"""Fields that SageMaker writes with a leading underscore (contract section 3.2); both spellings are read."""


def _field(section: str, default: Any, description: str, **bounds: Any) -> Any:
    return Field(default=default, description=description, json_schema_extra={"section": section}, **bounds)


_network = partial(_field, "Network")
_data = partial(_field, "Data and augmentation")
_training = partial(_field, "Training")
_optimizer = partial(_field, "Optimizer and learning rate")
_stopping = partial(_field, "Early stopping")


class Hyperparameters(BaseModel):
    """The settings of a training, checked: SageMaker's hyperparameters and a few of Segwright's own.

    Raises HyperparameterError at construction, with every unknown name and every bad value in one message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    recipe: Literal["best", "sagemaker"] = _field(
        "Recipe", "best", "The set of defaults: best, or sagemaker as in the original algorithm."
    )
    algorithm: Algorithm = _network(
        "fcn",
        "The decoder: FCN, PSPNet (psp), DeepLabV3 (deeplab), or smp: and the name of one of "
        "segmentation_models_pytorch.",
    )
    backbone: str = _network(
        "resnet-50",
        "The encoder: resnet-50, resnet-101, or the name of any timm model with feature maps.",
        min_length=1,
    )
    use_pretrained_model: bool = _network(True, "Start the backbone from weights pretrained on ImageNet.")
    backbone_weights: Path | None = _network(
        None, "A local file with pretrained weights for the backbone; without it, timm downloads them."
    )
    num_classes: int | None = _network(
        None, "The number of classes, including background; by default from the label map or masks.", ge=2, le=254
    )
    output_stride: Annotated[Literal[8, 16, 32], BeforeValidator(parse_whole_number)] = _network(
        8,
        "Input size over feature map size: 8 is finest and slowest, 32 is coarsest and fastest. With smp: decoders the "
        "default is 32, with smp:deeplabv3plus 16.",
    )
    decoder_output_stride: Annotated[Literal[1, 2, 4, 8] | None, BeforeValidator(parse_whole_number)] = _network(
        None,
        "Refine the head's features with finer ones of the backbone, down to this stride: 4 makes DeepLabV3 a "
        "DeepLabV3+, 1 draws the thinnest structures; none: no decoder, as in the original.",
    )
    aux_loss: bool = _network(True, "Train an auxiliary head on the stage before the last.")
    aux_weight: float = _network(0.5, "The weight of the auxiliary head's loss.", ge=0, le=1)
    base_size: int = _data(
        520,
        "Longer edge of an image before the crop, in pixels, times a factor of scale_range; in best only if given.",
        gt=16,
    )
    image_scale: float | None = _data(
        None,
        "Factor by which images are resized, in training and prediction alike, in place of base_size: sizes of "
        "objects stay comparable where images differ in size.",
        gt=0,
        le=8,
    )
    scale_range: ScaleRange = _data(
        (0.5, 2.0), "Factors between which the size of a training image is drawn, on top of base_size or image_scale."
    )
    crop_size: int = _data(240, "Edge of the square training crop in pixels, rounded up to a multiple of 8.", gt=16)
    bands: int | None = _data(
        None, "Bands of the images; by default 3 for ordinary images, else as many as the files have.", ge=1, le=64
    )
    apply_exif_orientation: bool = _data(False, "Apply the EXIF orientation of images, in training and prediction.")
    padding: Literal["ignore", "class-0"] = _data(
        "class-0", "Label of pixels where a crop is larger than its image: ignore, or class 0 as in the original."
    )
    augmentation_type: Literal["default", "none"] = _data(
        "default", "default: random crops as the following values say; none: fixed scale and centred crop."
    )
    flips: Literal["horizontal", "both", "none"] = _data(
        "horizontal", "Random mirroring: left to right, also top to bottom, or none where left and right are classes."
    )
    rotation: float = _data(0.0, "Largest angle of random rotations, in degrees; 180 for any.", ge=0, le=180)
    blur: float = _data(0.5, "Share of crops that are blurred, by up to one pixel.", ge=0, le=1)
    photometric: float = _data(
        0.0, "Strength of random contrast, brightness and saturation: 0 is none, 1 is strong.", ge=0, le=1
    )
    balanced_crops: float = _data(
        0.0,
        "Share of crops that show a pixel of a class drawn among those of the image, so that rare ones are seen.",
        ge=0,
        le=1,
    )
    repeats: int = _data(1, "How often an epoch takes each training image; small data sets need many crops.", gt=0)
    num_training_samples: int | None = _data(
        None, "Required in Pipe mode; otherwise samples are counted, and a difference is reported.", gt=0
    )
    workers: int = _data(16, "Processes that load training data, at most one per CPU core.", ge=0)
    epochs: int = _training(10, "Passes over the training images, each taken repeats times.", gt=0)
    minutes: float | None = _training(
        None,
        "In place of epochs: minutes from the beginning of the command, data check included, to the trained and "
        "validated model. The learning rate follows the share of time used.",
        gt=0,
    )
    mini_batch_size: int = _training(16, "Images per training batch, over all devices together.", gt=0)
    last_batch: Literal["keep", "rollover"] = _training(
        "rollover",
        "Images that do not fill a batch: keep makes a smaller batch, rollover begins the next epoch with them.",
    )
    accumulation: int = _training(1, "Parts into which a device splits its share of a batch, to save memory.", gt=0)
    validation_mini_batch_size: int = _training(
        16, "1 scores whole images at their own size; more scores crops of crop_size from their centres.", gt=0
    )
    loss: Loss = _training(
        "cross-entropy",
        "What training minimises: cross-entropy of all pixels, of hard pixels only (ohem) or mostly (focal); dice or "
        "lovasz, in which rare classes count like common ones; or a sum of two.",
    )
    inference_scale: InferenceScale | Literal["auto"] | None = _training(
        None,
        "Validation and prediction resize images by this factor for the network; auto: after the training, chosen on "
        "the validation images among a few; none: as in training. The trained model keeps it.",
    )
    validate_every: int | None = _training(
        1,
        "Epochs between validations; the last epoch always has one. none: chosen by speed, once, so that validations "
        "take at most a tenth of the time.",
        gt=0,
    )
    class_weights: Annotated[Literal["none", "auto"] | WeightList, BeforeValidator(parse_weights)] = _training(
        "none",
        "auto: weight a pixel by one over the square root of its class's share, so that rare and thin things are "
        "learnt; none: equal weights; or a list of weights. Not for loss dice and lovasz.",
    )
    precision_dtype: Literal["float32", "float16", "bfloat16", "auto"] = _training(
        "float32",
        "The number format of training and validation; auto: the fastest that the device does well.",
    )
    syncbn: bool = _training(False, "Compute batch normalisation over all devices together.")
    logging_frequency: int = _training(20, "Batches between progress lines.", gt=0)
    seed: int = _training(0, "Seed of all randomness: the same seed draws the same crops and weights.", ge=0, lt=2**32)
    optimizer: Literal["sgd", "nag", "adam", "adamw", "adagrad", "adadelta", "rmsprop"] = _optimizer(
        "sgd", "The rule that updates the weights; nag is sgd with Nesterov momentum."
    )
    learning_rate: float = _optimizer(0.001, "The peak learning rate.", gt=0, le=1)
    head_rate_factor: float = _optimizer(
        10.0,
        "Learning rate of the heads over that of the backbone; without pretrained weights, 1 is better.",
        gt=0,
        le=100,
    )
    update_rule: Literal["mean", "gluoncv"] = _optimizer(
        "gluoncv",
        "mean: the gradient of the mean loss; gluoncv: that divided by mini_batch_size once more, with the auxiliary "
        "head's at full weight, and momentum that includes the learning rate.",
    )
    lr_scheduler: Literal["poly", "step", "cosine"] = _optimizer("poly", "How the learning rate decays.")
    warmup: float = _optimizer(
        0.0, "Share of all updates over which the learning rate rises linearly to its peak.", ge=0, lt=1
    )
    lr_scheduler_factor: float = _optimizer(
        0.1, "With lr_scheduler step: factor of the learning rate at each listed epoch.", ge=0, le=1
    )
    lr_scheduler_step: EpochList | None = _optimizer(
        None, "With lr_scheduler step, required: epochs at which the learning rate falls."
    )
    momentum: float = _optimizer(0.9, "Momentum of sgd and nag.", ge=0, le=1)
    weight_decay: float = _optimizer(0.0001, "Weight decay, decoupled in adamw.", ge=0, lt=1)
    gamma1: float = _optimizer(0.9, "Decay of the mean squared gradient in rmsprop.", ge=0, le=1)
    gamma2: float = _optimizer(0.9, "Accepted for compatibility, without effect.", ge=0, le=1)
    early_stopping: bool = _stopping(False, "Stop when the validation mean IoU no longer improves.")
    early_stopping_min_epochs: int = _stopping(5, "Minimum number of epochs.", ge=0)
    early_stopping_patience: int = _stopping(4, "Validations without improvement before training stops.", gt=0)
    early_stopping_tolerance: float = _stopping(
        0.0, "A relative gain in mean IoU up to this counts as no improvement.", ge=0, le=1
    )

    @property
    def training_crop_size(self) -> int:
        """``crop_size`` rounded up to a multiple of 8, in pixels (contract section 3.1)."""
        return -(-self.crop_size // 8) * 8

    def long_side(self, height: int, width: int) -> int:
        """The long side that an image of so many pixels has in training, before a factor of `scale_range`."""
        if self.image_scale is None:
            return self.base_size
        return max(round(self.image_scale * max(height, width)), 1)

    @property
    def validation_crop_size(self) -> int | None:
        """Pixels of a side of the centre crops that validation scores; None where it scores whole images."""
        return self.training_crop_size if self.validation_mini_batch_size > 1 else None

    @property
    def loss_of_pixels(self) -> bool:
        """Whether ``loss`` is, at least in part, a mean over pixels, so that frequent classes dominate it."""
        return self.loss not in ("dice", "lovasz")

    @property
    def validation_scale(self) -> float:
        """The factor by which validation resizes images for the network, while it trains."""
        return self.inference_scale if isinstance(self.inference_scale, float) else self.image_scale or 1.0

    def changes(self) -> dict[str, Any]:
        """What differs from the defaults of the recipe, by name."""
        usual = type(self)(recipe=self.recipe)
        return {name: value for name, value in self if value != getattr(usual, name)}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> Self:
        """Read hyperparameters as SageMaker writes them: names and values are strings.

        One pair of double quotes round a value is dropped, an empty value leaves an optional hyperparameter out, and
        none gives it no value, whatever the recipe's default is. Names of SageMaker's and MXNet's own machinery are
        ignored, with a line in the log.

        Raises HyperparameterError for unknown names, bad values and contradictions, all in one message.
        """
        values: dict[str, Any] = {}
        ignored: list[str] = []
        for given, text in strings.items():
            name = given[1:] if given.startswith("_") and given[1:] in UNDERSCORED else given
            optional = name in cls.model_fields and type(None) in get_args(cls.model_fields[name].annotation)
            if name.startswith(("_", "sagemaker_")):
                ignored.append(given)
            elif name in values:
                raise HyperparameterError(f"{name} is given twice, as {name} and as _{name}; give it once", name=name)
            elif (value := _unquoted(str(text))) or not optional:
                values[name] = None if optional and value == "none" else value
        if ignored:
            logger.info("Hyperparameters without a meaning here, ignored: %s", ", ".join(ignored))
        return cls.model_validate(values)

    @model_validator(mode="before")
    @classmethod
    def _with_recipe_defaults(cls, given: Any) -> Any:
        """Fill in the recipe's defaults."""
        return with_defaults(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _check_contradictions(self) -> Self:
        if self.lr_scheduler == "step" and not self.lr_scheduler_step:
            raise ValueError("lr_scheduler is step, so lr_scheduler_step must list epochs, for example 10, 20")
        if self.image_scale is not None and self.base_size != type(self).model_fields["base_size"].default:
            raise ValueError("base_size and image_scale both say how images are resized; leave one out")
        usual_epochs = BEST_DEFAULTS["epochs"] if self.recipe == "best" else type(self).model_fields["epochs"].default
        if self.minutes is not None and self.epochs != usual_epochs:
            raise ValueError(f"epochs {self.epochs} and minutes {self.minutes:g} exclude each other: give one of them")
        if self.backbone_weights is not None and not self.use_pretrained_model:
            raise ValueError(
                "backbone_weights gives pretrained weights but use_pretrained_model is False; leave one out"
            )
        if self.update_rule == "gluoncv" and self.loss != "cross-entropy":
            raise ValueError(
                f"update_rule gluoncv knows only loss cross-entropy, not {self.loss}; set update_rule to mean, or "
                "leave loss out"
            )
        if self.class_weights != "none" and not self.loss_of_pixels:
            raise ValueError(
                f"class_weights has no effect with loss {self.loss}, in which all classes count alike; leave it out, "
                f"or set loss to cross-entropy+{self.loss}"
            )
        check_decoder_stride(self.algorithm, self.decoder_output_stride)
        return self

    # Defined last, so that it stands round all other checks.
    @model_validator(mode="wrap")
    @classmethod
    def _as_one_error(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            settings = validate(data)
            if isinstance(data, Mapping):
                settings.__pydantic_fields_set__ = set(data)  # without the recipe's defaults
            return settings
        except ValidationError as error:
            raise HyperparameterError(describe_errors(error, cls)) from None


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if len(text) >= 2 and text[0] == text[-1] == '"' else text
