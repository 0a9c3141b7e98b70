"""Wording that messages share: lists that end after some entries, and numbers with their nouns."""

from collections.abc import Sequence


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


def plain(text: str) -> str:
    """The text with all that is not printable as an escape: control characters, halves of characters."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
