"""Which pairs are to train on and which to validate: by a list, by the data set's own word, or drawn by a seed.

Knows names of pairs and nothing else of them. The draw depends on the seed and on the names alone, never on the
order in which files are found.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final

from segwright.errors import DataError, UserError
from segwright.importers.dataset import ImportedData, ImportedPair, read_text, without_ending
from segwright.wording import listed

logger = logging.getLogger(__name__)

DEFAULT_SHARE: Final = 0.2


@dataclass(frozen=True)
class Division:
    """The two sides, each sorted by key and neither empty."""

    train: tuple[ImportedPair, ...]
    validation: tuple[ImportedPair, ...]
    how: str
    """What divided them, in words."""


def divide(data: ImportedData, share: float | None, listed: Path | None, seed: int) -> Division:
    """Divide the pairs: those that the file `listed` names validate; else, without a `share`, as the data set
    itself says; else `share` of them (0.2 where nothing says anything) is drawn by `seed`.

    A line of the list is an image's path below its folder, with or without its ending, or its file name alone
    where that occurs once. Raises UserError for shares and seeds that mean nothing and for a list together with a
    share, DataError for lines that name no pair, for a side without pairs, and for two pairs of one name.
    """
    pairs = sorted(data.pairs, key=lambda pair: (pair.key, pair.split or ""))
    _check_bad_wishes(share, listed, seed)
    if listed:
        chosen = _named_in(listed, pairs)
        how = f"by the list {listed}"
    elif share is None and data.divided_by:
        pairs = _on_a_side(pairs, data.divided_by)
        chosen = {index for index, pair in enumerate(pairs) if pair.split == "validation"}
        how = f"by {data.divided_by}"
    else:
        chosen = _drawn(pairs, DEFAULT_SHARE if share is None else share, seed)
        how = f"drawn by seed {seed}"
    train = tuple(pair for index, pair in enumerate(pairs) if index not in chosen)
    validation = tuple(pair for index, pair in enumerate(pairs) if index in chosen)
    _check_empty(train, validation, how)
    for split in (train, validation):
        _check_same_keys(split)
    return Division(train, validation, how)


def _check_bad_wishes(share: float | None, listed: Path | None, seed: int) -> None:
    if share is not None and listed:
        raise UserError("--validation and --validation-list were both given: a list leaves nothing to draw. Give one.")
    if share is not None and not 0 < share < 1:
        raise UserError(f"--validation is {share}; it is a share of the pairs, more than 0 and less than 1.")
    if seed < 0:
        raise UserError(f"The seed must be 0 or a larger whole number, not {seed}.")


def _on_a_side(pairs: Sequence[ImportedPair], divided_by: str) -> list[ImportedPair]:
    """The pairs that the data set itself puts on a side; a warning counts the others."""
    found = [pair for pair in pairs if pair.split]
    if others := [pair.name for pair in pairs if not pair.split]:
        shown = listed(others, separator="; ")
        logger.warning(f"{len(others)} pairs are on neither side by {divided_by} and are left out: {shown}")
    return found


def _drawn(pairs: Sequence[ImportedPair], share: float, seed: int) -> set[int]:
    """As many places as the share says, at least one on either side; a pair that is added moves few others."""
    count = min(max(round(share * len(pairs)), 1), len(pairs) - 1)
    order = sorted(range(len(pairs)), key=lambda index: _lot(pairs[index].key, seed))
    return set(order[:count])


def _lot(key: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {key}".encode()).digest()


def _named_in(file: Path, pairs: Sequence[ImportedPair]) -> set[int]:
    """The places of the pairs that the lines of a file name."""
    by_path: defaultdict[str, set[int]] = defaultdict(set)
    by_file: defaultdict[str, set[int]] = defaultdict(set)
    for index, pair in enumerate(pairs):
        for name in (pair.name, without_ending(pair.name), pair.key):
            by_path[name].add(index)
            by_file[PurePosixPath(name).name].add(index)
    lines = [(number, line.strip()) for number, line in enumerate(read_text(file).splitlines(), 1)]
    found = [(number, line, _lookup(line, by_path, by_file)) for number, line in lines if line]
    unknown = [f"line {number}, {line!r}" for number, line, places in found if not places]
    if unknown:
        raise DataError(
            f"{file}: {len(unknown)} of {len(found)} lines name no pair: {listed(unknown, separator='; ')}. "
            "A line is the path of an image below its folder, such as street/01.jpg."
        )
    unclear = [f"line {number}, {line!r}" for number, line, places in found if len(places) > 1]
    if unclear:
        raise DataError(f"{file}: {listed(unclear, separator='; ')}: several images have this name; give their paths.")
    return {index for _, _, places in found for index in places}


def _lookup(line: str, by_path: dict[str, set[int]], by_file: dict[str, set[int]]) -> set[int]:
    name = line.replace("\\", "/").removeprefix("./")
    return by_path.get(name) or by_file.get(name) or set()


def _check_empty(train: Sequence[ImportedPair], validation: Sequence[ImportedPair], how: str) -> None:
    if train and validation:
        return
    empty = "to validate with" if train else "to train on"
    raise DataError(
        f"No pair is left {empty}: {len(train)} to train on, {len(validation)} to validate with, divided {how}. "
        "Give more pairs, or divide them with --validation-list."
    )


def _check_same_keys(pairs: Sequence[ImportedPair]) -> None:
    for one, other in pairwise(pairs):
        if one.key == other.key:
            raise DataError(
                f"{one.image.name} and {other.image.name} would both be called {one.key!r}: rename one of them, or "
                "keep the one that counts."
            )
