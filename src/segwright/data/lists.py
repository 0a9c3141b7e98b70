"""Pairs that one file names or holds: an augmented manifest, here or in S3, or a RecordIO file of image, mask, image,
mask, ..., or image, mask, metadata, ...

Source: SageMaker's contract, sections 2.1 to 2.3.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from segwright.data.pairs import Pair, Pairing
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.formats.manifest import (
    Attributes,
    ManifestLine,
    choose_attributes,
    colour_map,
    is_json,
    parse_object,
    read_manifest,
    resolve_reference,
)
from segwright.formats.masks import PaletteClasses
from segwright.formats.recordio import index_records, join_parts
from segwright.storage import (
    Blob,
    Cache,
    FileBlob,
    FileRangesBlob,
    Location,
    S3Location,
    list_folder,
    open_blob,
    with_tags,
)

logger = logging.getLogger(__name__)

MANIFEST_SUFFIXES: Final = (".manifest", ".jsonl")
RECORD_SUFFIX: Final = ".rec"
LIST_SUFFIXES: Final = (*MANIFEST_SUFFIXES, RECORD_SUFFIX)
"""Endings of files that name or hold images and masks together, so that no folder of masks is needed."""


def is_list(location: Location) -> bool:
    """Whether a file is a list, by its ending."""
    return location.suffix.lower() in LIST_SUFFIXES


def list_in_folder(split: str, folder: Location, attributes: Sequence[str] | None, has_masks: bool) -> Location:
    """The list of pairs that is all a folder holds, or lies beside the files that it names; else the folder.

    `has_masks`: the channel of masks is there, so that no list is needed. Raises DataError where it is not clear which
    list it is.
    """
    if not isinstance(folder, Path) or not folder.is_dir():
        return folder
    files, folders = list_folder(folder)
    lists = [file for file in files if is_list(file)]
    if not lists or (len(files) == 1 and not folders):
        return lists[0] if lists else folder
    named, masks = ", ".join(file.name for file in lists), f"{split}_annotation"
    if has_masks:
        logger.info("%s: not used, since the masks are in %s: %s", folder, masks, named)
        return folder
    if len(lists) > 1:
        raise DataError(
            f"{folder} holds {len(lists)} lists of pairs ({named}), and there is no {masks}: leave one list there, or "
            f"give the masks as {masks}."
        )
    if not _names_files_below(lists[0], attributes, folder):
        raise DataError(
            f"{folder} holds images and {named}, which names none of them, and there is no {masks}: give the masks as "
            f"{masks}, or leave {named} alone in {split}."
        )
    logger.info("%s: the pairs are those that %s lists; other files there are not used.", folder, named)
    return lists[0]


def _names_files_below(file: Path, attributes: Sequence[str] | None, folder: Path) -> bool:
    """Whether a list holds its pairs, or names some of the images in its folder, if there are any."""
    if file.suffix.lower() == RECORD_SUFFIX:
        return True
    base = folder.resolve()
    lines, names = read_lines(file, attributes)
    for image in (referred(line, names.image, file) for line in lines):
        if isinstance(image, FileBlob) and image.path.is_file() and image.path.resolve().is_relative_to(base):
            return True
    return not any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))


def manifest_pairs(manifest: Location, attributes: Sequence[str] | None, cache: Cache | None = None) -> Pairing:
    """List the pairs of a manifest; references are S3 addresses or paths from its folder, keys are numbers of lines.

    `cache` keeps objects of S3; they are asked for their tags first, so that those that changed are fetched anew.
    Raises DataError that names the line.
    """
    lines, names = read_lines(manifest, attributes)
    blobs = [referred(line, name, manifest, cache) for name in (names.image, names.mask) for line in lines]
    if cache is not None and (remote := sum(blob.remote for blob in blobs)):
        logger.info("%s: asking for the tags of %d objects, to fetch anew those that changed", manifest, remote)
        blobs = with_tags(blobs)
        if without := sorted({blob.name for blob in blobs if blob.remote and not blob.version}):
            logger.warning(
                f"{manifest}: objects without a tag are fetched each time, and not kept in the cache: {len(without)}, "
                f"such as {without[0]}."
            )
    digits = len(str(lines[-1].number))
    pairs = []
    for line, image, mask in zip(lines, blobs[: len(lines)], blobs[len(lines) :], strict=True):
        metadata = line.attributes.get(names.metadata) if names.metadata else None
        where = f"{manifest}, line {line.number}, {names.metadata}"
        palette_classes = () if metadata is None else _palette_classes(metadata, where)
        pairs.append(Pair(f"line {line.number:0{digits}}", image, mask, palette_classes))
    return Pairing(tuple(pairs))


def read_lines(manifest: Location, attributes: Sequence[str] | None) -> tuple[list[ManifestLine], Attributes]:
    """The lines of a manifest and which of their attributes count. Raises DataError."""
    lines = read_manifest(open_blob(manifest).read(), str(manifest))
    return lines, choose_attributes(lines, attributes, str(manifest))


def referred(line: ManifestLine, attribute: str, manifest: Location, cache: Cache | None = None) -> Blob:
    """What an attribute of a line refers to. Raises DataError where it refers to nothing."""
    where, stated = f"{manifest}, line {line.number}, {attribute}", line.attributes.get(attribute)
    base = Path() if isinstance(manifest, S3Location) else manifest.resolve().parent
    reference = resolve_reference(stated, base, where)
    if isinstance(manifest, S3Location) and isinstance(reference, Path) and not reference.is_absolute():
        return open_blob(manifest.beside(str(stated)), cache)
    return open_blob(reference, cache)


def record_pairs(file: Location) -> Pairing:
    """List the pairs of a RecordIO file on this machine; a pair's key is its number, from 0. Only frames are read.

    Raises DataError for a file that is damaged, empty, or holds no whole pairs.
    """
    if not isinstance(file, Path):
        raise DataError(f"{file}: a RecordIO file is read from this machine only; download it, or give its manifest.")
    try:
        with file.open("rb") as stream:
            records = index_records(stream, str(file), file.stat().st_size)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    if not records:
        raise DataError(f"{file} holds no records; it should hold images and masks in turns.")
    blobs = [FileRangesBlob(file, f"{file} record {n}", tuple(parts), join_parts) for n, parts in enumerate(records)]
    width = records_in_pair(blobs)
    if len(blobs) % width:
        raise DataError(
            f"{file} holds {len(blobs)} records, which are no whole pairs: image, mask"
            f"{', metadata' if width == 3 else ''} must follow one another."
        )
    count = len(blobs) // width
    keys = (f"pair {number:0{len(str(count))}}" for number in range(count))
    return Pairing(tuple(pair_of_records(key, blobs[n * width : (n + 1) * width]) for n, key in enumerate(keys)))


def records_in_pair(first: Sequence[Blob]) -> int:
    """How many records make a pair, by the first of them: 3 where metadata follow image and mask."""
    return 3 if len(first) > 2 and is_json(first[2].read()) else 2


def pair_of_records(key: str, records: Sequence[Blob]) -> Pair:
    """A pair of the records image, mask and perhaps metadata. Raises DataError for metadata that cannot be read."""
    image, mask, *rest = records
    classes = [_palette_classes(parse_object(each.read(), each.name), each.name) for each in rest]
    return Pair(key, image, mask, *classes)


def _palette_classes(metadata: Any, name: str) -> PaletteClasses:
    entries = colour_map(metadata, name) or {}
    return tuple((index, entry.colour) for index, entry in sorted(entries.items()) if entry.colour is not None)
