"""Data folders as other tools write them: `train` and `valid` with images and masks, in any of the usual orders."""

from collections import defaultdict
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


def find_layout(root: Path) -> Layout | None:
    """The folders of training and validation below a folder, or None; without validation, `test` is taken for it.

    `train` and `valid` may have images and masks side by side or in sub-folders, `images/train` or `train_images`.
    Raises DataError where several folders could be one channel.
    """
    slots: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for top in list_folder(root)[1]:
        for folder in (top, *list_folder(top)[1]):
            path = folder.relative_to(root).as_posix()
            if split := _SPLIT_OF.get(folder_identity(path)):
                slots[split, folder_kind(path)].append(folder)
    has_validation = any(split == "validation" for split, _ in slots)
    channels: dict[str, Path] = {}
    description = []
    for channel, split in (("train", "train"), ("validation", "validation" if has_validation else "test")):
        masks = _only(slots[split, "mask"], split, "masks")
        images = _only(slots[split, "image"], split, "images") or _only(slots[split, ""], split, "images")
        if images is None or (masks is None and slots[split, "image"]):
            return None
        channels |= {channel: images, f"{channel}_annotation": masks or images}
        where = f"with the masks in {masks}" if masks else "with images and masks side by side"
        description.append(f"{channel} is {images}{'' if masks else ','} {where}")
    tests = [folder for (split, _), some in slots.items() for folder in some if split == "test"]
    if has_validation and tests:
        description.append(f"{tests[0]} is not used")
    return Layout(channels, "; ".join(description))


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


def _only(folders: list[Path], split: str, what: str) -> Path | None:
    if len(folders) > 1:
        raise DataError(
            f"Several folders could hold the {what} for {split}: {', '.join(map(str, folders))}. Give train, "
            "train_annotation, validation and validation_annotation a location each."
        )
    return folders[0] if folders else None
