"""What the commands share: the application, and the arguments that several of them take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter, validators

from segwright import __version__
from segwright.storage import Cache

CHANNELS = Group(
    "Channels", help="Folders that do not lie in DATA under SageMaker's names, each by its path.", sort_key=2
)
OPTIONS = Group("Options", sort_key=1)

app = App(
    name="segwright",
    help="Semantic segmentation: from folders of images and masks to a trained model and its masks.",
    version=__version__,
    version_flags=["--version"],
    help_format="plaintext",
    group_parameters=OPTIONS,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

Data = Annotated[
    str | None,
    Parameter(
        help="A folder, here or s3://..., that holds train, train_annotation, validation, validation_annotation, or "
        "manifests (train.manifest, validation.manifest), or RecordIO files (train.rec, validation.rec)."
    ),
]
ClassNames = Annotated[
    Path | None,
    Parameter(group=CHANNELS, help="The names of the classes: text, a name a line, or a JSON list."),
]
_ATTRIBUTES = (
    "In manifests, the attributes of image, mask and, if there is one, metadata: source-ref,label-ref. Left out, they "
    "are worked out."
)
Attributes = Annotated[str | None, Parameter(help=_ATTRIBUTES)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ChannelFlags:
    """Where the channels lie, each by its own flag."""

    train: Annotated[
        str | None,
        Parameter(group=CHANNELS, help="Training images, or a manifest or RecordIO file with images and masks."),
    ] = None
    train_annotation: Annotated[str | None, Parameter(group=CHANNELS, help="Masks of the training images.")] = None
    validation: Annotated[str | None, Parameter(group=CHANNELS, help="Validation images, or a file as for train.")] = (
        None
    )
    validation_annotation: Annotated[str | None, Parameter(group=CHANNELS, help="Masks of the validation images.")] = (
        None
    )
    label_map: Annotated[
        str | None,
        Parameter(group=CHANNELS, help="Which pixel value means which class: a file, or a folder of them."),
    ] = None
    attributes: Annotated[str | None, Parameter(group=CHANNELS, help=_ATTRIBUTES)] = None

    def given(self) -> dict[str, Any]:
        """The arguments of `Channels.locate` that these flags make."""
        return {**vars(self), "attributes": split_list(self.attributes)}


InputModeFlag = Annotated[
    Literal["File", "Pipe"],
    Parameter(
        group=CHANNELS,
        help="Pipe reads the FIFOs DATA/train_0, DATA/train_1, ... as SageMaker and `segwright pipe` serve them.",
    ),
]
CacheFolder = Annotated[
    Path | None,
    Parameter(group=CHANNELS, help="A folder that keeps what was fetched from S3, for this and later trainings."),
]
CacheSize = Annotated[
    float,
    Parameter(group=CHANNELS, validator=validators.Number(gt=0), help="Gigabytes that --cache may hold."),
]
Device = Annotated[
    Literal["cpu", "cuda", "mps"] | None,
    Parameter(help="Where to compute; left out, the best that is there."),
]
PrecisionDtype = Annotated[
    Literal["float32", "float16", "bfloat16", "auto"],
    Parameter(help="The number format to compute in; auto takes the fastest that the device does well."),
]
Strict = Annotated[
    bool,
    Parameter(
        negative=(),
        show_default=False,
        help="Refuse data with unpaired or unreadable files, or with pixel values that the label map does not name.",
    ),
]
Overwrite = Annotated[bool, Parameter(negative=(), show_default=False, help="Replace what exists at the output.")]
Bundle = Annotated[
    Path, Parameter(help="A trained model: the folder that train wrote, or one of SageMaker's original algorithm.")
]


def open_cache(folder: Path | None, gigabytes: float) -> Cache | None:
    """The cache that the flags ask for. Raises UserError where it cannot be written."""
    if folder is None:
        return None
    cache = Cache(folder.resolve(), round(gigabytes * 1e9))
    cache.prepare()
    return cache


def split_list(text: str | None) -> tuple[str, ...] | None:
    """The parts of a comma list, or None where there is none."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())
