"""The inputs of a training job: which channels there are, where they lie, and in what form.

Knows SageMaker's channel names, folders, lists of pairs, streams and label map files. Refuses to know how pairs are
found in any of them: `folders`, `manifests`, `record_files` and `fifo` do.

Source: SageMaker's contract, sections 1.1, 1.4 and 2.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from segwright.data.class_tables import ClassTable, find_class_table
from segwright.data.folders import CHANNELS, find_pairs
from segwright.data.layouts import find_layout, undivided
from segwright.data.manifests import MANIFEST_SUFFIXES, manifest_pairs, read_lines
from segwright.data.pairs import Pairing
from segwright.data.pipe_mode import FifoStream
from segwright.data.recordio_files import RECORD_SUFFIX, record_pairs
from segwright.errors import DataError, LabelError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.formats.manifest import resolve_reference
from segwright.labels import LabelMap, parse_class_names
from segwright.storage import Cache, Location, S3Location, entries, is_file, is_folder, open_blob, parse_location
from segwright.wording import listed

logger = logging.getLogger(__name__)

Split = Literal["train", "validation"]
InputMode = Literal["File", "Pipe"]
SPLITS: Final[tuple[Split, Split]] = ("train", "validation")

LIST_SUFFIXES: Final = (*MANIFEST_SUFFIXES, RECORD_SUFFIX)
"""Endings of files that hold or name images and masks together, so that no folder of masks is needed."""

_PICTURE_CHANNELS: Final = CHANNELS[:4]
_LABEL_FILES: Final = ("train_label_map", "validation_label_map", "class_names")
_LABEL_SUFFIXES: Final = (".json", ".txt")


@dataclass(frozen=True)
class Channels:
    """Where the inputs of a training job lie: folders, a manifest or RecordIO file with images and masks, or in
    mode `Pipe` the FIFOs `train_0`, `train_1`, ... The places of masks are None where images come with theirs.
    """

    train: Location
    train_annotation: Location | None
    validation: Location
    validation_annotation: Location | None
    label_map: Location | None = None
    """A folder, a single file, or None."""
    input_mode: InputMode = "File"
    attributes: tuple[str, ...] | None = None
    """The names of image, mask and, if wanted, metadata in manifests; None: worked out."""
    cache: Cache | None = None
    """Where objects of S3 are kept on the disk, if anywhere."""
    keep_masks: bool = False
    """Whether decoded masks are kept there as well."""
    share_label_map: bool = True
    """Whether validation masks without a label map of their own are read with that of the training masks."""

    @classmethod
    def locate(
        cls,
        data: Location | str | None,
        *,
        train: Location | str | None = None,
        train_annotation: Location | str | None = None,
        validation: Location | str | None = None,
        validation_annotation: Location | str | None = None,
        label_map: Location | str | None = None,
        input_mode: InputMode = "File",
        attributes: Sequence[str] | None = None,
        cache: Cache | None = None,
        keep_masks: bool = False,
        share_label_map: bool = True,
    ) -> "Channels":
        """Take each channel from where it was given, else from what has its name below `data`.

        `cache` keeps objects of S3 and, with `keep_masks`, decoded masks on the disk. With `share_label_map` validation
        masks without a label map of their own are read with that of the training masks. Raises DataError that names
        every channel that is missing and the option that can point to it.
        """
        root = None if data is None else parse_location(data, cache)
        given = {
            "train": train,
            "train_annotation": train_annotation,
            "validation": validation,
            "validation_annotation": validation_annotation,
            "label_map": label_map,
        }
        found = {name: parse_location(place, cache) for name, place in given.items() if place is not None}
        if isinstance(root, Path) and not root.is_dir():
            raise DataError(f"{root} is not a folder. It should hold the folders {', '.join(_PICTURE_CHANNELS)}.")
        if root is not None:
            found = _looked_up(root, input_mode) | found
        for split in SPLITS:
            if split in found:
                found[split] = _list_in(split, found[split], attributes, f"{split}_annotation" in found)
        pictures = [name for name in given if given[name] is not None and name != "label_map"]
        if isinstance(root, Path) and not pictures and input_mode == "File" and _missing(found, input_mode):
            found |= _laid_out(root)
        _check_missing(found, root, input_mode)
        channels = cls(
            train=found["train"],
            train_annotation=found.get("train_annotation"),
            validation=found["validation"],
            validation_annotation=found.get("validation_annotation"),
            label_map=found.get("label_map"),
            input_mode=input_mode,
            attributes=tuple(attributes) if attributes else None,
            cache=cache,
            keep_masks=keep_masks,
            share_label_map=share_label_map,
        )
        channels._report_strange_label_files()
        return channels

    def pairing(self, split: Split) -> Pairing:
        """Find the pairs of a channel that is no stream. Raises DataError where they cannot be found."""
        images, masks = (
            (self.train, self.train_annotation) if split == "train" else (self.validation, self.validation_annotation)
        )
        return list_pairs(images, masks, self.attributes, self.cache, keep_masks=self.keep_masks)

    def stream(self, split: Split) -> FifoStream | None:
        """The stream of a channel in mode `Pipe`, not yet opened; None in mode `File`."""
        if self.input_mode == "File":
            return None
        place = self.train if split == "train" else self.validation
        if isinstance(place, S3Location):
            raise DataError(f"{place}: in mode Pipe a channel is a FIFO on this machine.")
        return FifoStream(place)

    def label_map_file(self, split: Split) -> Location | None:
        """The label map of the masks of one side, for validation perhaps the one of the training masks; else None."""
        place = self._label_file(f"{split}_label_map")
        shared = place is None and split == "validation" and self.share_label_map
        return self._label_file("train_label_map") if shared else place

    def read_label_map(self, split: Split) -> LabelMap | None:
        """The label map of the masks of one side, or None. Raises LabelError for one that cannot be used."""
        place = self.label_map_file(split)
        return None if place is None else LabelMap.parse(_text(place), str(place))

    def class_names_file(self) -> Location | None:
        """`class_names.json` or `class_names.txt` beside the label maps, or None."""
        return self._label_file("class_names") if self.label_map and is_folder(self.label_map) else None

    def class_table(self, num_classes: int | None) -> ClassTable | None:
        """The table of classes that a tool wrote beside the masks, where nothing else says what pixel values mean.

        Raises LabelError where the tables of both sides differ.
        """
        sides = ((self.train_annotation, self.train), (self.validation_annotation, self.validation))
        folders = [
            tuple(dict.fromkeys((masks, images, *([masks.parent] if isinstance(masks, Path) else []))))
            for masks, images in sides
            if masks is not None
        ]
        return find_class_table(folders, num_classes)

    def _label_file(self, stem: str) -> Location | None:
        if self.label_map is None:
            return None
        if not is_folder(self.label_map):
            return self.label_map
        named = [self.label_map / f"{stem}{end}" for end in _LABEL_SUFFIXES]
        present = [place for place in named if is_file(place)]
        if len(present) > 1:
            raise LabelError(f"{present[0]} and {present[1]} both exist: remove the one that does not count.")
        return present[0] if present else None

    def _report_strange_label_files(self) -> None:
        """Warn of files in the label map folder whose names mean nothing, which would otherwise go unseen."""
        if not isinstance(self.label_map, Path) or not self.label_map.is_dir():
            return
        strange = [
            path.name
            for path in entries(self.label_map)[0]
            if path.suffix in _LABEL_SUFFIXES and path.stem not in _LABEL_FILES
        ]
        if strange:
            logger.warning(
                "%s: not used: %s; a label map is called train_label_map.json or validation_label_map.json.",
                self.label_map,
                listed(strange),
            )


def list_pairs(
    images: Location,
    masks: Location | None,
    attributes: Sequence[str] | None = None,
    cache: Cache | None = None,
    *,
    keep_masks: bool = False,
) -> Pairing:
    """The pairs of two folders, of a manifest (.manifest, .jsonl) or of a RecordIO file (.rec).

    `attributes` names image, mask and metadata of a manifest. `cache` keeps objects of S3 that a manifest names and,
    with `keep_masks`, decoded masks. Raises DataError where pairs cannot be found.
    """
    kept_masks = cache if keep_masks else None
    if images.suffix.lower() in MANIFEST_SUFFIXES:
        return manifest_pairs(images, attributes, cache, kept_masks)
    if images.suffix.lower() == RECORD_SUFFIX:
        return record_pairs(images, kept_masks)
    if masks is None:
        raise DataError(f"{images} is a folder of images, so a folder of masks is needed as well.")
    return find_pairs(images, masks, kept_masks)


def read_names(file: Location) -> tuple[str, ...]:
    """The class names in a file here or in S3. Raises LabelError and DataError."""
    return parse_class_names(_text(file), str(file))


def _text(place: Location) -> str:
    try:
        return open_blob(place).read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LabelError(f"{place} cannot be read: it is not UTF-8 text") from None


def _looked_up(root: Location, mode: InputMode) -> dict[str, Location]:
    """What has the name of a channel below a place: a folder, or a list of pairs."""
    found: dict[str, Location] = {}
    if mode == "Pipe":
        found = {split: root / split for split in SPLITS}
        return found | ({"label_map": root / "label_map"} if is_folder(root / "label_map") else {})
    for name in (*_PICTURE_CHANNELS, "label_map"):
        lists = [root / f"{name}{end}" for end in LIST_SUFFIXES] if name in SPLITS else []
        candidates = [place for place in (root / name, *lists) if is_folder(place) or is_file(place)]
        if candidates:
            found[name] = candidates[0]
    return found


def _list_in(split: Split, place: Location, attributes: Sequence[str] | None, has_masks: bool) -> Location:
    """The manifest or RecordIO file in a local channel folder that lists the pairs of the channel; else the place.

    It is all that the folder holds, or, without a folder of masks, lies beside the files that it names. Raises
    DataError where it is unclear which pairs are meant.
    """
    if not isinstance(place, Path) or not place.is_dir():
        return place
    files, folders = entries(place)
    lists = [file for file in files if file.suffix.lower() in LIST_SUFFIXES]
    if not lists or (len(files) == 1 and not folders):
        return lists[0] if lists else place
    named, masks = ", ".join(file.name for file in lists), f"{split}_annotation"
    if has_masks:
        logger.info("%s: not used, since the masks are in %s: %s", place, masks, named)
        return place
    if len(lists) > 1:
        raise DataError(
            f"{place} holds {len(lists)} lists of pairs ({named}), and there is no {masks}: leave one list there, or "
            f"give the masks as {masks}."
        )
    if not _names_files_below(lists[0], attributes, place):
        raise DataError(
            f"{place} holds images and {named}, which names none of them, and there is no {masks}: give the masks as "
            f"{masks}, or leave {named} alone in {split}."
        )
    logger.info("%s: the pairs are those that %s lists; what else lies there is not looked for.", place, named)
    return lists[0]


def _names_files_below(file: Path, attributes: Sequence[str] | None, folder: Path) -> bool:
    """Whether a list of pairs is of its folder: a RecordIO file, which holds them, or a manifest that names some of the
    pictures there, if there are any.
    """
    if file.suffix.lower() == RECORD_SUFFIX:
        return True
    base = folder.resolve()
    lines, names = read_lines(file, attributes)
    for line in lines:
        image = resolve_reference(line.attributes.get(names.image), base, f"{file}, line {line.number}, {names.image}")
        if isinstance(image, Path) and image.is_file() and image.resolve().is_relative_to(base):
            return True
    return not any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))


def _laid_out(root: Path) -> Mapping[str, Location]:
    """The channels in a folder as other tools write it; nothing where it is none.

    Raises DataError where several folders could be one channel, and where nothing beside the images is a mask.
    """
    layout = find_layout(root)
    if layout is None:
        return {}
    try:
        for folder in layout.side_by_side:
            find_pairs(folder, folder)
    except DataError as error:
        raise DataError(
            f"Missing below {root}: folders of masks, such as train_annotation and validation_annotation; and masks "
            f"do not lie beside their images either. {error}"
        ) from None
    logger.info("%s has no folders train_annotation and validation_annotation: %s", root, layout.told)
    return layout.channels


def _missing(found: Mapping[str, Location], mode: InputMode) -> list[str]:
    """The channels that were not found, and why, where they were looked for."""
    return [
        f"{name} ({_absent(found[name])})" if name in found else name
        for name in (*_PICTURE_CHANNELS, "label_map")
        if _is_needed(name, found, mode) and not _is_there(found.get(name), name, mode)
    ]


def _check_missing(found: Mapping[str, Location], root: Location | None, mode: InputMode) -> None:
    """Raise DataError when a channel of pictures was not found, or is no folder where it should be."""
    missing = _missing(found, mode)
    if not missing:
        return
    options = ", ".join(f"--{entry.split()[0].replace('_', '-')} DIR" for entry in missing)
    where = f"below {root}" if root is not None else "because no data folder was given"
    found_there = undivided(root) if isinstance(root, Path) else ""
    raise DataError(
        f"Missing {where}: {', '.join(missing)}. Put them there, or point to them with {options}.{found_there}"
    )


def _is_needed(name: str, found: Mapping[str, Location], mode: InputMode) -> bool:
    """Label maps are needed where they were named; masks where their images are in a folder."""
    if name == "label_map":
        return name in found
    images = found.get(name.removesuffix("_annotation"))
    together = mode == "Pipe" or (images is not None and images.suffix.lower() in LIST_SUFFIXES)
    return not (name.endswith("_annotation") and together)


def _is_there(place: Location | None, name: str, mode: InputMode) -> bool:
    if place is None or (mode == "Pipe" and name != "label_map"):
        return place is not None
    may_be_file = name == "label_map" or place.suffix.lower() in LIST_SUFFIXES
    return is_folder(place) or (may_be_file and is_file(place))


def _absent(place: Location) -> str:
    return f"{place} is not a folder" if isinstance(place, Path) and place.exists() else f"{place} does not exist"
