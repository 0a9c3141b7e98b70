"""Finding the images that a data set names, where they lie elsewhere or under other folders than it says.

Knows folders and file names. Refuses to open an image, and to guess between two of one name.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from segwright.console import LOGGER
from segwright.data.importers.items import is_there, is_trace, some
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.storage import Blob, files_below, open_blob

_LOCAL_FILES: Final = "/local-files/?d="  # Label Studio's address of a file on its own disk
_UPLOADED: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the names of uploads


@dataclass(frozen=True)
class FoundImage:
    """An image and its path below the folder in which it was looked for."""

    name: str
    image: Blob


class ImageFinder:
    """Finds images in some folders by the path that is stated or by its last part, the first folder first; and, where
    `below` is given, anywhere below that folder by as much of the path as is needed to tell one file from the others.

    A stated path never leads out of the folders.
    """

    def __init__(self, folders: Sequence[Path], below: Path | None = None) -> None:
        self._folders = list(folders)
        self._below = below

    def find(self, stated: str) -> FoundImage | None:
        """The image of a path, also of one with backslashes, of another machine, or of a web address."""
        parts = stated_parts(stated)
        if not parts:
            return None
        for folder in self._folders:
            for name in ("/".join(parts), parts[-1]):
                if is_there(folder / name):
                    self._prefer(folder)
                    return FoundImage(name, open_blob(folder / name))
        return self._anywhere(parts)

    def __str__(self) -> str:
        return some([str(folder) for folder in self._folders])

    def _prefer(self, folder: Path) -> None:
        """Look into this folder first from now on: most data sets have all images in one."""
        if self._folders[0] != folder:
            self._folders.remove(folder)
            self._folders.insert(0, folder)

    def _anywhere(self, parts: Sequence[str]) -> FoundImage | None:
        if self._below is None:
            return None
        folders = [_folded(part) for part in parts[:-1]]
        for name in _spellings(parts[-1]):
            if found := _only_best(self._index.get(name, ()), folders):
                return FoundImage(found.as_posix(), open_blob(self._below / found))
        return None

    @cached_property
    def _index(self) -> dict[str, list[PurePosixPath]]:
        """The images below the folder by name, and by name without ending, as some were converted since."""
        found: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path, _ in files_below(self._below, is_trace) if self._below else ():
            if path.suffix.lower() in IMAGE_SUFFIXES:
                found[_folded(path.name)].append(path)
                found[_folded(path.stem)].append(path)
        return found


def find_images(stated: Iterable[str], finder: ImageFinder, origin: str) -> dict[str, FoundImage]:
    """The images of some stated paths, without those that are not there, and those that would share a file.

    A warning counts what is left out; `origin` is what states the paths. Raises DataError where no image is left.
    """
    found = {path: finder.find(path) for path in stated}
    files = Counter(picture.image.name for picture in found.values() if picture)
    kept = {path: picture for path, picture in found.items() if picture and files[picture.image.name] == 1}
    if shared := [path for path, picture in found.items() if picture and path not in kept]:
        LOGGER.warning(
            f"{origin}: {len(shared)} of {len(found)} images have a namesake, and only one file for both is there; "
            f"they are left out: {some(shared)}"
        )
    missing = [path for path, picture in found.items() if picture is None]
    if not kept:
        raise DataError(
            f"{origin}: none of the {len(found)} images is there, for example {next(iter(found))}; looked for in "
            f"{finder}. Give their folder with --images DIR."
        )
    if missing:
        LOGGER.warning(
            f"{origin}: {len(missing)} of {len(found)} images are not there and are left out: {some(missing)}; looked "
            f"for in {finder}. If they lie elsewhere, give their folder with --images DIR."
        )
    return kept


def stated_parts(stated: str) -> list[str]:
    """The parts of a stated path: of an address without its query, unless the query is the path, and none that leads
    upwards.
    """
    path = stated.partition(_LOCAL_FILES)[2] or (stated.partition("?")[0] if "://" in stated else stated)
    return [part for part in re.split(r"[/\\]+", path) if part not in ("", ".", "..")]


def _spellings(name: str) -> Iterator[str]:
    """The names that a file may have: as stated, as a web address spells it, and before it was uploaded; each with
    its ending and without.
    """
    for one in dict.fromkeys((name, unquote(name), _UPLOADED.sub("", unquote(name)))):
        yield _folded(one)
        stem, _, ending = one.rpartition(".")
        if stem and f".{ending.lower()}" in IMAGE_SUFFIXES:
            yield _folded(stem)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _only_best(paths: Sequence[PurePosixPath], folders: Sequence[str]) -> PurePosixPath | None:
    """The one path that shares more of the stated folders, from the end, than all others."""

    def shared(path: PurePosixPath) -> int:
        same = (_folded(one) == other for one, other in zip(path.parts[-2::-1], folders[::-1], strict=False))
        return sum(1 for _ in takewhile(bool, same))

    ranked = sorted(paths, key=shared, reverse=True)
    clear = len(ranked) == 1 or (len(ranked) > 1 and shared(ranked[0]) > shared(ranked[1]))
    return ranked[0] if clear else None
