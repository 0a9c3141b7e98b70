"""Data folders as tools write them: `train` and `valid` with images and masks, in any of the usual orders.

Knows words for splits, images and masks in the names of folders. Refuses to look at files.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segwright.data.file_words import folder_identity, folder_kind
from segwright.errors import DataError
from segwright.storage import list_folder

_SPLITS: Final = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_SPLIT_OF: Final = {word: split for split, words in _SPLITS.items() for word in words}
_DEPTH: Final = 2

_Slots = Mapping[tuple[str, str], list[Path]]


@dataclass(frozen=True)
class Layout:
    """Which folder is which channel."""

    channels: Mapping[str, Path]
    told: str
    """The same as a sentence."""

    @property
    def side_by_side(self) -> list[Path]:
        """Folders that hold images and masks."""
        sides = [(self.channels[split], self.channels[f"{split}_annotation"]) for split in ("train", "validation")]
        return [images for images, masks in sides if images == masks]


def find_layout(root: Path) -> Layout | None:
    """The folders of training and validation below a folder, or None where they are not all there.

    Found are `train` and `valid` with images and masks side by side or in sub-folders, `images/train` and
    `masks/train`, and `train_images` and `train_masks`, with other usual words too. Without validation, `test` is taken
    for it. Raises DataError where several folders could be one channel.
    """
    slots: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for folder in _folders(root, _DEPTH):
        path = folder.relative_to(root).as_posix()
        if split := _SPLIT_OF.get(folder_identity(path)):
            slots[split, folder_kind(path)].append(folder)
    held_out = "validation" if any(split == "validation" for split, _ in slots) else "test"
    train, validation = _images_and_masks(slots, "train"), _images_and_masks(slots, held_out)
    if train is None or validation is None:
        return None
    channels = {
        "train": train[0],
        "train_annotation": train[1],
        "validation": validation[0],
        "validation_annotation": validation[1],
    }
    told = [_told(split, *found) for split, found in (("train", train), ("validation", validation))]
    unused = [str(folder) for (split, _), found in slots.items() for folder in found if split == "test" != held_out]
    return Layout(channels, "; ".join(told) + (f"; {unused[0]} is not used" if unused else ""))


def undivided(root: Path) -> str:
    """A sentence where a folder has images and masks, but not by train and validation; else nothing."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for folder in list_folder(root)[1]:
        if not folder_identity(folder.name):
            kinds[folder_kind(folder.name)].append(folder.name)
    if not kinds["image"] or not kinds["mask"]:
        return ""
    there = f" {kinds['image'][0]} and {kinds['mask'][0]} are there"
    if kinds["image"][0] == "JPEGImages":
        return f"{there}, as in Pascal VOC: `segwright import-data voc` reads them."
    return (
        f"{there}, but not divided into train and validation: move a part of both, such as a fifth, into the folders "
        "validation and validation_annotation, and call the others train and train_annotation."
    )


def _told(split: str, images: Path, masks: Path) -> str:
    if images == masks:
        return f"{split} is {images}, with images and masks side by side"
    return f"{split} is {images} with the masks in {masks}"


def _images_and_masks(slots: _Slots, split: str) -> tuple[Path, Path] | None:
    """The folders of a split, or None where one is missing."""
    masks, images = _only(slots, split, "mask"), _only(slots, split, "image") or _only(slots, split, "")
    if images is None:
        return None
    if masks is None:
        return None if slots.get((split, "image")) else (images, images)
    return images, masks


def _only(slots: _Slots, split: str, kind: str) -> Path | None:
    found = slots.get((split, kind), [])
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise DataError(
            f"Several folders could hold the {kind or 'image'}s for {split}: {listed}. Say which: --train DIR "
            "--train-annotation DIR --validation DIR --validation-annotation DIR"
        )
    return found[0] if found else None


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """The folders below another, to some depth."""
    for folder in list_folder(root)[1] if depth else []:
        yield folder
        yield from _folders(folder, depth - 1)
