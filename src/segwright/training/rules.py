"""The rules by which the recipe `best` configures itself: each chooses hyperparameters that were not given, by what the
data check has measured and by the device, and says why.

They are reasons over statistics, never over a data set's name; benchmarks/README.md has the figures behind them.
Source of the idea: Isensee et al., "nnU-Net: a self-configuring method", 2021.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from segwright.algorithms import is_smp
from segwright.checks.label_directions import ENOUGH_IMAGES
from segwright.checks.label_statistics import LabelStatistics
from segwright.hyperparameters import Hyperparameters
from segwright.networks import LIKELY_BACKBONES, fitting_backbone
from segwright.wording import counted, listed

logger = logging.getLogger(__name__)

_CPU_BACKBONE: Final = "tf_efficientnet_lite0"
_GPU_BACKBONE: Final = "resnet-50"

_CPU_CROP: Final = 256
_GPU_CROP: Final = 512
_CROP_MULTIPLE: Final = 32  # the coarsest stride of backbones
_CPU_LONG_SIDE: Final = 1024  # to which larger images are reduced where nothing in them is thin
_GPU_LONG_SIDE: Final = 2048
_LEAST_WIDTH: Final = 8.0  # that a reduction leaves to the thinnest class, in pixels
_THREAD: Final = 6.0  # pixels; where half of the classes are no wider, the decoder works at stride 1, at twice the cost
_THIN: Final = 12.0  # pixels; where one is no wider, at stride 2
_CPU_UPDATES: Final = 3_000
_GPU_UPDATES: Final = 10_000
_PASSES: Final = 10  # over large data sets
_EPOCH_UPDATES: Final = 50  # at least: validating costs time
_NEAR_AND_FAR: Final = (0.5, 2.0, "scenes show things near and far")
_FIXED_DISTANCE: Final = (0.7, 1.4, "no perspective")
_LEAST_REDUCTION: Final = 0.8  # smallest scale of images that are hardly larger than the crop
_UNEVEN: Final = 0.5  # of an even share of the pixels
_COLOUR_TELLS: Final = 0.9  # of the pixels of a class


@dataclass(frozen=True)
class Choice:
    """A value that a rule gives a hyperparameter."""

    name: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Circumstances:
    """What rules look at."""

    device: str  # cpu, cuda, mps
    images: int  # to train on
    class_names: Sequence[str]
    labels: LabelStatistics
    starts_from_model: bool = False


Reasons = dict[str, str]
"""Why a hyperparameter was chosen, by its name."""


def apply_choices(settings: Hyperparameters, choices: Iterable[Choice], reasons: Reasons) -> Hyperparameters:
    """Settings with what rules choose, a log line each, with `reasons` added; what was given stays as it is."""
    for choice in choices:
        if choice.name not in settings.model_fields_set:
            value = " to ".join(f"{one:g}" for one in choice.value) if isinstance(choice.value, tuple) else choice.value
            shown = f"{value:g}" if isinstance(value, float) else value
            logger.info(f"  {choice.name} {shown}: {choice.reason}")
            settings = settings.model_copy(update={choice.name: choice.value})
            reasons[choice.name] = choice.reason
    return settings


def choose_backbone(settings: Hyperparameters, device: str) -> Iterator[Choice]:
    """The backbone that a file of weights fits, or else the one for a device.

    Raises UserError for a file of weights that cannot be read.
    """
    weights = settings.backbone_weights
    if weights and "backbone" not in settings.model_fields_set:
        fitting = fitting_backbone(weights, LIKELY_BACKBONES)
        if fitting is not None:
            yield Choice("backbone", fitting, f"{weights.name} holds its weights")
            return
    if device == "cpu":
        yield Choice("backbone", _CPU_BACKBONE, "on a CPU it trains about ten times as fast as resnet-50")
    else:
        yield Choice("backbone", _GPU_BACKBONE, f"the device is {device}")


def choose_settings(settings: Hyperparameters, seen: Circumstances, reasons: Reasons) -> Hyperparameters:
    """Apply all rules in turn, with `reasons` added; later ones see what earlier ones chose."""
    for rule in (_resolution, _decoder, _crop, _optimizer, _scales, _orientation, _light, _rare_classes, _length):
        settings = apply_choices(settings, list(rule(settings, seen)), reasons)
    return settings


def _reduction(settings: Hyperparameters, seen: Circumstances) -> float:
    """Size of a typical image in training over its own, before a factor of `scale_range`."""
    return settings.image_scale or settings.base_size / seen.labels.long_side


def _thinnest(seen: Circumstances) -> tuple[float, str]:
    """The typical width of the thinnest class, in pixels of full-size images, and its name."""
    widths = zip(seen.labels.widths, seen.class_names, strict=True)
    known = [(width, name) for width, name in widths if width is not None]
    return min(known) if known else (seen.labels.long_side, "everything")


def _resolution(settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    """Large images are reduced as far as nothing becomes too thin."""
    if settings.image_scale is None:
        return
    long_side, (width, name) = seen.labels.long_side, _thinnest(seen)
    most = _CPU_LONG_SIDE if seen.device == "cpu" else _GPU_LONG_SIDE
    images = f"a typical image is {seen.labels.short_side:.0f} x {long_side:.0f} pixels"
    scale = max(most / long_side, _LEAST_WIDTH / width)
    if scale >= 0.9:
        reason = f"{images}, {name} typically {width:.0f} wide" if long_side > most else images
        yield Choice("image_scale", 1.0, reason)
    else:
        yield Choice("image_scale", round(scale, 2), f"{images}, and even {name} is typically {width:.0f} wide")


def _decoder(settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    if is_smp(settings.algorithm):
        return
    if seen.device == "cpu" and settings.decoder_output_stride is not None:
        yield Choice("output_stride", 32, "on a CPU 16 takes half as long again, and the decoder refines it anyway")
    factor = _reduction(settings, seen)
    background = max(seen.labels.shares)
    others = [
        (width * factor, name)
        for share, width, name in zip(seen.labels.shares, seen.labels.widths, seen.class_names, strict=True)
        if width is not None and share < background
    ] or [(factor * seen.labels.long_side, "everything")]
    thin = [name for width, name in others if width <= _THREAD]
    width, thinnest = min(others)
    if 2 * len(thin) >= len(others):
        yield Choice("decoder_output_stride", 1, f"{listed(thin, 3)}: typically at most {_THREAD:g} pixels wide")
    else:
        stride = 2 if width <= _THIN else 4
        yield Choice("decoder_output_stride", stride, f"{thinnest} is typically {width:.1f} pixels wide in training")


def _crop(settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    usual = _CPU_CROP if seen.device == "cpu" else _GPU_CROP
    long_side = settings.long_side(round(seen.labels.short_side), round(seen.labels.long_side))
    whole = -(-long_side // _CROP_MULTIPLE) * _CROP_MULTIPLE
    if whole <= usual:
        yield Choice("crop_size", max(whole, _CROP_MULTIPLE), f"that holds a typical image, {long_side} pixels long")
    else:
        yield Choice("crop_size", usual, f"the device is {seen.device}")


def _optimizer(settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    if not settings.use_pretrained_model and not seen.starts_from_model:
        yield Choice("head_rate_factor", 1.0, "the backbone starts from random numbers too")
    yield Choice("mini_batch_size", 8 if seen.device == "cpu" else 16, f"the device is {seen.device}")


def _scales(settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    """Sizes vary more where things are near and far; an image does not become much smaller than the crop."""
    smallest, largest, reason = _NEAR_AND_FAR if seen.labels.has_up else _FIXED_DISTANCE
    if seen.labels.images < ENOUGH_IMAGES:
        reason = "sizes may vary"
    short_side = seen.labels.short_side * _reduction(settings, seen)
    filled = round(min(settings.training_crop_size / short_side, _LEAST_REDUCTION), 2)
    yield Choice("scale_range", (max(smallest, filled), largest), f"{reason} ({seen.labels.up_reason})")


def _orientation(_settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    labels = seen.labels
    if labels.has_left:
        yield Choice("flips", "none", labels.left_reason)
    elif not labels.has_up:
        yield Choice("flips", "both", labels.up_reason)
    if not (labels.has_up or labels.has_left or labels.has_direction):
        yield Choice("rotation", 180.0, labels.direction_reason)


def _light(_settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    tells = seen.labels.colour_accuracy
    if tells is not None and tells >= _COLOUR_TELLS:
        yield Choice("photometric", 0.0, f"colour alone tells {tells:.0%} of the pixels")
    else:
        yield Choice("photometric", 0.5, "light differs from image to image")
    yield Choice("blur", 0.0, "blurred crops lose fine things")


def _rare_classes(settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    if not settings.loss_of_pixels:
        return
    shares = zip(seen.labels.shares, seen.class_names, strict=True)
    share, name = min([(share, name) for share, name in shares if share] or [(1.0, "")])
    if share < _UNEVEN / len(seen.class_names):
        yield Choice("class_weights", "auto", f"{name} has only {100 * share:.2g} % of the pixels")


def _length(settings: Hyperparameters, seen: Circumstances) -> Iterator[Choice]:
    """How many epochs there are, unless time decides, and how often each takes an image; `epochs` that were given are
    plain passes.
    """
    if "epochs" in settings.model_fields_set:
        return
    repeats = settings.repeats
    if "repeats" not in settings.model_fields_set:
        repeats = -(-_EPOCH_UPDATES * settings.mini_batch_size // seen.images)
        yield Choice("repeats", repeats, f"an epoch has at least {_EPOCH_UPDATES} updates")
    if settings.minutes is not None:
        return
    updates = -(-seen.images * repeats // settings.mini_batch_size)
    least = _CPU_UPDATES if seen.device == "cpu" else _GPU_UPDATES
    epochs = max(-(-least // updates), -(-_PASSES // repeats))
    yield Choice("epochs", epochs, f"{counted(epochs * updates, 'update')} in all")
