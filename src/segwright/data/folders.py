"""Which files belong together: channels, images and their masks.

Knows folder names, file names and the rules that pair them. Refuses to open a picture or a mask: a file is
judged here by its name alone.

Source: SageMaker's contract, sections 1.1 and 1.2.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePath
from typing import Final

from segwright.errors import DataError, LabelError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.formats.masks import MASK_SUFFIXES
from segwright.labels import LabelMap

CHANNELS: Final = ("train", "train_annotation", "validation", "validation_annotation", "label_map", "model")
"""Names of SageMaker's input channels, which are the names of the folders as well."""

_PICTURE_CHANNELS: Final = CHANNELS[:4]
_LABEL_FILES: Final = ("train_label_map", "validation_label_map", "class_names")
_LABEL_SUFFIXES: Final = (".json", ".txt")

_logger = logging.getLogger("segwright")


@dataclass(frozen=True)
class Pair:
    """An image and its mask; `key` is the image's path below its folder, without ending, with forward
    slashes.
    """

    key: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Pairing:
    """What two folders hold: the pairs, sorted by key, and what found no partner."""

    pairs: tuple[Pair, ...]
    unpaired_images: tuple[Path, ...] = ()
    unpaired_masks: tuple[Path, ...] = ()


def find_pairs(images: Path, masks: Path) -> Pairing:
    """Pair the images below one folder with the masks below another.

    Files pair by their path below the folder without the ending; what is left then pairs by file name alone,
    where that name occurs once on both sides. Names that begin with a dot are skipped, and so are sub-folders
    that bear the name of another channel. Raises DataError for a missing folder, for two files with the same
    key, and when nothing pairs.
    """
    image_files = _by_key(images, IMAGE_SUFFIXES)
    mask_files = _by_key(masks, MASK_SUFFIXES)
    pairs = [Pair(key, image_files.pop(key), mask_files.pop(key)) for key in image_files.keys() & mask_files.keys()]
    for image_key, mask_key in _same_stem(image_files, mask_files):
        pairs.append(Pair(image_key, image_files.pop(image_key), mask_files.pop(mask_key)))
    if not pairs:
        raise DataError(_nothing_pairs(images, masks, len(image_files), len(mask_files)))
    return Pairing(
        pairs=tuple(sorted(pairs, key=lambda pair: pair.key)),
        unpaired_images=tuple(sorted(image_files.values())),
        unpaired_masks=tuple(sorted(mask_files.values())),
    )


def list_images(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Images to predict: each file as given, and all images below each folder, as (relative stem, path).

    Folders are read as `find_pairs` reads them. Raises DataError for a path that does not exist, a folder
    without images, and two files that would share a relative stem.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for key, file in _images_at(path).items():
            if key in found:
                raise DataError(f"{found[key]} and {file} would both be called {key!r}: give them different outputs.")
            found[key] = file
    return list(found.items())


@dataclass(frozen=True)
class Channels:
    """Where the inputs of a training job lie; `label_map` is a folder, a single file, or None."""

    train: Path
    train_annotation: Path
    validation: Path
    validation_annotation: Path
    label_map: Path | None = field(default=None)

    @classmethod
    def locate(cls, data: Path | str | None, **given: Path | None) -> "Channels":
        """Take each channel from where it was given, else from the folder of its name below `data`.

        Raises DataError that names every channel that is missing and the option that can point to it.
        """
        data = None if data is None else Path(data)
        if data is not None and not data.is_dir():
            raise DataError(f"{data} is not a folder. It should hold the folders {', '.join(_PICTURE_CHANNELS)}.")
        if unknown := given.keys() - {entry.name for entry in fields(cls)}:
            raise TypeError(f"not a channel: {', '.join(sorted(unknown))}")
        found = {name: path for name, path in given.items() if path is not None}
        for name in (*_PICTURE_CHANNELS, "label_map"):
            if name not in found and data is not None and (name != "label_map" or (data / name).exists()):
                found[name] = data / name
        _refuse_missing(found, data)
        channels = cls(**found)
        channels._report_strange_label_files()
        return channels

    def train_label_map(self) -> LabelMap | None:
        """The label map of the training masks, or None where there is none."""
        path = self._label_file("train_label_map")
        return None if path is None else LabelMap.read(path)

    def validation_label_map(self) -> LabelMap | None:
        """The label map of the validation masks: their own, else the one of the training masks, else None."""
        path = self._label_file("validation_label_map") or self._label_file("train_label_map")
        return None if path is None else LabelMap.read(path)

    def class_names_file(self) -> Path | None:
        """`class_names.json` or `class_names.txt` beside the label maps, or None."""
        return self._label_file("class_names") if self.label_map and self.label_map.is_dir() else None

    def _label_file(self, stem: str) -> Path | None:
        if self.label_map is None:
            return None
        if self.label_map.is_file():
            return self.label_map
        present = [path for path in (self.label_map / f"{stem}{end}" for end in _LABEL_SUFFIXES) if path.is_file()]
        if len(present) > 1:
            raise LabelError(f"{present[0]} and {present[1]} both exist: remove the one that does not count.")
        return present[0] if present else None

    def _report_strange_label_files(self) -> None:
        """Warn of files in the label map folder whose names mean nothing, which would otherwise go unseen."""
        if self.label_map is None or not self.label_map.is_dir():
            return
        strange = [
            path.name
            for path in _entries(self.label_map)[0]
            if path.suffix in _LABEL_SUFFIXES and path.stem not in _LABEL_FILES
        ]
        if strange:
            _logger.warning(
                "%s: %s not used; a label map is called train_label_map.json or validation_label_map.json.",
                self.label_map,
                f"{strange[0]} is" if len(strange) == 1 else f"{len(strange)} files ({strange[0]}, ...) are",
            )


def _refuse_missing(found: dict[str, Path], data: Path | None) -> None:
    """Raise DataError when a channel of pictures was not found, or is no folder where it should be."""
    missing = [
        f"{name} ({_no_folder(found[name])})" if name in found else name
        for name in (*_PICTURE_CHANNELS, "label_map")
        if (name in found or name != "label_map") and not _is_there(found.get(name), name)
    ]
    if not missing:
        return
    options = ", ".join(f"--{entry.split()[0].replace('_', '-')} DIR" for entry in missing)
    where = f"below {data}" if data is not None else "because no data folder was given"
    raise DataError(f"Missing {where}: {', '.join(missing)}. Put them there, or point to them with {options}.")


def _no_folder(path: Path) -> str:
    return f"{path} is not a folder" if path.exists() else f"{path} does not exist"


def _is_there(path: Path | None, name: str) -> bool:
    return path is not None and (path.is_dir() or (name == "label_map" and path.is_file()))


def _images_at(path: Path) -> dict[str, Path]:
    """Images by relative stem: a file as given, whatever its ending, or all images below a folder."""
    if path.is_file():
        return {path.stem: path}
    found = _by_key(path, IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"{path} holds no images ({_listed(IMAGE_SUFFIXES)}).")
    return found


def _by_key(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files below a folder that have one of the endings, by relative path without ending."""
    found: dict[str, Path] = {}
    for file in _walk(folder):
        if file.suffix.lower() not in suffixes:
            continue
        key = file.relative_to(folder).with_suffix("").as_posix()
        if key in found:
            raise DataError(f"{found[key]} and {file} differ only in their ending: keep the one that counts.")
        found[key] = file
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder in a fixed order, through symbolic links but never twice through one folder.

    Sub-folders that are other channels are left out, and the log says so.
    """
    if not folder.is_dir():
        raise DataError(f"{_no_folder(folder)}.")
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        resolved = current.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        files, folders = _entries(current)
        yield from files
        foreign = [path for path in folders if _is_foreign(path, folder)]
        if foreign:
            _logger.warning("%s is left out, because its name is that of another channel.", _listed(map(str, foreign)))
        waiting += [path for path in reversed(folders) if path not in foreign]


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and sub-folders in a folder, sorted, without names that begin with a dot; DataError when it is closed."""
    try:
        entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        folders = {path: None for path in entries if path.is_dir()}  # in order, and quick to look up
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
    return [path for path in entries if path not in folders], list(folders)


def _is_foreign(folder: Path, root: Path) -> bool:
    """Whether a sub-folder of `root` is another channel, and not part of this one.

    S3 prefixes are plain string prefixes, so that the channel `train` may hold a sub-folder `train_annotation`. In a
    folder that is no channel itself, `train` and `validation` are ordinary splits of ordinary images, and only
    folders of masks are foreign.
    """
    own = root.resolve().name
    if own in CHANNELS:
        return folder.name in CHANNELS and folder.name != own
    return folder.name.endswith("_annotation")


def _same_stem(images: dict[str, Path], masks: dict[str, Path]) -> list[tuple[str, str]]:
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


def _nothing_pairs(images: Path, masks: Path, image_count: int, mask_count: int) -> str:
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
