"""Tables of class colours as text or JSON, as they come with colour masks.

Knows CamVid's `label_colors.txt`, CVAT's `labelmap.txt` and what else people write. Refuses to open masks.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.colour_table import Colour, ColourTable, spelled
from segwright.importers.dataset import checked_names
from segwright.labels import IGNORE

IGNORED_NAMES: Final = ("void", "ignore", "ignored", "__ignore__")
"""Names, in any case, of what is no class: pixels of these colours are ignored."""

_LONGEST_LINE: Final = 500  # characters; the patterns take their square
_BREAK: Final = r"[\s,;:]+"
_NUMBER: Final = r"(\d{1,3})"
_RGB: Final = _BREAK.join([_NUMBER] * 3)
_HEX: Final = r"#([0-9A-Fa-f]{6})"
_FORMS: Final = (
    re.compile(rf"(?P<name>[^:]+):{_NUMBER},{_NUMBER},{_NUMBER}(?::.*)?"),  # CVAT: name:r,g,b:parts:actions
    re.compile(rf"{_RGB}{_BREAK}(?P<name>.*\S)"),
    re.compile(rf"(?P<name>.*?\S){_BREAK}{_RGB}"),
    re.compile(rf"(?P<name>.*?\S){_BREAK}{_HEX}"),
    re.compile(rf"{_HEX}{_BREAK}(?P<name>.*\S)"),
)
_HEADER: Final = re.compile(r"[^\d#]*\b(r|red|rgb|hex|colou?r)\b[^\d#]*", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"^\d+\s*[,;\t]\s*")  # a column of numbers before names
_EXAMPLE: Final = "such as 'road 128 64 128', '128 64 128 road' or 'road, #804080'"


@dataclass(frozen=True, eq=False)
class ColourClasses:
    """The classes of a table, numbered in the order of its lines."""

    names: tuple[str, ...]
    palette: NDArray[np.uint8]
    """The first colour of each class, uint8 [C, 3]."""
    table: ColourTable


def read_colour_table(text: str, name: str) -> ColourClasses:
    """Read a colour table: a class and its colour a line, or JSON {"road": [128, 64, 128] or "#804080"}.

    Several colours may share a class. Names of `IGNORED_NAMES` are no class. `name` is for messages only. Raises
    DataError with the line or entry that cannot be read or gives a colour to two classes, and LabelError for names
    that cannot be used.
    """
    entries = list(_json_entries(text, name) if text.lstrip().startswith("{") else _lines(text, name))
    named = [(word, colour) for word, colour in entries if not is_ignored(word)]
    names = checked_names(dict.fromkeys(word for word, _ in named), name)
    _check_shared_colours(entries, name)
    classes = {colour: IGNORE if is_ignored(word) else names.index(word) for word, colour in entries}
    first = dict(reversed(named))
    palette = np.array([first[word] for word in names], np.uint8)
    return ColourClasses(names, palette, ColourTable(classes))


def is_ignored(name: str) -> bool:
    """Whether a name stands for pixels that count neither in training nor in evaluation."""
    return name.casefold() in IGNORED_NAMES


def _lines(text: str, name: str) -> Iterator[tuple[str, Colour]]:
    """Names and colours of the text form; lines that begin with `#` are comments, but for `#804080 road`."""
    for number, line in enumerate((line.replace('"', "").strip() for line in text.splitlines()), 1):
        if not line or (line.startswith("#") and not re.match(rf"{_HEX}\b", line)):
            continue
        if len(line) > _LONGEST_LINE:
            raise DataError(
                f"{name}, line {number} has {len(line):,} characters; a line is a class and its colour, {_EXAMPLE}."
            )
        if number == 1 and _HEADER.fullmatch(line):
            continue
        match = next(filter(None, (form.fullmatch(line) for form in _FORMS)), None)
        if match is None or match["name"].isdecimal() or (match.start("name") and _NUMBERED.match(match["name"])):
            raise DataError(f"{name}, line {number} is {line!r}; a line is a class and its colour, {_EXAMPLE}.")
        word = _NUMBERED.sub("", match["name"].strip())
        numbers = [group for index, group in enumerate(match.groups(), 1) if index != match.re.groupindex["name"]]
        yield word, _colour(numbers, f"{name}, line {number}")


def _json_entries(text: str, name: str) -> Iterator[tuple[str, Colour]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not valid JSON: {error}.") from None
    for word, colour in document.items():
        yield word.strip(), _json_colour(colour, f"{name}, {word!r}")


def _json_colour(colour: Any, where: str) -> Colour:
    if isinstance(colour, str) and (match := re.fullmatch(_HEX, colour.strip())):
        return _colour([match[1]], where)
    numbers = [part for part in colour if type(part) is int] if isinstance(colour, list) else []
    if len(numbers) != 3 or len(colour) != 3:
        raise DataError(f'{where} is {json.dumps(colour)[:80]}; a colour is [128, 64, 128] or "#804080".')
    return _colour(numbers, where)


def _colour(numbers: Sequence[str | int], where: str) -> Colour:
    """Three numbers from 0 to 255, or six hexadecimal digits."""
    values = bytes.fromhex(str(numbers[0])) if len(numbers) == 1 else [int(number) for number in numbers]
    if not all(0 <= value <= 255 for value in values):
        raise DataError(f"{where}: a colour has the values {', '.join(map(str, values))}; each must be from 0 to 255.")
    red, green, blue = values
    return red, green, blue


def _check_shared_colours(entries: Sequence[tuple[str, Colour]], name: str) -> None:
    owners: dict[Colour, str] = {}
    for word, colour in entries:
        owner = owners.setdefault(colour, word)
        if owner != word:
            raise DataError(
                f"{name} gives the colour {spelled(colour)} to {owner!r} and to {word!r}: give each colour one class."
            )
