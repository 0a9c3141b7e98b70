"""What every importer hands over: pairs that are read one at a time, and the classes that their masks hold.

Knows which names are safe to write, and what a mask has to fit. Refuses to know any format, and where the
pairs go.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from segwright import labels
from segwright.data.channels import Split
from segwright.data.folders import CHANNELS
from segwright.errors import DataError, LabelError
from segwright.formats.exif import transposed_size, turned
from segwright.formats.images import IMAGE_SUFFIXES, image_size
from segwright.storage import Blob, open_blob

Frame = Literal["stored", "shown"]
"""Over which pixels the labels of an image lie: those in the file, or those that programs show which obey EXIF."""

_TOLERANCE: Final = 1.0  # pixels by which points may lie beyond a picture that they were drawn on
_UNSAFE: Final = re.compile(r"^\.|(?<=^[A-Za-z]):|[\x00-\x1f\x7f\ud800-\udfff]")

MARKER: Final = "import.json"
"""Says what a folder was imported from, and marks it as one that may be replaced."""


@dataclass(frozen=True)
class Canvas:
    """What a mask has to fit: an image as its pixels are stored, in pixels, the rotation that a camera noted
    (EXIF, 1 to 8), and over which of the two the labels lie.
    """

    height: int
    width: int
    orientation: int = 1
    frame: Frame = "stored"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as stored."""
        return self.height, self.width

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) as programs show it that obey the rotation."""
        return transposed_size(self.height, self.width, self.orientation)

    @property
    def labelled_size(self) -> tuple[int, int]:
        """(height, width) of the pixels over which the labels lie: what a mask that is drawn has to have."""
        return self.upright_size if self.frame == "shown" else self.size

    def frame_of_size(self, size: tuple[int, ...]) -> Frame | None:
        """What a size (height, width) that belongs to the labels tells of their frame, where the two sizes differ."""
        if self.size == self.upright_size:
            return None
        return "stored" if size == self.size else "shown" if size == self.upright_size else None

    def frame_of_points(self, right: float, bottom: float) -> Frame | None:
        """What the largest x and y of all labels tell of their frame: that in which they lie, if it is one only."""
        inside = [
            bottom <= height + _TOLERANCE and right <= width + _TOLERANCE
            for height, width in (self.size, self.upright_size)
        ]
        return "stored" if inside == [True, False] else "shown" if inside == [False, True] else None

    def turned_back(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A mask of the upright image, as it lies over the stored pixels."""
        back = {6: 8, 8: 6}.get(self.orientation, self.orientation)  # the others undo themselves
        return turned(mask[..., None], back)[..., 0]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One mask, and what had to be done to it."""

    mask: NDArray[np.uint8]
    """Class indices, [H, W] as the canvas's `labelled_size`; 255 = ignore."""
    remarks: Mapping[str, int] = field(default_factory=dict)
    """What happened and how often; the same words in several masks become one warning."""
    shapes: int | None = None
    """How many shapes were drawn; None where masks are no drawings."""


@dataclass(frozen=True, eq=False)
class ImportedPair:
    """An image and its mask, neither of which has been read yet."""

    name: str
    """The image's path below its folder, with its ending and forward slashes."""
    image: Blob
    """Its bytes, which are copied as they are."""
    draw_mask: Callable[[Canvas], Drawn]
    """Makes the mask. A DataError leaves the pair out, a MismatchError ends the import."""
    split: Split | None = None
    """The side on which the data set itself puts it."""
    frame: Callable[[Canvas], Frame | None] = lambda _: None
    """What the labels tell of their frame, asked where the image is noted as turned; raises DataError."""

    @property
    def key(self) -> str:
        """The name without its ending, made safe to write."""
        return safe_key(self.name)


@dataclass(frozen=True, eq=False)
class ImportedData:
    """A data set in another tool's format, as far as it is known before its pairs are read."""

    pairs: tuple[ImportedPair, ...]
    class_names: tuple[str, ...]
    palette: NDArray[np.uint8] | None = None
    """The colours of the classes, uint8 [C, 3], where the format has them."""
    divided_by: str | None = None
    """What divides the pairs into train and validation; None where nothing does."""
    frame: Frame = "stored"
    """The frame of labels where no image's labels tell it."""


class MismatchError(DataError):
    """Labels that contradict their image or the classes: all of the data set may be meant otherwise, so that the
    import ends.
    """


def safe_key(name: str) -> str:
    """The key of an image: its path without the ending, such that nothing in it leads out of the output, hides a
    file, or makes a sub-folder look like another channel. Slashes of both kinds separate, as tools on Windows write.
    """
    *folders, file = [part for part in re.split(r"[/\\]+", name) if part] or ["_"]
    parts = [*(f"{folder}_" if folder in CHANNELS else folder for folder in folders), without_ending(file)]
    return "/".join(_UNSAFE.sub("_", part) for part in parts)


def without_ending(name: str) -> str:
    """A name without the ending of an image, if it has one."""
    stem, _, ending = name.rpartition(".")
    return stem if stem and f".{ending.lower()}" in IMAGE_SUFFIXES else name


def checked_names(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Class names that may be written. Raises LabelError that says where they come from, for none or more than 254,
    for an empty name and for one that occurs twice.
    """
    try:
        return labels.checked_names(list(names))
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from None


def is_there(path: Path) -> bool:
    """Whether a file lies there; a name that no file can have is not there."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_trace(path: PurePath) -> bool:
    """Whether a path leads to what is hidden, or to what a Mac adds to archives."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def read_text(path: Path) -> str:
    """The text of a file, UTF-8 or what its byte order mark says. Raises DataError where it cannot be read."""
    data = open_blob(path).read()
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        raise DataError(f"{path} cannot be read: it is not UTF-8 text.") from None


def mask_frame(mask: Blob, canvas: Canvas) -> Frame | None:
    """What the size of a mask that is a picture tells of its frame; raises DataError."""
    return canvas.frame_of_size(image_size(mask.read(), mask.name))


def check_same_size(size: tuple[int, ...], canvas: Canvas, what: str) -> None:
    """Raise MismatchError when what belongs to an image is of another size (height, width) than the pixels over which
    its labels lie.
    """
    if size == canvas.labelled_size:
        return
    cure = " Give both the same size, or remove the pair."
    if size == canvas.labelled_size[::-1]:
        cure = " Width and height are exchanged in one of the two: correct it."
    height, width = canvas.labelled_size
    raise MismatchError(f"{what} is of {size[1]}x{size[0]} pixels, but its image is of {width}x{height}.{cure}")
