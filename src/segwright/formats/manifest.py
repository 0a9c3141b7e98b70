"""Augmented manifests: JSON Lines that name an image, its mask and what is known of the mask.

Source: SageMaker's contract, sections 2.1 and 2.3.
"""

import codecs
import json
import os
import re
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from segwright.errors import DataError
from segwright.formats.file_types import sniff
from segwright.wording import listed

_COLOUR_MAP: Final = "internal-color-map"
_NAMES_SHOWN: Final = 12
_CHARACTERS_SHOWN: Final = 80


@dataclass(frozen=True)
class ManifestLine:
    """The JSON object of one line, and the number of the line, from 1."""

    number: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Attributes:
    """Names of the attributes that refer to the image and to the mask, and of the mask's metadata, if any."""

    image: str
    mask: str
    metadata: str | None = None


@dataclass(frozen=True)
class ClassColour:
    """What a colour map says of an index: the name of the class, and its RGB colour where there is one."""

    name: str
    colour: tuple[int, int, int] | None


def read_manifest(data: bytes, name: str) -> list[ManifestLine]:
    """Read all lines, but blank ones. A byte order mark and either end of line are fine; `name` is for messages only.
    Raises DataError that names the line which is no JSON object in UTF-8, and for a manifest without lines.
    """
    texts = enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1)
    try:
        lines = [ManifestLine(n, parse_object(text, f"{name}, line {n},")) for n, text in texts if text.strip()]
    except DataError as error:
        raise DataError(f"{error} A manifest has one JSON object in each line.") from None
    if not lines:
        raise DataError(f"{name} has no lines: a manifest has one for every image.")
    return lines


def parse_object(text: bytes, name: str) -> dict[str, Any]:
    """One JSON object: a line of a manifest, or the record of metadata in a stream. Raises DataError for all else."""
    try:
        document = json.loads(text.decode())
    except UnicodeDecodeError:
        raise DataError(f"{name} is not UTF-8 text.") from None
    except (ValueError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, json.JSONDecodeError):
            reason = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        raise DataError(f"{name} is not valid JSON: {reason} of {_shown(text.decode())}.") from None
    if not isinstance(document, dict):
        raise DataError(f"{name} is {_shown(document)}, not a JSON object.")
    return document


def is_json(payload: bytes) -> bool:
    """Whether some bytes look like an object of JSON, as metadata are."""
    return sniff(payload) is None and payload.lstrip()[:1] == b"{"


def choose_attributes(lines: Sequence[ManifestLine], given: Sequence[str] | None, name: str) -> Attributes:
    """Which attributes hold image and mask; every line has them.

    Two or three names that are given are image, mask and metadata. Otherwise the image is `source-ref`, or the only
    reference (`...-ref`) without metadata; the mask is the only other reference; its metadata is `<mask>-metadata`, or
    what Ground Truth calls `<label>-metadata` beside `<label>-ref`, and lines may lack it. Raises DataError for other
    than two or three different names, for names that leave a choice, and for a line that lacks an attribute.
    """
    if given is not None and (len(given) not in (2, 3) or len(set(given)) < len(given) or not all(given)):
        needed = "the image, its mask and, if wanted, the metadata of the mask"
        raise DataError(f"The attributes are {_listed(given)}, but two or three different ones are needed: {needed}.")
    attributes = Attributes(*given) if given else _work_out(lines, name)
    for line in lines:
        for attribute in given or (attributes.image, attributes.mask):
            if attribute not in line.attributes:
                raise DataError(
                    f"{name}, line {line.number}, has no attribute {_shown(attribute)}; it has "
                    f"{_listed(line.attributes)}. Add it, remove the line, or name other attributes."
                )
    return attributes


def resolve_reference(reference: Any, base: Path, name: str) -> str | Path:
    """What a reference names: an `s3://` address as it is, or a path, which is relative to the folder `base`.

    Names may hold any character. `file:` addresses are unquoted. `name`, such as that of the file with line and
    attribute, is for messages only. Raises DataError for what is no text, for other schemes, and for no name at all.
    """
    # JSON may hold half a surrogate pair, which no name has
    if not isinstance(reference, str) or reference.encode(errors="replace").decode() != reference:
        raise DataError(f"{name} is {_shown(reference)}; a reference is a text: a path or an s3:// address.")
    if reference.startswith("s3://"):
        if not re.match(r"s3://[^/]+/.*[^/]", reference, re.DOTALL):
            raise DataError(f"{name} is {_shown(reference)}; an address in S3 is s3://BUCKET/KEY.")
        return reference
    path = reference
    if re.match(r"[a-z][a-z0-9+.-]*://|file:/", reference, re.IGNORECASE):
        local = re.fullmatch(r"file:(?://(?:localhost)?)?(/[^/].*)", reference, re.DOTALL | re.IGNORECASE)
        path = os.fsdecode(unquote_to_bytes(local[1])) if local else ""
    if not path or "\0" in path:
        raise DataError(f"{name} is {_shown(reference)}; a reference is a path, a file:/// or an s3:// address.")
    return base / path


def colour_map(metadata: Any, name: str) -> dict[int, ClassColour] | None:
    """The classes by their index in the mask, from the metadata of Ground Truth; None where they say nothing of it.

    `metadata` is a parsed JSON object, `name` is for messages only. Raises DataError for other metadata and for a
    colour map that is not {"<0 to 255>": {"class-name": "road", "hex-color": "#2ca02c"}}; the colour may be missing.
    """
    if not isinstance(metadata, Mapping):
        raise DataError(f"{name} is {_shown(metadata)}; metadata are a JSON object.")
    if _COLOUR_MAP not in metadata:
        return None
    stored = metadata[_COLOUR_MAP]
    if not isinstance(stored, Mapping):
        raise DataError(f"{name}: {_COLOUR_MAP} is {_shown(stored)}, not a JSON object.")
    for key in stored:
        if not re.fullmatch("0|[1-9][0-9]{0,2}", key) or int(key) > 255:
            wrong = f"{name}: {_COLOUR_MAP} has the key {_shown(key)}"
            raise DataError(f"{wrong}; keys are numbers from 0 to 255 in a mask.")
    return {int(key): _class_colour(entry, f"{name}: {_COLOUR_MAP}, {key!r}") for key, entry in stored.items()}


def _work_out(lines: Sequence[ManifestLine], name: str) -> Attributes:
    names = dict.fromkeys(attribute for line in lines for attribute in line.attributes)  # in order, each once
    metadata = {}
    for each in filter(lambda each: each.endswith("-ref"), names):
        candidates = (f"{each}-metadata", f"{each.removesuffix('-ref')}-metadata")
        metadata[each] = next((candidate for candidate in candidates if candidate in names), None)
    bare = [each for each in metadata if metadata[each] is None]
    images = ["source-ref"] if "source-ref" in metadata else bare
    masks = list(metadata.keys() - images)
    if len(images) != 1 or len(masks) != 1:
        raise DataError(
            f"{name} leaves open which attributes are image and mask: it has {_listed(names)}. Name the two, such as "
            "attributes source-ref,road-ref, or leave no others."
        )
    return Attributes(images[0], masks[0], metadata[masks[0]])


def _class_colour(entry: Any, where: str) -> ClassColour:
    name = entry.get("class-name") if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or not name:
        raise DataError(f"{where} is {_shown(entry)}, which has no class-name.")
    colour = entry.get("hex-color")
    if colour is None:
        return ClassColour(name, None)
    if not isinstance(colour, str) or not re.fullmatch("#[0-9A-Fa-f]{6}", colour):
        raise DataError(f"{where} has the hex-color {_shown(colour)}; a colour is written as #2ca02c.")
    red, green, blue = bytes.fromhex(colour[1:])
    return ClassColour(name, (red, green, blue))


def _listed(names: Collection[str]) -> str:
    return listed([_shown(name) for name in names], _NAMES_SHOWN) or "none"


def _shown(value: Any) -> str:
    """A value for a message, neither too long nor too deep."""
    short = reprlib.Repr()
    short.maxstring = _CHARACTERS_SHOWN
    return short.repr(value)
