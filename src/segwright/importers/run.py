"""From another tool's data set to channel folders: which format is read by what, and what it may be told.

Knows the formats by name. Refuses to know how any is read, divided and written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tarfile import is_tarfile
from typing import Final, Literal, get_args
from zipfile import is_zipfile

from segwright.errors import DataError, UserError
from segwright.importers.cityscapes import read_cityscapes
from segwright.importers.coco import read_coco
from segwright.importers.colours import read_colours
from segwright.importers.dataset import MARKER, Frame, ImportedData
from segwright.importers.ground_truth import read_ground_truth
from segwright.importers.label_studio import read_label_studio
from segwright.importers.labelme import read_labelme
from segwright.importers.other_tools import what_it_is
from segwright.importers.rle_csv import RunOrder, read_rle_csv
from segwright.importers.split import divide
from segwright.importers.voc import read_voc
from segwright.importers.write import write_channels
from segwright.importers.yolo import read_yolo
from segwright.storage import atomic_directory, check_writable_folder, write_json

ImportFormat = Literal[
    "ground-truth", "voc", "coco", "labelme", "cityscapes", "colours", "yolo", "label-studio", "rle-csv"
]

_TAKES: Final[dict[ImportFormat, tuple[str, ...]]] = {
    "ground-truth": ("attributes", "images"),
    "voc": ("images",),
    "coco": ("images",),
    "labelme": ("class_names", "images"),
    "cityscapes": ("images",),
    "colours": ("masks", "colours"),
    "yolo": ("images",),
    "label-studio": ("images", "masks"),
    "rle-csv": ("images", "rle_order"),
}
"""The options that each format takes; `colours` needs both of its own."""


@dataclass(frozen=True)
class FormatOptions:
    """What belongs to single formats only."""

    attributes: Sequence[str] | None = None
    """ground-truth: the names of image, mask and, if wanted, metadata in the manifest."""
    images: Path | None = None
    """The folder of images, for all formats but colours, where they do not lie where the data set says."""
    masks: Path | None = None
    """colours and label-studio: the folder of masks."""
    colours: Path | None = None
    """colours: the table of class colours."""
    class_names: Path | None = None
    """labelme: the classes in their order."""
    rle_order: RunOrder | None = None
    """rle-csv: which way runs of pixels go."""


@dataclass(frozen=True)
class ImportSummary:
    """What was written."""

    train: int
    """Pairs to train on."""
    validation: int
    """Pairs to validate with."""
    divided: str
    """What divided them, in words."""
    class_names: tuple[str, ...]


def import_data(
    kind: ImportFormat,
    source: str,
    output: Path,
    *,
    options: FormatOptions | None = None,
    validation: float | None = None,
    validation_list: Path | None = None,
    seed: int = 0,
    labelled: Frame | None = None,
    overwrite: bool = False,
) -> ImportSummary:
    """Write the data set at `source` to `output` as train, validation, their masks, a label map and class names.

    `validation` is the share of pairs to validate with, `validation_list` a file that names them; without both,
    the data set's own division counts, else 0.2 is drawn by `seed`. `labelled` says whether images that a camera noted
    as turned were labelled as they are stored or as programs show them; left out, sizes and points tell. Raises
    UserError, DataError or LabelError with the place of what cannot be read, OutputExistsError when `output` exists and
    is not to be overwritten, or holds anything but an earlier import.
    """
    options = options or FormatOptions()
    _check_other_options(kind, options)
    check_writable_folder(output)
    with atomic_directory(output, overwrite, MARKER) as folder:
        data = _read(kind, source, options)
        division = divide(data, validation, validation_list, seed)
        train, validating = write_channels(folder, data, division, labelled)
        summary = ImportSummary(train, validating, division.how, data.class_names)
        plain = source.encode(errors="backslashreplace").decode()  # file names need not be UTF-8, but JSON is
        write_json(folder / MARKER, {"format": kind, "source": plain, "pairs": [summary.train, summary.validation]})
    return summary


def _read(kind: ImportFormat, source: str, options: FormatOptions) -> ImportedData:
    if kind == "ground-truth":
        return read_ground_truth(source, options.attributes, options.images)
    path = _existing(source)
    try:
        return _read_local(kind, path, options)
    except DataError as error:
        raise DataError(f"{error}{what_it_is(path, kind)}") from None


def _read_local(kind: ImportFormat, path: Path, options: FormatOptions) -> ImportedData:
    match kind:
        case "voc":
            return read_voc(path, options.images)
        case "coco":
            return read_coco(path, options.images)
        case "labelme":
            return read_labelme(path, options.class_names, options.images)
        case "cityscapes":
            return read_cityscapes(path, options.images)
        case "colours":
            if options.masks is None or options.colours is None:
                raise UserError(
                    "The format colours needs --masks DIR, the colour masks, and --colours FILE, their table."
                )
            return read_colours(path, options.masks, options.colours)
        case "yolo":
            return read_yolo(path, options.images)
        case "label-studio":
            return read_label_studio(path, options.images, options.masks)
        case "rle-csv":
            return read_rle_csv(path, options.images, options.rle_order)
    raise AssertionError(f"{kind} is read elsewhere")


def _existing(source: str) -> Path:
    if source.startswith("s3://"):
        raise UserError(f"{source}: only manifests of ground-truth are read from S3; download the data set first.")
    path = Path(source)
    if not path.exists():
        raise UserError(f"{source} does not exist.")
    if path.is_file() and (is_zipfile(path) or is_tarfile(path)):
        raise UserError(f"{source} is an archive: unpack it, and give what it holds.")
    return path


def _check_other_options(kind: ImportFormat, options: FormatOptions) -> None:
    """Raise UserError for a format that is none, for options that it does not take, and for what is not there."""
    if kind not in _TAKES:
        raise UserError(f"There is no format {kind}; there are {', '.join(get_args(ImportFormat))}.")
    given = {name: value for name, value in vars(options).items() if value is not None}
    for name, value in given.items():
        if isinstance(value, Path) and not value.exists():
            raise UserError(f"--{name.replace('_', '-')} {value} does not exist.")
        if name not in _TAKES[kind]:
            owners = ", ".join(owner for owner, names in _TAKES.items() if name in names)
            raise UserError(
                f"The format {kind} takes no --{name.replace('_', '-')}, which is for {owners}: leave it out."
            )
