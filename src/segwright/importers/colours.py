"""Images, colour masks, and tables of colours: CamVid's `label_colors.txt`, CVAT's `labelmap.txt`, JSON."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.data.folders import find_pairs
from segwright.errors import DataError
from segwright.formats.file_types import sniff
from segwright.formats.images import EncodedImage
from segwright.formats.palettes import UNKNOWN, Colour, ColourTable, format_colour, pack_rgb
from segwright.importers.dataset import ImportedData, ImportedPair, checked_names
from segwright.importers.drawing import Drawing
from segwright.importers.files import read_text, warn_left_out
from segwright.importers.geometry import ImageGeometry, MismatchError, mask_frame
from segwright.labels import IGNORE
from segwright.storage import Blob

logger = logging.getLogger(__name__)

DrawMask = Callable[[Blob, ImageGeometry], Drawing]

_FEW: Final = 8  # unknown colours that may be classes; mixing makes more
_IGNORED: Final = ("void", "ignore", "ignored", "__ignore__")  # in any case: names of what is no class
_LONGEST_LINE: Final = 500  # characters; the patterns take their square
_BREAK: Final = r"[\s,;:]+"
_RGB: Final = rf"(?P<rgb>\d{{1,3}}{_BREAK}\d{{1,3}}{_BREAK}\d{{1,3}})"
_HEX: Final = r"#(?P<hex>[0-9A-Fa-f]{6})"
_LINES: Final = (
    re.compile(r"(?P<name>[^:]+):(?P<rgb>\d{1,3},\d{1,3},\d{1,3})(?::.*)?"),  # CVAT: name:r,g,b:parts:actions
    *(re.compile(rf"{colour}{_BREAK}(?P<name>.*\S)") for colour in (_RGB, _HEX)),
    *(re.compile(rf"(?P<name>.*?\S){_BREAK}{colour}") for colour in (_RGB, _HEX)),
)
_HEADER: Final = re.compile(r"[^\d#]*\b(r|red|rgb|hex|colou?r)\b[^\d#]*", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"^\d+\s*[,;\t]\s*")  # a column of numbers before names
_EXAMPLE: Final = "such as 'road 128 64 128', '128 64 128 road' or 'road, #804080'"


def read_colours(source: Path, masks: Path, colours: Path) -> ImportedData:
    """Pair the images in `source` with colour masks that are read by the table `colours`; warns of what has no partner.

    Raises DataError where nothing pairs, and for a table that cannot be read.
    """
    classes = read_colour_table(read_text(colours), str(colours))
    pairs = pair_folders(source, masks, partial(draw_by_colour, table=classes.table, origin=str(colours)))
    return ImportedData(pairs, classes.names, classes.palette)


def pair_folders(images: Path, masks: Path, draw: DrawMask) -> tuple[ImportedPair, ...]:
    """The pairs of a folder of images and a folder of masks that `draw` reads. Raises DataError where nothing pairs."""
    pairing = find_pairs(images, masks)
    for assumption in pairing.assumed:
        logger.info(assumption)
    warn_left_out(images, "image", pairing.unpaired_images, "without a mask")
    warn_left_out(masks, "mask", pairing.unpaired_masks, "without an image")
    return tuple(
        ImportedPair(
            f"{pair.key}{PurePath(pair.image.name).suffix}",
            pair.image,
            partial(draw, pair.mask),
            frame=partial(mask_frame, pair.mask),
        )
        for pair in pairing.pairs
    )


def draw_by_colour(
    mask: Blob, geometry: ImageGeometry, table: ColourTable, origin: str, cure: str | None = None
) -> Drawing:
    """Read a colour or palette mask by its colours; `origin` is what the table was read from, and `cure` what helps
    where that is no file.

    Raises DataError for lossy formats, MismatchError for a mask that does not fit or has a colour without a name.
    """
    data = mask.read()
    if sniff(data) in ("JPEG", "WebP"):
        raise DataError(f"{mask.name} is a {sniff(data)} file, whose compression changes colours: export masks as PNG.")
    pixels = np.asarray(EncodedImage(data, mask.name).decode(), np.uint8)
    geometry.check_size(pixels.shape[:2], mask.name)
    classes = table.classes(pixels)
    if not (unknown := classes == UNKNOWN).any():
        return Drawing(classes)
    codes, counts = np.unique(pack_rgb(pixels[unknown]), return_counts=True)
    most = int(codes[counts.argmax()])
    colour = (most >> 16, most >> 8 & 255, most & 255)
    others = f", and {len(codes) - 1} other unknown colours occur" if len(codes) > 1 else ""
    cure = cure or f"Name such colours in {origin}; call void what is to be ignored."
    if len(codes) > _FEW:
        cure = "Colours were mixed by resizing or lossy compression: export the masks anew as PNG, in their own size."
    raise MismatchError(
        f"{mask.name}: {counts.max():,} pixels have the colour {format_colour(colour)}, which {origin} does not name; "
        f"the nearest there is {format_colour(table.nearest(colour))}{others}. {cure}"
    )


class ColourClasses(NamedTuple):
    """The classes of a table, numbered in the order of its lines; `palette` has the first colour of each, [C, 3]."""

    names: tuple[str, ...]
    palette: NDArray[np.uint8]
    table: ColourTable


def read_colour_table(text: str, name: str) -> ColourClasses:
    """Read a colour table: a class and its colour a line, or JSON {"road": [128, 64, 128] or "#804080"}.

    Several colours may share a class. Colours called void, ignore, ignored or __ignore__ are ignored. `name` is for
    messages only. Raises DataError with the line or entry that cannot be read or gives a colour to two classes, and
    LabelError for names that cannot be used.
    """
    entries = list(_json_entries(text, name) if text.lstrip().startswith("{") else _line_entries(text, name))
    owners: dict[Colour, str] = {}
    first: dict[str, Colour] = {}
    for word, colour in entries:
        if (owner := owners.setdefault(colour, word)) != word:
            raise DataError(
                f"{name} gives the colour {format_colour(colour)} to {owner!r} and to {word!r}: give each colour "
                "one class."
            )
        if word.casefold() not in _IGNORED:
            first.setdefault(word, colour)
    names = checked_names(first, name)
    classes = {colour: names.index(word) if word in first else IGNORE for colour, word in owners.items()}
    return ColourClasses(names, np.array(list(first.values()), np.uint8), ColourTable(classes))


def _line_entries(text: str, name: str) -> Iterator[tuple[str, Colour]]:
    """Names and colours of the text form; lines that begin with `#` are comments, but for `#804080 road`."""
    for number, line in enumerate((line.replace('"', "").strip() for line in text.splitlines()), 1):
        is_comment = line.startswith("#") and not re.match(rf"{_HEX}\b", line)
        if not line or is_comment or (number == 1 and _HEADER.fullmatch(line)):
            continue
        long = len(line) > _LONGEST_LINE
        match = None if long else next(filter(None, (pattern.fullmatch(line) for pattern in _LINES)), None)
        if match is None or match["name"].isdecimal() or (match.start("name") and _NUMBERED.match(match["name"])):
            what = f"has {len(line):,} characters" if long else f"is {line!r}"
            raise DataError(f"{name}, line {number} {what}; a line is a class and its colour, {_EXAMPLE}.")
        groups = match.groupdict()
        numbers = bytes.fromhex(groups["hex"]) if groups.get("hex") else map(int, re.split(_BREAK, groups["rgb"]))
        yield _NUMBERED.sub("", match["name"].strip()), _checked_colour(tuple(numbers), f"{name}, line {number}")


def _json_entries(text: str, name: str) -> Iterator[tuple[str, Colour]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not valid JSON: {error}.") from None
    for word, colour in document.items():
        where = f"{name}, {word!r}"
        if isinstance(colour, str) and (match := re.fullmatch(_HEX, colour.strip())):
            colour = list(bytes.fromhex(match["hex"]))
        if not isinstance(colour, list) or len(colour) != 3 or any(type(part) is not int for part in colour):
            raise DataError(f'{where} is {json.dumps(colour)[:80]}; a colour is [128, 64, 128] or "#804080".')
        yield word.strip(), _checked_colour(tuple(colour), where)


def _checked_colour(values: tuple[Any, ...], where: str) -> Colour:
    if not all(0 <= value <= 255 for value in values):
        raise DataError(f"{where}: a colour has the values {', '.join(map(str, values))}; each must be from 0 to 255.")
    red, green, blue = values
    return red, green, blue
