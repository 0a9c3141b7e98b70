"""What a reader of a format returns: pairs that are read one at a time, and the classes in their masks."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright import labels
from segwright.data.channels import Split
from segwright.data.folders import CHANNELS
from segwright.errors import LabelError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.importers.drawing import Drawing
from segwright.importers.files import read_text
from segwright.importers.geometry import Frame, ImageGeometry
from segwright.storage import Blob

SPLIT_OF: Final[dict[str, Split]] = {
    "train": "train", "val": "validation", "validation": "validation", "valid": "validation",
}  # fmt: skip
"""The words for splits in VOC's lists and YOLO's data.yaml."""

BACKGROUND: Final = "background"
IGNORED: Final = "__ignore__"
_BACKGROUNDS: Final = (BACKGROUND, "_background_", "__background__")
_UNSAFE: Final = re.compile(r"^\.|(?<=^[A-Za-z]):|[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class ImportedPair:
    """An image and its mask, neither of which has been read yet."""

    name: str  # the image's path below its folder, with its suffix and forward slashes
    image: Blob  # copied as it is
    draw_mask: Callable[[ImageGeometry], Drawing]
    """Makes the mask. A DataError leaves the pair out, a MismatchError ends the import."""
    split: Split | None = None  # to which the data set itself assigns it
    frame: Callable[[ImageGeometry], Frame | None] = lambda _: None
    """The frame that the labels prove, asked where the image has an orientation; raises DataError."""

    @property
    def key(self) -> str:
        """The name without its suffix, made safe to write."""
        return safe_key(self.name)


@dataclass(frozen=True, eq=False)
class ImportedData:
    """A data set before its pairs are read."""

    pairs: tuple[ImportedPair, ...]
    class_names: tuple[str, ...]
    palette: NDArray[np.uint8] | None = None  # the colours of the classes, [C, 3], where the format has them
    divided_by: str | None = None  # what assigns the pairs to splits, in words
    frame: Frame = "stored"  # the usual one of the format's labels


class NumberedClasses(NamedTuple):
    """The classes of a data set whose unlabelled pixels are background, class 0; `numbers` by the data set's names."""

    names: tuple[str, ...]
    numbers: Mapping[str, int]


def after_background(names: Iterable[str], where: str) -> NumberedClasses:
    """Background, then the other names in their order; equal names are one class. Raises as `checked_names` does."""
    known = {BACKGROUND: 0}
    numbers = {name: known.setdefault(class_name(name), len(known)) for name in names}
    return NumberedClasses(checked_names(known, where), numbers)


def class_name(name: str) -> str:
    """The name without space around it, or `BACKGROUND` for one of the usual words for it."""
    return BACKGROUND if is_background(name) else name.strip()


def is_background(name: str) -> bool:
    """Whether a name is one of the usual words for background."""
    return name.strip().casefold() in _BACKGROUNDS


def checked_names(names: Iterable[str], where: str) -> tuple[str, ...]:
    """The class names; LabelError that begins with `where` for none, more than 254, and empty or repeated ones."""
    try:
        return labels.checked_names(list(names))
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from None


def read_class_names(file: Path) -> tuple[str, ...]:
    """The class names in a file but for `__ignore__`. Raises LabelError and DataError."""
    names = labels.parse_class_names(read_text(file), str(file))
    return checked_names([name for name in names if name != IGNORED], str(file))


def safe_key(name: str) -> str:
    """An image's path without suffix, changed to stay below the output, hide no file, and name no channel."""
    *folders, file = [part for part in re.split(r"[/\\]+", name) if part] or ["_"]
    parts = [*(f"{folder}_" if folder in CHANNELS else folder for folder in folders), without_suffix(file)]
    return "/".join(_UNSAFE.sub("_", part) for part in parts)


def without_suffix(name: str) -> str:
    """A name without the suffix of an image, if it has one."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix.lower()}" in IMAGE_SUFFIXES else name
