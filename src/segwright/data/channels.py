"""The inputs of a training: training and validation pairs, and the label maps of their masks.

Source: SageMaker's contract, sections 1.1, 1.4 and 2.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from segwright.data.class_tables import ClassTable, find_class_table
from segwright.data.folders import CHANNELS, find_pairs
from segwright.data.layouts import find_layout, find_split, undivided
from segwright.data.lists import (
    LIST_SUFFIXES,
    MANIFEST_SUFFIXES,
    RECORD_SUFFIX,
    is_list,
    list_in_folder,
    manifest_pairs,
    record_pairs,
)
from segwright.data.pairs import Pairing
from segwright.data.pipe_mode import FifoStream
from segwright.errors import DataError, LabelError
from segwright.labels import LabelMap, parse_class_names
from segwright.storage import (
    Cache,
    Location,
    S3Location,
    describe_folder,
    is_file,
    is_folder,
    list_folder,
    open_blob,
    parse_location,
)
from segwright.wording import listed

logger = logging.getLogger(__name__)

Split = Literal["train", "validation"]
InputMode = Literal["File", "Pipe"]
SPLITS: Final[tuple[Split, Split]] = ("train", "validation")

_INPUTS: Final = CHANNELS[:5]  # all but the model
_LABEL_FILES: Final = ("train_label_map", "validation_label_map", "class_names")
_LABEL_SUFFIXES: Final = (".json", ".txt")


@dataclass(frozen=True)
class Source:
    """Where the pairs of one split come from."""

    images: Location
    """A folder, a manifest or a RecordIO file; in mode `Pipe` the path of the FIFOs without `_0`, `_1`, ..."""
    masks: Location | None = None  # a folder; None where images come with their masks
    attributes: tuple[str, ...] | None = None  # image, mask and perhaps metadata in a manifest; None: inferred
    cache: Cache | None = None  # keeps objects of S3 on the disk

    def pairing(self) -> Pairing:
        """The pairs. Raises DataError where they cannot be found."""
        suffix = self.images.suffix.lower()
        if suffix in MANIFEST_SUFFIXES:
            return manifest_pairs(self.images, self.attributes, self.cache)
        if suffix == RECORD_SUFFIX:
            return record_pairs(self.images)
        if self.masks is None:
            raise DataError(f"{self.images} is a folder of images, so a folder of masks is needed as well.")
        return find_pairs(self.images, self.masks)


@dataclass(frozen=True)
class Channels:
    """The inputs of a training."""

    train: Source
    validation: Source
    label_map: Location | None = None  # a folder or a single file
    input_mode: InputMode = "File"
    share_label_map: bool = True
    """Whether validation masks without a label map of their own are read with that of the training masks."""
    test: Source | None = None
    """A test split that lies beside them, at which only `inspect` looks."""

    @classmethod
    def locate(
        cls,
        data: Location | str | None = None,
        *,
        input_mode: InputMode = "File",
        attributes: Sequence[str] | None = None,
        cache: Cache | None = None,
        share_label_map: bool = True,
        **locations: Location | str | None,
    ) -> "Channels":
        """Find each channel where it is given, else by its name below `data`, which may be a folder of another tool.

        `locations` may be given for `train`, `train_annotation`, `validation`, `validation_annotation` and `label_map`.
        `attributes` names image, mask and metadata in manifests; `cache` keeps objects of S3 on the disk. Raises
        DataError that names every channel that is missing.
        """
        if unknown := locations.keys() - _INPUTS:
            raise TypeError(f"no such channel: {', '.join(sorted(unknown))}")
        root = None if data is None else parse_location(data, cache)
        if isinstance(root, Path) and not root.is_dir():
            raise DataError(f"{root} is not a folder. It should hold the folders {', '.join(_INPUTS[:4])}.")
        named = _below(root, input_mode) if root is not None else {}
        given = {name: parse_location(location, cache) for name, location in locations.items() if location is not None}
        found = named | given
        names = tuple(attributes) if attributes else None
        for split in SPLITS:
            if split in found:
                found[split] = list_in_folder(split, found[split], names, f"{split}_annotation" in found)
        usual = not given.keys() - {"label_map"} and input_mode == "File"
        if isinstance(root, Path) and usual and (absent := _missing(found)):
            found |= _from_layout(root, list(absent))
        if missing := _missing(found, input_mode):
            which = ", ".join(f"{name} ({why})" if why else name for name, why in missing.items())
            where, cure = "because no data folder was given", "Give a data folder that holds them"
            if root is not None:
                where, cure = f"below {root}", f"{'' if named else _holds(root)}Put them there"
            hint = undivided(root) if isinstance(root, Path) else ""
            raise DataError(f"Missing {where}: {which}. {cure}, or give their locations as {', '.join(missing)}.{hint}")
        train, validation = (Source(found[split], found.get(f"{split}_annotation"), names, cache) for split in SPLITS)
        _warn_of_unknown_label_files(found.get("label_map"))
        test = _find_test(root, train, validation) if isinstance(root, Path) and input_mode == "File" else None
        return cls(train, validation, found.get("label_map"), input_mode, share_label_map, test)

    def stream(self, split: Split) -> FifoStream | None:
        """The stream of a split in mode `Pipe`, not yet opened, or None. Raises DataError for one in S3."""
        if self.input_mode != "Pipe":
            return None
        prefix = self._source(split).images
        if isinstance(prefix, S3Location):
            raise DataError(f"{prefix}: in mode Pipe a channel is a FIFO on this machine.")
        return FifoStream(prefix)

    def label_map_file(self, split: Split) -> Location | None:
        """The label map for the masks of a split, or None; validation may share the one for training."""
        own = self._label_file(f"{split}_label_map")
        return self._label_file("train_label_map") if own is None and self.share_label_map else own

    def read_label_map(self, split: Split) -> LabelMap | None:
        """The label map for the masks of a split, or None. Raises LabelError for one that cannot be used."""
        location = self.label_map_file(split)
        return None if location is None else LabelMap.parse(_text(location), str(location))

    def class_names_file(self) -> Location | None:
        """`class_names.json` or `class_names.txt` beside the label maps, or None."""
        return self._label_file("class_names") if self.label_map and is_folder(self.label_map) else None

    def class_table(self, num_classes: int | None) -> ClassTable | None:
        """The table of classes beside the masks, or None. Raises LabelError where those of both splits differ."""
        folders = [
            [source.masks, source.images, *([source.masks.parent] if isinstance(source.masks, Path) else [])]
            for source in (self.train, self.validation)
            if source.masks is not None
        ]
        return find_class_table(folders, num_classes)

    def _source(self, split: Split) -> Source:
        return self.train if split == "train" else self.validation

    def _label_file(self, stem: str) -> Location | None:
        if self.label_map is None or not is_folder(self.label_map):
            return self.label_map
        named = [self.label_map / f"{stem}{end}" for end in _LABEL_SUFFIXES]
        present = [location for location in named if is_file(location)]
        if len(present) > 1:
            raise LabelError(f"{present[0]} and {present[1]} both exist: remove the one that does not count.")
        return present[0] if present else None


def read_names(file: Location) -> tuple[str, ...]:
    """The class names in a file here or in S3. Raises LabelError and DataError."""
    return parse_class_names(_text(file), str(file))


def _text(location: Location) -> str:
    try:
        return open_blob(location).read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LabelError(f"{location} cannot be read: it is not UTF-8 text") from None


def _below(root: Location, mode: InputMode) -> dict[str, Location]:
    """What has the name of a channel below a folder: a folder, a list of pairs, or in mode `Pipe` a FIFO to come."""
    if mode == "Pipe":
        fifos: dict[str, Location] = {split: root / split for split in SPLITS}
        return fifos | ({"label_map": root / "label_map"} if is_folder(root / "label_map") else {})
    found: dict[str, Location] = {}
    for name in _INPUTS:
        lists = [root / f"{name}{end}" for end in LIST_SUFFIXES] if name in SPLITS else []
        there = (location for location in (root / name, *lists) if is_folder(location) or is_file(location))
        if (location := next(there, None)) is not None:
            found[name] = location
    return found


def _holds(root: Location) -> str:
    """What a folder without any channel holds, and where they are if it is one of them."""
    if not isinstance(root, Path):
        return ""
    above = root.resolve().parent
    nearby = f", and {above} has them" if all((above / name).is_dir() for name in _INPUTS[:4]) else ""
    return f"It holds {describe_folder(root)}{nearby}. "


def _from_layout(root: Path, absent: Sequence[str]) -> Mapping[str, Location]:
    """The channels in a folder as other tools write it; nothing where it is none. Raises DataError."""
    layout = find_layout(root)
    if layout is None:
        return {}
    try:
        for folder in (layout.channels[split] for split in SPLITS):
            if folder in (layout.channels[f"{split}_annotation"] for split in SPLITS):
                find_pairs(folder, folder)
    except DataError as error:
        raise DataError(
            f"Missing below {root}: folders of masks ({', '.join(name for name in absent if name not in SPLITS)}); and "
            f"masks do not lie beside their images either. {error}"
        ) from None
    logger.info("%s has no folder %s: %s", root, " and ".join(absent), layout.description)
    return layout.channels


def _find_test(root: Path, *others: Source) -> Source | None:
    """The folders of a test split, unless they are those of another one."""
    with suppress(DataError):  # several folders: no matter to a training
        folders = find_split(root, "test")
        if folders and folders.masks and folders.images not in {source.images for source in others}:
            return Source(folders.images, folders.masks)
    return None


def _missing(found: Mapping[str, Location], mode: InputMode = "File") -> dict[str, str]:
    """The channels that are needed and not there, with what is wrong with a location that was given."""
    missing = {}
    for name in _INPUTS:
        location = found.get(name)
        images = found.get(name.removesuffix("_annotation"))
        if name.endswith("_annotation") and (mode == "Pipe" or (images is not None and is_list(images))):
            continue
        if location is None and name != "label_map":
            missing[name] = ""
        if location is None or (mode == "Pipe" and name in SPLITS) or is_folder(location):
            continue
        if not (is_file(location) and (name == "label_map" or is_list(location))):
            exists = isinstance(location, Path) and location.exists()
            missing[name] = f"{location} {'is not a folder' if exists else 'does not exist'}"
    return missing


def _warn_of_unknown_label_files(folder: Location | None) -> None:
    if not isinstance(folder, Path) or not folder.is_dir():
        return
    files = [path for path in list_folder(folder)[0] if path.suffix in _LABEL_SUFFIXES]
    if unknown := [path.name for path in files if path.stem not in _LABEL_FILES]:
        logger.warning(
            f"{folder}: not used: {listed(unknown)}; a label map is called train_label_map.json or "
            "validation_label_map.json."
        )
