"""Divides pairs into train and validation: by a list, as the data set does, or drawn by a seed and the names alone."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from segwright.errors import DataError, UserError
from segwright.importers.dataset import ImportedData, ImportedPair, without_suffix
from segwright.importers.files import read_text, warn_left_out
from segwright.wording import listed

_DEFAULT_SHARE: Final = 0.2


@dataclass(frozen=True)
class SplitOptions:
    """How to divide a data set; without a share and a list, as it does itself, or else by a share of 0.2.

    Raises UserError for values out of range, and for both a share and a list.
    """

    validation: float | None = None  # the share of pairs to validate with, more than 0 and less than 1
    validation_list: Path | None = None
    """A file of the images to validate with, a line each: a path below their folder with or without suffix, or a file
    name that occurs once.
    """
    seed: int = 0  # draws the share

    def __post_init__(self) -> None:
        if self.validation is not None and self.validation_list:
            raise UserError("--validation and --validation-list exclude each other: a list leaves nothing to draw.")
        if self.validation is not None and not 0 < self.validation < 1:
            raise UserError(f"--validation is {self.validation}; it is a share, more than 0 and less than 1.")
        if self.seed < 0:
            raise UserError(f"The seed must be 0 or a larger whole number, not {self.seed}.")


class Division(NamedTuple):
    """The pairs of both splits, each sorted by key and not empty, and what divided them, in words."""

    train: tuple[ImportedPair, ...]
    validation: tuple[ImportedPair, ...]
    how: str


def divide(data: ImportedData, options: SplitOptions) -> Division:
    """Divide the pairs. Raises DataError for a bad list, a split without pairs, and two of one name in a split."""
    pairs = sorted(data.pairs, key=lambda pair: (pair.key, pair.split or ""))
    if options.validation_list:
        chosen, how = _listed_pairs(options.validation_list, pairs), f"by the list {options.validation_list}"
    elif options.validation is None and data.divided_by:
        how = f"by {data.divided_by}"
        warn_left_out(how, "pair", [pair.name for pair in pairs if not pair.split], "in neither split")
        pairs = [pair for pair in pairs if pair.split]
        chosen = {index for index, pair in enumerate(pairs) if pair.split == "validation"}
    else:
        share = _DEFAULT_SHARE if options.validation is None else options.validation
        count = min(max(round(share * len(pairs)), 1), len(pairs) - 1)
        # a pair that is added moves few others
        lots = [hashlib.sha256(f"{options.seed} {pair.key}".encode()).digest() for pair in pairs]
        chosen, how = set(sorted(range(len(pairs)), key=lots.__getitem__)[:count]), f"drawn by seed {options.seed}"
    train = tuple(pair for index, pair in enumerate(pairs) if index not in chosen)
    validation = tuple(pair for index, pair in enumerate(pairs) if index in chosen)
    if not train or not validation:
        raise DataError(
            f"No pair is left to {'validate with' if train else 'train on'}: {len(train)} to train on, "
            f"{len(validation)} to validate with, divided {how}. Give more pairs, or divide them with "
            "--validation-list."
        )
    for one, other in (*pairwise(train), *pairwise(validation)):
        if one.key == other.key:
            raise DataError(
                f"{one.image.name} and {other.image.name} would both be called {one.key!r}: rename one of them, or "
                "keep the one that counts."
            )
    return Division(train, validation, how)


def _listed_pairs(file: Path, pairs: Sequence[ImportedPair]) -> set[int]:
    by_path: defaultdict[str, set[int]] = defaultdict(set)
    by_file: defaultdict[str, set[int]] = defaultdict(set)
    for index, pair in enumerate(pairs):
        for name in (pair.name, without_suffix(pair.name), pair.key):
            by_path[name].add(index)
            by_file[PurePosixPath(name).name].add(index)
    lines = {f"line {number}, {line.strip()!r}": line for number, line in enumerate(read_text(file).splitlines(), 1)}
    paths = {where: line.strip().replace("\\", "/").removeprefix("./") for where, line in lines.items() if line.strip()}
    found = {where: by_path.get(path) or by_file.get(path) or set() for where, path in paths.items()}
    if unknown := [where for where, indices in found.items() if not indices]:
        raise DataError(
            f"{file}: {len(unknown)} of {len(found)} lines name no pair: {listed(unknown, separator='; ')}. "
            "A line is the path of an image below its folder, such as street/01.jpg."
        )
    if unclear := [where for where, indices in found.items() if len(indices) > 1]:
        raise DataError(f"{file}: {listed(unclear, separator='; ')}: several images have this name; give their paths.")
    return set().union(*found.values())
