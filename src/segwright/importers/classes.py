"""Classes of formats that label objects only: every pixel without one is background, class 0.

Refuses to know where the names come from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from segwright.importers.dataset import checked_names

BACKGROUND: Final = "background"
_BACKGROUNDS: Final = (BACKGROUND, "_background_", "__background__")


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, background first."""

    names: tuple[str, ...]
    numbers: Mapping[str, int]
    """The class of each name as the data set spells it."""


def class_name(name: str) -> str:
    """The name without space around it; one of the usual words for background is just that."""
    return BACKGROUND if is_background(name) else name.strip()


def is_background(name: str) -> bool:
    """Whether a name is one of the usual words for background."""
    return name.strip().casefold() in _BACKGROUNDS


def after_background(names: Iterable[str], where: str) -> Classes:
    """Background and then the other names in their order; equal names are one class.

    `where` says in messages where the names come from. Raises LabelError for names that are none, and for too many.
    """
    known = {BACKGROUND: 0}
    numbers = {name: known.setdefault(class_name(name), len(known)) for name in names}
    return Classes(checked_names(known, where), numbers)
