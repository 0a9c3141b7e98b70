"""The application, and the arguments that several commands take.

The flags of hyperparameters are made from their one definition. They carry plain strings, so that the command line and
a SageMaker job share one parser and one wording of errors.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import App, Group, Parameter
from pydantic.fields import FieldInfo

from segwright import __version__, precisions
from segwright.errors import UserError
from segwright.hyperparameter_help import allowed, plain_type, sections
from segwright.hyperparameters import Hyperparameters
from segwright.recipes import CHOSEN_IN_BEST

CHANNEL_GROUP: Final = Group("Channels", help="Channels that are not in DATA under SageMaker's names.", sort_key=2)
app = App(
    name="segwright",
    help="Train, evaluate and serve semantic segmentation models.",
    version=__version__,
    version_flags=["--version"],
    help_format="plaintext",
    group_parameters=Group("Options", sort_key=1),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

Switch = Annotated[bool, Parameter(negative=(), show_default=False)]
"""A flag without a value and without --no-."""
Data = Annotated[
    str | None,
    Parameter(
        help="A folder, here or s3://..., that holds train, train_annotation, validation, validation_annotation, or "
        "manifests (train.manifest, validation.manifest), or RecordIO files (train.rec, validation.rec)."
    ),
]
Bundle = Annotated[
    Path, Parameter(help="A trained model: the folder that train wrote, or one of SageMaker's original algorithm.")
]
ClassNames = Annotated[
    Path | None, Parameter(group=CHANNEL_GROUP, help="The names of the classes: text, a name a line, or a JSON list.")
]
Device = Annotated[
    Literal["cpu", "cuda", "mps"] | None, Parameter(help="The device; by default the best available one.")
]
Precision = Annotated[
    precisions.Precision,
    Parameter(
        name=("--precision", "--precision-dtype"),
        help="The number format: float32 is exact, float16 is for GPUs, int8 takes an export of the model; auto is the "
        "fastest that is proven for the model, and never slower than float32.",
    ),
]
Scale = Annotated[
    float | None,
    Parameter(
        help="The network sees images at so many times their size, 0.25 to 4; by default as chosen in the training.",
    ),
]
Tta = Annotated[
    Switch,
    Parameter(help="Test-time augmentation: predict mirror images too, and average. Takes twice as long."),
]
Strict = Annotated[
    Switch,
    Parameter(
        help="Refuse data with unpaired or unreadable files, or with pixel values that the label map does not name."
    ),
]
Overwrite = Annotated[Switch, Parameter(help="Replace what exists at the output.")]
Attributes = Annotated[
    str | None,
    Parameter(
        help="In manifests, the attributes of image, mask and, optionally, metadata: source-ref,label-ref. By "
        "default they are detected."
    ),
]


@Parameter(name="*", group=CHANNEL_GROUP)
@dataclass(frozen=True, kw_only=True)
class ChannelFlags:
    """Where the channels lie, each by its own flag."""

    train: str | None = None
    """Training images, or a manifest or RecordIO file with images and masks."""
    train_annotation: str | None = None
    """Masks of the training images."""
    validation: str | None = None
    """Validation images, or a file as for train."""
    validation_annotation: str | None = None
    """Masks of the validation images."""
    label_map: str | None = None
    """Which pixel value means which class: a file, or a folder of files."""
    attributes: Attributes = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Channels.locate`."""
        return {**vars(self), "attributes": split_list(self.attributes)}


def split_list(text: str | None) -> tuple[str, ...] | None:
    """The parts of a comma list, or None where there is none."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def split_pair(name: str, form: str, text: str) -> tuple[str, str]:
    """The two parts of the value NAME=VALUE of a flag. Raises UserError for a text that has not this form."""
    first, equals, second = text.rpartition("=")
    if not (first and equals and second):
        raise UserError(f"{name} is {text}; it takes {form}.", name=name, value=text)
    return first, second


_METAVARS: Final = {bool: "BOOL", int: "INT", float: "FLOAT", str: "NAME", Path: "FILE"}
_BOOLEANS: Final = [name for name, field in Hyperparameters.model_fields.items() if plain_type(field) is bool]
_BOOLEAN_VALUES: Final = ("true", "false", "yes", "no", "on", "off", "1", "0")


def _flag(group: Group, name: str, field: FieldInfo) -> Any:
    """The type of one flag: an optional string with its help, `meaning (values; default)`."""
    best, original = (getattr(Hyperparameters(recipe=recipe), name) for recipe in ("best", "sagemaker"))
    default = "" if best is None else f"; default {best}"
    if name in CHOSEN_IN_BEST:
        default = f"; chosen by data and device, in recipe sagemaker {original}"
    elif name != "recipe" and original != best:
        default += f", in recipe sagemaker {original}"
    text = f"{field.description} ({allowed(field)}{default})"
    metavar = _METAVARS.get(plain_type(field), "VALUE")
    return Annotated[str | None, Parameter(help=text, group=group, show_default=False, metavar=metavar)]


def _flags(names: Iterable[str]) -> Any:
    """A dataclass with a flag for each of some hyperparameters."""
    flags = [
        (name, _flag(group, name, field), dataclasses.field(default=None))
        for position, (title, fields) in enumerate(sections(Hyperparameters).items())
        for group in [Group(f"Hyperparameters: {title}", sort_key=10 + position)]
        for name, field in fields.items()
        if name in names
    ]
    # The module's name must be ours: cyclopts takes a class of the standard library for a plain value.
    return Parameter(name="*")(
        dataclasses.make_dataclass("Flags", flags, kw_only=True, frozen=True, namespace={"__module__": __name__})
    )


if TYPE_CHECKING:
    HyperparameterFlags = Any
    DataHyperparameterFlags = Any
else:
    HyperparameterFlags = _flags(Hyperparameters.model_fields)
    DataHyperparameterFlags = _flags(("num_classes", "base_size", "crop_size", "bands", "apply_exif_orientation"))


def read_flags(flags: HyperparameterFlags | None) -> Hyperparameters:
    """The hyperparameters given as flags. Raises HyperparameterError as `Hyperparameters.from_strings` does."""
    given = vars(flags) if flags else {}
    return Hyperparameters.from_strings({name: text for name, text in given.items() if text is not None})


def with_boolean_values(tokens: Sequence[str]) -> list[str]:
    """Give each boolean hyperparameter among command-line tokens its value: `--syncbn` is `--syncbn=True`,
    `--no-syncbn` is `--syncbn=False`, and `--syncbn false` is `--syncbn=false`.
    """
    given: list[str] = []
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*given, token, *rest]
        name = token.removeprefix("--").replace("-", "_") if token.startswith("--") else ""
        if name in _BOOLEANS:
            token += "=" + (rest.pop(0) if rest and rest[0].lower() in _BOOLEAN_VALUES else "True")
        elif name.removeprefix("no_") in _BOOLEANS:
            token = f"--{token[len('--no-') :]}=False"
        given.append(token)
    return given
