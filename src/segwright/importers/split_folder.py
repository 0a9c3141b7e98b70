"""What `segwright split` does: divides a folder of images and masks into channel folders, whole groups at a time."""

import logging
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import numpy as np

from segwright.checks.channel import Expected, examine_pairs
from segwright.checks.findings import Findings
from segwright.checks.scan import PairScan
from segwright.console import progress
from segwright.data.class_tables import CLASS_FILES
from segwright.data.folders import find_pairs
from segwright.data.layouts import SplitFolders, find_split
from segwright.errors import DataError, UserError
from segwright.importers.stratify import stratify
from segwright.labels import IGNORE, NO_DATA
from segwright.storage import atomic_directory, check_writable_folder, write_json
from segwright.wording import counted, listed, printable

logger = logging.getLogger(__name__)

MARKER: Final = "split.json"
"""Says how a folder was divided, and marks it as one that may be replaced."""

Groups = Mapping[str, Sequence[PairScan]]


class SplitSummary(NamedTuple):
    """What one split holds."""

    pairs: int
    groups: int


def split_folder(
    data: Path,
    output: Path,
    *,
    validation: float = 0.2,
    test: float = 0.0,
    group: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, SplitSummary]:
    """Copy the pairs below `data` to `output` as train, validation and, with a share for it, test, with the label map.

    `data` holds images and masks in two folders or side by side, or train without validation; a test split that it has
    is copied as it is. `group` is a regular expression, searched in the path of each image below its folder, without
    ending: pairs for which its first group, or without one the whole match, is equal stay together. Without it, copies
    of one image do. The check of a training that needs no label map is made first. Raises UserError and DataError for
    values out of range, groups that cannot be divided, and data that cannot be used, OutputExistsError as
    `atomic_directory` does.
    """
    shares = _checked_shares(validation, test, seed)
    folders, own_test = _find_folders(data, wants_test=test > 0)
    check_writable_folder(output)
    with atomic_directory(output, overwrite, MARKER) as folder:
        splits = _divide(_grouped(_check(folders, "train"), group, len(shares)), shares, seed)
        if own_test:
            splits["test"] = _grouped(_check(own_test, "test"), group, 1)
            if group and (shared := sorted(splits["test"].keys() & (splits["train"].keys() | splits["validation"]))):
                logger.warning(f"test has groups that train and validation have as well: {listed(shared)}")
        summaries = {
            split: SplitSummary(sum(map(len, groups.values())), len(groups)) for split, groups in splits.items()
        }
        _warn_of_missing_values(splits)
        pairs = [(split, scan.pair) for split, groups in splits.items() for scan in chain(*groups.values())]
        with progress("copying", len(pairs)) as advance:
            for split, pair in pairs:
                for blob, channel in ((pair.image, split), (pair.mask, f"{split}_annotation")):
                    path = folder / channel / f"{pair.key}{PurePosixPath(blob.name).suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(blob.read())
                advance(1, "pairs")
        _copy_labels(data, folders, folder)
        names = {split: list(map(printable, groups)) for split, groups in splits.items()}
        settings = {"source": printable(str(data)), "shares": shares, "seed": seed, "group": group and printable(group)}
        write_json(folder / MARKER, settings | {"groups": names})
    return summaries


def _checked_shares(validation: float, test: float, seed: int) -> dict[str, float]:
    """The share of each split, that of train first."""
    if not 0 < validation < 1:
        raise UserError(f"--validation is {validation}; it is a share, more than 0 and less than 1.")
    if not 0 <= test < 1:
        raise UserError(f"--test is {test}; it is a share, at least 0, which makes no test split, and less than 1.")
    if validation + test >= 1:
        raise UserError(f"--validation {validation} and --test {test} leave nothing to train on.")
    if seed < 0:
        raise UserError(f"The seed must be 0 or a larger whole number, not {seed}.")
    shares = {"train": 1 - validation - test, "validation": validation, "test": test}
    return {split: share for split, share in shares.items() if share}


def _find_folders(data: Path, *, wants_test: bool) -> tuple[SplitFolders, SplitFolders | None]:
    """The folders to divide, and those of a test split that is there already."""
    if not data.is_dir():
        raise UserError(f"{data} is not a folder.")
    if divided := find_split(data, "validation"):
        raise DataError(
            f"{data} is divided already: {divided.images} is there. `segwright train` takes it as it is; to divide it "
            "anew, put all pairs into train and train_annotation."
        )
    test = find_split(data, "test")
    if test and wants_test:
        raise DataError(f"{data} has a test split already, {test.images}, which is copied: leave out --test.")
    undivided = find_split(data, "")
    if train := find_split(data, "train"):
        return train, test
    return (undivided if undivided and undivided.masks else SplitFolders(data, None)), test


def _check(folders: SplitFolders, channel: str) -> Sequence[PairScan]:
    pairing = find_pairs(folders.images, folders.masks or folders.images)
    return examine_pairs(pairing, Expected(channel, judge_masks=False), Findings(), lambda: None).scans


def _grouped(scans: Sequence[PairScan], pattern: str | None, needed: int) -> Groups:
    groups: defaultdict[str, list[PairScan]] = defaultdict(list)
    if pattern is None:
        first: dict[bytes, str] = {}
        for scan in scans:
            groups[first.setdefault(scan.image_digest, scan.pair.key)].append(scan)
    else:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise UserError(f"--group {pattern!r} is no regular expression: {error}.") from None
        for scan in scans:
            match = compiled.search(scan.pair.key)
            name = match[1 if compiled.groups else 0] if match else None
            groups["" if name is None else name].append(scan)
        if alone := groups.pop("", []):
            raise DataError(
                f"--group {pattern!r} finds no group in {len(alone)} of {len(scans)} paths, such as "
                f"{listed([scan.pair.key for scan in alone])}. It is searched in the path of an image below its "
                "folder, without ending."
            )
    if len(groups) < needed:
        what = counted(len(groups), "different image" if pattern is None else "group")
        by = "" if pattern is None else f" by --group {pattern!r}"
        raise DataError(f"{what}{by} ({listed([repr(name) for name in groups])}) cannot fill {needed} splits.")
    return groups


def _divide(groups: Groups, shares: Mapping[str, float], seed: int) -> dict[str, Groups]:
    """Which groups each split holds, in their order."""
    values = np.unique(np.concatenate([scan.values for some in groups.values() for scan in some]))
    pixels = np.zeros((len(groups), len(values)), np.int64)
    for row, some in zip(pixels, groups.values(), strict=True):
        for scan in some:
            row[np.searchsorted(values, scan.values)] += scan.counts
    sizes = np.array([len(some) for some in groups.values()])
    chosen = stratify(sizes, pixels, shares, seed, list(groups))
    return {
        split: {name: groups[name] for name, its_split in zip(groups, chosen, strict=True) if its_split == split}
        for split in shares
    }


def _warn_of_missing_values(splits: Mapping[str, Groups]) -> None:
    held = {
        split: {value for scan in chain(*groups.values()) for value in scan.values.tolist()} - {NO_DATA, IGNORE}
        for split, groups in splits.items()
    }
    for split, values in held.items():
        if missing := sorted(set().union(*held.values()) - values):
            logger.warning(f"{split}: no mask holds {listed(missing, 8)}, as masks of other splits do.")


def _copy_labels(data: Path, folders: SplitFolders, output: Path) -> None:
    """Copy the label map, and files of classes that lie beside masks or images."""
    if (label_map := data / "label_map").is_dir():
        (output / "label_map").mkdir()
        for file in filter(Path.is_file, label_map.iterdir()):
            shutil.copyfile(file, output / "label_map" / file.name)
    places = [place for place in (folders.masks, folders.images, data) if place]
    for name in CLASS_FILES:
        if found := [place / name for place in places if (place / name).is_file()]:
            shutil.copyfile(found[0], output / name)
