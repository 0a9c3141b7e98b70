"""The pairs that an augmented manifest names, here or in S3.

Source: SageMaker's contract, sections 2.1 and 2.3.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from segwright.data.pairs import Pair, Pairing
from segwright.formats.manifest import (
    Attributes,
    ManifestLine,
    choose_attributes,
    colour_map,
    parse_object,
    read_manifest,
    resolve_reference,
)
from segwright.formats.masks import PaletteClasses
from segwright.storage import Blob, Cache, Location, S3Location, open_blob, with_tags

logger = logging.getLogger(__name__)

MANIFEST_SUFFIXES: Final = (".manifest", ".jsonl")


def manifest_pairs(manifest: Location, attributes: Sequence[str] | None, cache: Cache | None = None) -> Pairing:
    """List the pairs of a manifest; references are S3 addresses or paths from the manifest's folder, here or in S3.

    `cache` keeps objects of S3, which are asked for their tags first, so that those that changed are fetched anew. A
    pair's key is the number of its line. Raises DataError for a manifest that cannot be read, and names the line.
    """
    lines, names = read_lines(manifest, attributes)
    blobs = [referred(line, name, manifest, cache) for name in (names.image, names.mask) for line in lines]
    if cache is not None and (remote := sum(blob.remote for blob in blobs)):
        logger.info("%s: asking for the tags of %d objects, to fetch anew those that changed", manifest, remote)
        blobs = with_tags(blobs)
        if without := sorted({blob.name for blob in blobs if blob.remote and not blob.version}):
            logger.warning(
                "%s: objects without a tag are fetched each time, and not kept in the cache: %d, such as %s.",
                manifest,
                len(without),
                without[0],
            )
    digits = len(str(lines[-1].number))
    pairs = zip(lines, blobs[: len(lines)], blobs[len(lines) :], strict=True)
    return Pairing(
        tuple(
            Pair(f"line {line.number:0{digits}}", image, mask, _line_classes(line, names, manifest))
            for line, image, mask in pairs
        )
    )


def read_lines(manifest: Location, attributes: Sequence[str] | None) -> tuple[list[ManifestLine], Attributes]:
    """The lines of a manifest and which of their attributes count. Raises DataError."""
    lines = read_manifest(open_blob(manifest).read(), str(manifest))
    return lines, choose_attributes(lines, attributes, str(manifest))


def referred(line: ManifestLine, attribute: str, manifest: Location, cache: Cache | None = None) -> Blob:
    """What an attribute of a line refers to. Raises DataError where it refers to nothing."""
    where, stated = f"{manifest}, line {line.number}, {attribute}", line.attributes.get(attribute)
    if not isinstance(manifest, S3Location):
        return open_blob(resolve_reference(stated, manifest.resolve().parent, where), cache)
    reference = resolve_reference(stated, Path(), where)
    if isinstance(reference, Path) and not reference.is_absolute():
        return open_blob(manifest.beside(str(stated)), cache)
    return open_blob(reference, cache)


def parse_palette_classes(metadata: bytes, name: str) -> PaletteClasses:
    """The colours of indices in a record of metadata. Raises DataError."""
    return _palette_classes(parse_object(metadata, name), name)


def _line_classes(line: ManifestLine, names: Attributes, manifest: Location) -> PaletteClasses:
    metadata = line.attributes.get(names.metadata) if names.metadata else None
    return () if metadata is None else _palette_classes(metadata, f"{manifest}, line {line.number}, {names.metadata}")


def _palette_classes(metadata: Any, name: str) -> PaletteClasses:
    entries = colour_map(metadata, name) or {}
    return tuple((index, entry.colour) for index, entry in sorted(entries.items()) if entry.colour is not None)
