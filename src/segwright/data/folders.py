"""Which files belong together: images and their masks in two folders.

Knows folder names, file names and the rules that pair them. Refuses to open a picture or a mask: a file is
judged here by its name alone.

Source: SageMaker's contract, section 1.2.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from segwright.data.pairs import Pair, Pairing
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.formats.masks import MASK_SUFFIXES
from segwright.storage import Blob, Cache, FileBlob, Place, S3Place, files_below

CHANNELS: Final = ("train", "train_annotation", "validation", "validation_annotation", "label_map", "model")
"""Names of SageMaker's input channels, which are the names of the folders as well."""

_logger = logging.getLogger("segwright")


def find_pairs(images: Place, masks: Place, kept_masks: Cache | None = None) -> Pairing:
    """Pair the images below one folder with the masks below another.

    Files pair by their path below the folder without the ending; what is left then pairs by file name alone,
    where that name occurs once on both sides. Names that begin with a dot are skipped, and so are sub-folders
    that bear the name of another channel. Raises DataError for a missing folder, for two files with the same
    key, and when nothing pairs.
    """
    image_files = _by_key(images, IMAGE_SUFFIXES)
    mask_files = _by_key(masks, MASK_SUFFIXES)
    found = [(key, image_files.pop(key), mask_files.pop(key)) for key in image_files.keys() & mask_files.keys()]
    for image_key, mask_key in _same_stem(image_files, mask_files):
        found.append((image_key, image_files.pop(image_key), mask_files.pop(mask_key)))
    if not found:
        raise DataError(_nothing_pairs(images, masks, len(image_files), len(mask_files)))
    return Pairing(
        pairs=tuple(Pair(key, image, mask, kept_masks) for key, image, mask in sorted(found, key=lambda one: one[0])),
        unpaired_images=tuple(sorted(blob.name for blob in image_files.values())),
        unpaired_masks=tuple(sorted(blob.name for blob in mask_files.values())),
    )


def list_images(paths: Sequence[Place]) -> list[tuple[str, Blob]]:
    """Images to predict: each file as given, and all images below each folder, as (relative stem, bytes).

    Folders are read as `find_pairs` reads them. Raises DataError for a path that does not exist, a folder
    without images, and two files that would share a relative stem.
    """
    found: dict[str, Blob] = {}
    for path in paths:
        for key, file in _images_at(path).items():
            if key in found:
                raise DataError(
                    f"{found[key].name} and {file.name} would both be called {key!r}: give them different outputs."
                )
            found[key] = file
    return list(found.items())


def _images_at(path: Place) -> dict[str, Blob]:
    """Images by relative stem: a file as given, whatever its ending, or all images below a folder."""
    if isinstance(path, Path) and path.is_file():
        return {path.stem: FileBlob(path)}
    found = _by_key(path, IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"{path} holds no images ({_listed(IMAGE_SUFFIXES)}).")
    return found


def _by_key(folder: Place, suffixes: tuple[str, ...]) -> dict[str, Blob]:
    """Files below a folder that have one of the endings, by relative path without ending."""
    found: dict[str, Blob] = {}
    foreign = _Foreign(folder)
    for path, blob in files_below(folder, foreign):
        if path.suffix.lower() not in suffixes:
            continue
        key = path.with_suffix("").as_posix()
        if key in found:
            raise DataError(f"{found[key].name} and {blob.name} differ only in their ending: keep the one that counts.")
        found[key] = blob
    foreign.tell()
    return found


class _Foreign:
    """Tells sub-folders that are another channel, and not part of this one, and remembers which there were.

    S3 prefixes are plain string prefixes, so that the channel `train` may hold a sub-folder `train_annotation`. In a
    folder that is no channel itself, `train` and `validation` are ordinary splits of ordinary images, and only
    folders of masks are foreign.
    """

    def __init__(self, root: Place) -> None:
        self.root = root
        self.own = root.name if isinstance(root, S3Place) else root.resolve().name
        self.found: list[str] = []

    def __call__(self, folder: PurePosixPath) -> bool:
        if self.own in CHANNELS:
            foreign = folder.name in CHANNELS and folder.name != self.own
        else:
            foreign = folder.name.endswith("_annotation")
        if foreign:
            self.found.append(f"{self.root}/{folder}")
        return foreign

    def tell(self) -> None:
        """Say in one warning what was left out."""
        if self.found:
            _logger.warning(
                "%s %s left out, because of another channel's name.",
                _listed(self.found),
                "is" if len(self.found) == 1 else "are",
            )


def _same_stem(images: dict[str, Blob], masks: dict[str, Blob]) -> list[tuple[str, str]]:
    """Keys of images and masks with the same file name, where it is unique on either side."""
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for key in masks:
        by_stem[PurePath(key).name].append(key)
    stems = Counter(PurePath(key).name for key in images)
    return [
        (key, by_stem[stem][0])
        for key in images
        if stems[stem := PurePath(key).name] == 1 and len(by_stem.get(stem, ())) == 1
    ]


def _nothing_pairs(images: Place, masks: Place, image_count: int, mask_count: int) -> str:
    """Why two folders gave no pair, and what to do."""
    if not image_count:
        return f"{images} holds no images ({_listed(IMAGE_SUFFIXES)})."
    if not mask_count and _by_key(masks, IMAGE_SUFFIXES):
        return (
            f"{masks} holds no masks but JPEG or WebP files, whose compression changes class numbers: "
            "save masks as PNG."
        )
    if not mask_count:
        return f"{masks} holds no masks ({_listed(MASK_SUFFIXES)})."
    return (
        f"None of the {image_count} images in {images} has a mask in {masks}, which holds {mask_count}: "
        "a mask has the name of its image, as in street/01.jpg and street/01.png."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
