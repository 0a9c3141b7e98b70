"""Wording that messages share: lists that end after some entries, numbers with their nouns, near misses."""

import difflib
from collections.abc import Iterable, Sequence


def listed(items: Sequence[object], most: int = 3, separator: str = ", ") -> str:
    """The first `most` of some items, and how many more there are: `a, b, c, and 2 more`."""
    more = f"{separator}and {len(items) - most} more" if len(items) > most else ""
    return separator.join(map(str, items[:most])) + more


def sentences(items: Sequence[str], most: int = 3) -> str:
    """The first `most` of some sentences, and how many more there are as a last one: `And 2 more.`"""
    return " ".join([*items[:most], *([f"And {len(items) - most} more."] if len(items) > most else [])])


def counted(count: int, one: str, many: str = "") -> str:
    """A number and what is counted: `1 pair`, `3 pairs`; `many` is for all that does not just get an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A time as people say it: `45 s`, `34 min`, `2 h 5 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and ` ...` where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[:most]} ..."


def printable(text: str) -> str:
    """The text with all that is not printable as an escape: control characters, halves of characters."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def nearest(word: str, words: Iterable[str], most: int = 1) -> list[str]:
    """The words most similar to one, whatever their case, best first; empty where none is similar."""
    folded = {other.casefold(): other for other in words}
    return [folded[near] for near in difflib.get_close_matches(word.casefold(), folded, most)]


def did_you_mean(word: str, words: Iterable[str], most: int = 1, pixel_format: str = "{}") -> str:
    """A sentence with the nearest words, each in a form such as `{!r}`: ` Did you mean road?`; or nothing."""
    near = ", ".join(map(pixel_format.format, nearest(word, words, most)))
    return near and f" Did you mean {near}?"
