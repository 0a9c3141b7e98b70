"""Imports a data set of another tool: chooses the reader of its format, divides the pairs and writes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from itertools import islice
from pathlib import Path
from tarfile import is_tarfile
from typing import Any, Final, Literal, NamedTuple
from zipfile import is_zipfile

from segwright.data.unread import known_content
from segwright.errors import DataError, UserError
from segwright.importers.cityscapes import read_cityscapes
from segwright.importers.coco import read_coco
from segwright.importers.colours import read_colours
from segwright.importers.dataset import ImportedData
from segwright.importers.files import MARKER, files_below
from segwright.importers.geometry import Frame
from segwright.importers.ground_truth import read_ground_truth
from segwright.importers.label_studio import read_label_studio
from segwright.importers.labelme import read_labelme
from segwright.importers.rle_csv import RunOrder, read_rle_csv
from segwright.importers.split import SplitOptions, divide
from segwright.importers.voc import read_voc
from segwright.importers.write import write_channels
from segwright.importers.yolo import read_yolo
from segwright.storage import atomic_directory, check_writable_folder, open_blob, write_json

ImportFormat = Literal[
    "ground-truth", "voc", "coco", "labelme", "cityscapes", "colours", "yolo", "label-studio", "rle-csv"
]

_READERS: Final[dict[ImportFormat, Callable[..., ImportedData]]] = {
    "ground-truth": read_ground_truth,
    "voc": read_voc,
    "coco": read_coco,
    "labelme": read_labelme,
    "cityscapes": read_cityscapes,
    "colours": read_colours,
    "yolo": read_yolo,
    "label-studio": read_label_studio,
    "rle-csv": read_rle_csv,
}
"""Each takes the source, and by name those of the `FormatOptions` that its format has."""

_ENOUGH: Final = 3  # files that show which tool wrote the others


@dataclass(frozen=True)
class FormatOptions:
    """Options that single formats have."""

    attributes: Sequence[str] | None = None  # ground-truth: image, mask and perhaps metadata in the manifest
    images: Path | None = None  # all but colours: the folder of images, if they are not where the data set says
    masks: Path | None = None  # colours: the folder of masks
    colours: Path | None = None  # colours: the table of class colours
    class_names: Path | None = None  # labelme: the classes in their order
    rle_order: RunOrder | None = None  # rle-csv: which way runs of pixels go


class ImportSummary(NamedTuple):
    """The numbers of pairs in each split, what divided them, in words, and the classes."""

    train: int
    validation: int
    divided: str
    class_names: tuple[str, ...]


def import_data(
    kind: ImportFormat,
    source: str,
    output: Path,
    *,
    options: FormatOptions | None = None,
    split: SplitOptions | None = None,
    labelled: Frame | None = None,
    overwrite: bool = False,
) -> ImportSummary:
    """Write the data set at `source` to `output` as train, validation, their masks, a label map and class names.

    `labelled` says whether the labels of images with an EXIF orientation lie over the pixels as they are stored or as
    programs show them; left out, sizes and points decide. Raises UserError, DataError or LabelError with the location
    of what cannot be read, OutputExistsError when `output` exists and `overwrite` is False, or it holds anything but an
    earlier import.
    """
    given = {name: value for name, value in vars(options or FormatOptions()).items() if value is not None}
    _check_options(kind, given)
    check_writable_folder(output)
    with atomic_directory(output, overwrite, MARKER) as folder:
        data = _read(kind, source, given)
        division = divide(data, split or SplitOptions())
        train, validation = write_channels(folder, data, division, labelled)
        plain = source.encode(errors="backslashreplace").decode()  # file names need not be UTF-8, but JSON is
        write_json(folder / MARKER, {"format": kind, "source": plain, "pairs": [train, validation]})
    return ImportSummary(train, validation, division.how, data.class_names)


def _check_options(kind: ImportFormat, given: dict[str, object]) -> None:
    if kind not in _READERS:
        raise UserError(f"There is no format {kind}; there are {', '.join(_READERS)}.")
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, Path) and not value.exists():
            raise UserError(f"{flag} {value} does not exist.")
        if name not in signature(_READERS[kind]).parameters:
            owners = ", ".join(owner for owner, reader in _READERS.items() if name in signature(reader).parameters)
            raise UserError(f"The format {kind} takes no {flag}, which is for {owners}: leave it out.")
    _, *others = signature(_READERS[kind]).parameters.values()
    if any(option.default is Parameter.empty and option.name not in given for option in others):
        needed = " and ".join(f"--{option.name}" for option in others)
        raise UserError(f"The format {kind} needs {needed}.")


def _read(kind: ImportFormat, source: str, given: dict[str, Any]) -> ImportedData:
    if kind == "ground-truth":
        return read_ground_truth(source, **given)
    if source.startswith("s3://"):
        raise UserError(f"{source}: only manifests of ground-truth are read from S3; download the data set first.")
    path = Path(source)
    if not path.exists():
        raise UserError(f"{source} does not exist.")
    if path.is_file() and (is_zipfile(path) or is_tarfile(path)):
        raise UserError(f"{source} is an archive: unpack it, and give what it holds.")
    try:
        return _READERS[kind](path, **given)
    except DataError as error:
        blobs = [open_blob(path)] if path.is_file() else files_below(path, ".json", ".ndjson", ".xml").values()
        known = [(*known_content(blob.read()), blob.name) for blob in islice(blobs, _ENOUGH)]
        if any(found == kind for found, _, _ in known):
            raise
        hint = next((f" {name} {hint}" for _, hint, name in known if hint), "")
        raise DataError(f"{error}{hint}") from None
