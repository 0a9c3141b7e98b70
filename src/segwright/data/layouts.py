"""Data folders as other tools write them: `train` and `valid` with images and masks, in any of the usual orders."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from segwright.data.file_words import folder_identity, folder_kind
from segwright.errors import DataError
from segwright.storage import list_folder

_SPLIT_OF: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class Layout(NamedTuple):
    """Which folder is which channel, and the same as a sentence."""

    channels: dict[str, Path]
    description: str


class SplitFolders(NamedTuple):
    """The folders of one split; `masks` is None where images and masks may lie side by side."""

    images: Path
    masks: Path | None


def find_layout(root: Path) -> Layout | None:
    """The folders of training and validation below a folder, or None; without validation, `test` is taken for it.

    `train` and `valid` may have images and masks side by side or in sub-folders, `images/train` or `train_images`.
    Raises DataError where several folders could be one channel.
    """
    slots = _find_slots(root)
    has_validation = any(split == "validation" for split, _ in slots)
    channels: dict[str, Path] = {}
    description = []
    for channel, split in (("train", "train"), ("validation", "validation" if has_validation else "test")):
        folders = _folders_of(slots, split)
        if folders is None:
            return None
        images, masks = folders
        channels |= {channel: images, f"{channel}_annotation": masks or images}
        where = f"with the masks in {masks}" if masks else "with images and masks side by side"
        description.append(f"{channel} is {images}{'' if masks else ','} {where}")
    tests = [folder for (split, _), some in slots.items() for folder in some if split == "test"]
    if has_validation and tests:
        description.append(f"{tests[0]} is not trained on")
    return Layout(channels, "; ".join(description))


def find_split(root: Path, split: str) -> SplitFolders | None:
    """The folders of `train`, `validation` or `test` below a folder, as `find_layout` finds them, or of images and
    masks that are not divided, whose split is an empty text. None where there are none. Raises DataError for several.
    """
    return _folders_of(_find_slots(root), split)


def undivided(root: Path) -> str:
    """A sentence where a folder has images and masks, but not by train and validation; else nothing."""
    slots = _find_slots(root)
    split = next((split for split in ("", "train") if slots[split, "mask"]), "")
    images, masks = slots[split, "image"] or slots[split, ""], slots[split, "mask"]
    if not images or not masks:
        return ""
    there = f" {images[0].name} and {masks[0].name} are there"
    if images[0].name == "JPEGImages":
        return f"{there}, as in Pascal VOC: `segwright import-data voc` reads them."
    return f"{there}, but not divided into train and validation: `segwright split` does that."


def _find_slots(root: Path) -> defaultdict[tuple[str, str], list[Path]]:
    """The folders below a folder by split, empty for undivided ones, and kind: image, mask, or empty if unnamed."""
    slots: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for top in list_folder(root)[1]:
        for folder in (top, *list_folder(top)[1]):
            path = folder.relative_to(root).as_posix()
            identity, kind = folder_identity(path), folder_kind(path)
            if identity in _SPLIT_OF:
                slots[_SPLIT_OF[identity], kind].append(folder)
            elif not identity and folder == top:
                slots["", kind].append(folder)
    return slots


def _folders_of(slots: Mapping[tuple[str, str], list[Path]], split: str) -> SplitFolders | None:
    kinds = {kind: slots.get((split, kind), []) for kind in ("image", "mask", "")}
    masks = _only(kinds["mask"], split, "masks")
    images = _only(kinds["image"], split, "images") or _only(kinds[""], split, "images")
    if images is None or (masks is None and kinds["image"]):
        return None
    return SplitFolders(images, masks)


def _only(folders: list[Path], split: str, what: str) -> Path | None:
    if len(folders) > 1:
        cure = "Give train, train_annotation, validation and validation_annotation a location each."
        which = ", ".join(map(str, folders))
        raise DataError(
            f"Several folders could hold the {what}{f' for {split}' if split else ''}: {which}. "
            f"{cure if split else 'Leave one of them there.'}"
        )
    return folders[0] if folders else None
