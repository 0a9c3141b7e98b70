"""Label maps, which turn the pixel values of mask files into classes, and class names.

Source: SageMaker's contract, sections 1.3 and 1.4.
"""

import functools
import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.errors import LabelError
from segwright.wording import did_you_mean, listed

IGNORE: Final = 255
"""The class index, and in masks without a label map the pixel value, that loss and metrics leave out."""

NO_DATA: Final = -1
"""The value of pixels that the mask file marks as no data: ignored, whatever the label map."""

HIGHEST_CLASS: Final = 253
"""`num_classes` is at most 254 (SageMaker's contract, section 3.1), so 254 is never a class and 255 stays free."""

HIGHEST_PIXEL: Final = 65535

_NAMES_SHOWN: Final = 12
_LEAVE_OUT: Final = "; leave out what is to be ignored"


@dataclass(frozen=True)
class LabelMap:
    """How pixel values in mask files become class indices: by a scale or by a list, never both.

    Raises LabelError for both or neither, numbers out of range, and a pixel value that is listed twice.
    """

    scale: int | None = None
    """Class = floor(pixel / scale), except for pixel 255, which is ignored."""
    values: tuple[tuple[int, int], ...] | None = None
    """Pairs (pixel value, class index), each pixel value once; all other pixel values are ignored."""
    class_names: tuple[str, ...] | None = None
    """The names of classes 0, 1, 2, ..., where the label map gives them."""

    def __post_init__(self) -> None:
        if (self.scale is None) == (self.values is None):
            raise LabelError('a label map has either "scale" or "map", and not both')
        if self.scale is not None:
            _checked_scale(self.scale)
        if self.values is not None:
            _check_values(self.values, self.class_names)

    @classmethod
    def identity(cls) -> Self:
        """The default: the pixel value is the class, 255 is ignored."""
        return cls(scale=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parse a label map file. Raises LabelError as `parse` does, and when the file cannot be read."""
        return cls.parse(_read_text(path), str(path))

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Parse a file's text: JSON if it begins with `{` or the file's name ends in .json, else lines.

        Raises LabelError that names file and line when it is no label map.
        """
        try:
            if name.lower().endswith(".json") or text.lstrip().startswith("{"):
                return cls.from_json(_parse_json(text))
            return cls._from_lines(text)
        except LabelError as error:
            raise LabelError(f"{name}: {error}") from None

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Build a map from `{"scale": k}` or `{"map": {"<class>": pixel or [pixels]}}`.

        Numbers may be strings. `class_names`, a list, may stand beside either form. Raises LabelError for
        anything else, a class beyond 253, and a pixel value named twice.
        """
        if not isinstance(document, Mapping) or not document.keys() <= {"scale", "map", "class_names"}:
            raise LabelError('a label map is {"scale": 3} or {"map": {"<class>": <pixel value>, ...}}')
        names = document.get("class_names")
        return cls(
            scale=_checked_scale(document["scale"]) if "scale" in document else None,
            values=_parse_classes(document["map"]) if "map" in document else None,
            class_names=None if names is None else checked_names(names),
        )

    def to_json(self) -> dict[str, Any]:
        """The map in the form that `from_json` reads, a list where several pixel values share a class."""
        classes: dict[str, list[int]] = {}
        for pixel, index in self.values or ():
            classes.setdefault(str(index), []).append(pixel)
        values = {index: pixels if pixels[1:] else pixels[0] for index, pixels in classes.items()}
        names = {} if self.class_names is None else {"class_names": list(self.class_names)}
        return ({"map": values} if self.scale is None else {"scale": self.scale}) | names

    def __str__(self) -> str:
        return self.in_words(self.class_names or ())

    def in_words(self, names: Sequence[str]) -> str:
        """The map for people, with the names of classes as far as they are known: `pixel value 0 is background, 255 is
        vessel`.
        """
        if self.values is None:
            divided = f"the class is the pixel value divided by {self.scale}, rounded down"
            return "pixel values are class indices" if self.scale == 1 else divided
        named = dict(enumerate(names))
        entries = [f"{pixel} is {named.get(index, f'class {index}')}" for pixel, index in self.values]
        return f"pixel value {listed(entries, _NAMES_SHOWN)}"

    def apply(self, mask: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Turn pixel values, whole numbers up to 65535 or `NO_DATA` [H, W], into class indices, uint8 [H, W].

        The result is `IGNORE` for no data and where the map names no class. Where a scale leads beyond 253 it is 254,
        which is never a class, so that a check of the classes finds it. Where nothing changes, it is `mask` itself.
        """
        if self.scale == 1 and mask.dtype == np.uint8:
            return mask.astype(np.uint8, copy=False)
        table = _lookup_table(self)
        if mask.dtype == np.uint8:
            return np.asarray(cv2.LUT(mask, table[:256]), np.uint8)
        return np.asarray(table[mask], np.uint8)

    def unmapped(self, values: NDArray[Any]) -> NDArray[Any]:
        """Those of the given pixel values, [N], that the map does not name and that are neither 255 nor `NO_DATA`."""
        if self.values is None:
            return values[:0]
        named = np.array([pixel for pixel, _ in self.values] + [IGNORE, NO_DATA])
        return values[~np.isin(values, named)]

    def class_count(self) -> int | None:
        """The number of classes that the map implies, highest class plus one; None for a scale."""
        return None if self.values is None else max(index for _, index in self.values) + 1

    def check(self, num_classes: int) -> None:
        """Raise LabelError when the map leads to a class that a network of `num_classes` does not have."""
        for pixel, index in self.values or ():
            if index >= num_classes:
                raise LabelError(
                    f"the label map turns pixel value {pixel} into class {index}; num_classes is {num_classes}. "
                    f"Set num_classes to at least {self.class_count()} or change the map."
                )

    def numbered_as(self, names: Sequence[str]) -> Self:
        """The same map with its classes numbered in the order of `names`, which become its class names.

        A map without class names is returned as it is. Raises LabelError for a class name that is not among `names`,
        and for a scale, whose classes cannot be renumbered, with names in another order.
        """
        if self.class_names is None:
            return self
        order = [_index_of(name, names) for name in self.class_names]
        if self.values is not None:
            values = tuple((pixel, order[index]) for pixel, index in self.values)
            return replace(self, values=values, class_names=tuple(names))
        if order != list(range(len(order))):
            raise LabelError(
                f"the label map has a scale and the class names {listed(self.class_names, _NAMES_SHOWN)}, but the "
                f"classes are {listed(names, _NAMES_SHOWN)} in this order. Correct its class_names, or give a map in "
                "place of the scale."
            )
        return replace(self, class_names=tuple(names))

    @classmethod
    def _from_lines(cls, text: str) -> Self:
        """Parse the text form: each line a pixel value, then its class as an index or a name; `#` comments.

        Names are numbered by first appearance.
        """
        lines = {number: line for number, line in enumerate(map(_without_comment, text.splitlines()), 1) if line}
        entries: list[tuple[int, str]] = []
        for number, line in lines.items():
            match = re.fullmatch(r"(\d{1,9})[\s,]+(\S.*)", line)
            if match is None:
                raise LabelError(f"line {number} is {line!r}; a line is a pixel value and a class, like '7 road'")
            if entries and match[2].isdecimal() != entries[0][1].isdecimal():
                first, first_line = next(iter(lines.items()))
                kinds = ("an index", "a name") if match[2].isdecimal() else ("a name", "an index")
                raise LabelError(
                    f"line {number}, {line!r}, gives the class as {kinds[0]}, but line {first}, {first_line!r}, as "
                    f"{kinds[1]}; give all classes as indices or all as names"
                )
            entries.append((int(match[1]), match[2]))
        if all(name.isdecimal() for _, name in entries):
            return cls(values=tuple((pixel, int(name)) for pixel, name in entries))
        names = tuple(dict.fromkeys(name for _, name in entries))
        return cls(values=tuple((pixel, names.index(name)) for pixel, name in entries), class_names=names)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Parse a file of class names. Raises LabelError as `parse_class_names` does, and for an unreadable file."""
    return parse_class_names(_read_text(path), str(path))


def parse_class_names(text: str, name: str) -> tuple[str, ...]:
    """Parse a file's text: a name a line, or a JSON list; blank lines and `#` comments are skipped.

    Raises LabelError, with the file's `name`, for a text that names nothing, or a class twice.
    """
    try:
        # a name may begin with a bracket, too: [unlabelled]
        if name.lower().endswith(".json") or re.match(r'\s*\[\s*["\]]', text):
            return checked_names(_parse_json(text))
        return checked_names([line for line in map(_without_comment, text.splitlines()) if line])
    except LabelError as error:
        raise LabelError(f"{name}: {error}") from None


def numbered_names(count: int) -> tuple[str, ...]:
    """Names for `count` classes without any."""
    return tuple(f"class {index}" for index in range(count))


@functools.lru_cache(maxsize=8)
def _lookup_table(label_map: LabelMap) -> NDArray[np.uint8]:
    """The look-up table of a map, uint8 [65537]: the last entry is that of `NO_DATA`, -1."""
    if label_map.scale is not None:
        table = np.minimum(np.arange(HIGHEST_PIXEL + 2) // label_map.scale, HIGHEST_CLASS + 1).astype(np.uint8)
        table[[IGNORE, NO_DATA]] = IGNORE
        return table
    table = np.full(HIGHEST_PIXEL + 2, IGNORE, np.uint8)
    for pixel, index in label_map.values or ():
        table[pixel] = index
    return table


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise LabelError(f"{path} cannot be read: {reason}") from None


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object_without_repeated_keys)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"not valid JSON: {error}") from None


def _object_without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (repeated := _first_repeated([key for key, _ in pairs])) is not None:
        raise LabelError(f'"{repeated}" occurs twice; list all its pixel values in one place: "{repeated}": [1, 2]')
    return dict(pairs)


def _without_comment(line: str) -> str:
    return re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()


def _whole_number(value: Any, what: str, lowest: int, highest: int, hint: str = "") -> int:
    """The number that a JSON number or a string gives, or LabelError."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not lowest <= number <= highest:
        raise LabelError(f"{what} is {json.dumps(value)}; it must be a whole number from {lowest} to {highest}{hint}")
    return number


def _checked_scale(value: Any) -> int:
    return _whole_number(value, "the scale of a label map", 1, HIGHEST_PIXEL)


def _parse_classes(classes: Any) -> tuple[tuple[int, int], ...]:
    """Pairs (pixel value, class) of the "map" form, whose keys are classes."""
    if not isinstance(classes, Mapping):
        raise LabelError('"map" must be an object {"<class>": <pixel value>, ...}')
    pairs = []
    for key, pixels in classes.items():
        index = _whole_number(key, 'a class, a key of "map",', 0, HIGHEST_CLASS, _LEAVE_OUT)
        for pixel in pixels if isinstance(pixels, list) else [pixels]:
            pairs.append((_whole_number(pixel, f"a pixel value of class {index}", 0, HIGHEST_PIXEL), index))
    return tuple(pairs)


def _check_values(values: Sequence[tuple[int, int]], class_names: Sequence[str] | None) -> None:
    if not values:
        raise LabelError("the label map names no pixel value")
    for pixel, index in values:
        _whole_number(pixel, "a pixel value of the label map", 0, HIGHEST_PIXEL)
        _whole_number(index, f"the class of pixel value {pixel}", 0, HIGHEST_CLASS, _LEAVE_OUT)
        if class_names is not None and index >= len(class_names):
            raise LabelError(
                f"the label map turns pixel value {pixel} into class {index}, but has class names only for the "
                f"classes 0 to {len(class_names) - 1}; name all classes or none"
            )
    if (repeated := _first_repeated([pixel for pixel, _ in values])) is not None:
        raise LabelError(f"pixel value {repeated} is mapped twice; give it one class")


def _index_of(name: str, names: Sequence[str]) -> int:
    """The index of a class name among others, or LabelError with the nearest one."""
    if name in names:
        return names.index(name)
    guess = did_you_mean(name, names, pixel_format='"{}"')
    raise LabelError(
        f'the label map names a class "{name}", but the classes are {listed(names, _NAMES_SHOWN)}.{guess} '
        "Use these names, or class indices."
    )


def checked_names(names: Any) -> tuple[str, ...]:
    """A list of class names as a tuple. Raises LabelError when it is none, empty, or names a class twice."""
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise LabelError('class names are a list of texts, none of them empty: ["background", "road"]')
    if not 1 <= len(names) <= HIGHEST_CLASS + 1:
        raise LabelError(f"there are {len(names)} class names; 1 to {HIGHEST_CLASS + 1} are allowed")
    stripped = tuple(name.strip() for name in names)
    if any("\ud800" <= character <= "\udfff" for name in stripped for character in name):
        raise LabelError("a class name holds half a character, a lone surrogate, which no file can hold; correct it")
    if (repeated := _first_repeated(stripped)) is not None:
        raise LabelError(f'the class name "{repeated}" occurs twice; each class needs a name of its own')
    return stripped


def _first_repeated(items: Iterable[Hashable]) -> Hashable | None:
    """The first item that occurs a second time, or None."""
    return next((item for item, count in Counter(items).items() if count > 1), None)
