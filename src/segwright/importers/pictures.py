"""Finding the images that a data set names, where they lie elsewhere or under other folders than it says.

Knows folders and file names. Refuses to open an image, and to guess between two of one name.
"""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from segwright.data.file_words import fold
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.importers.dataset import MARKER, is_there, is_trace, without_ending
from segwright.storage import Blob, open_blob, walk_files
from segwright.wording import listed

logger = logging.getLogger(__name__)

_ENOUGH: Final = 1000  # images that tell in which folder the others lie
_LOCAL_FILES: Final = "/local-files/?d="  # Label Studio's address of a file on its own disk
_UPLOADED: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the names of uploads


@dataclass(frozen=True)
class FoundImage:
    """An image and its path below the folder in which it was looked for."""

    name: str
    image: Blob


class ImageFinder:
    """Finds images in a folder by the path that is stated or the last parts of it; and, where it is to look
    `everywhere`, in all folders below by as much of the path as is needed to tell one file from the others.

    A stated path never leads out of the folder.
    """

    def __init__(self, folder: Path, *, everywhere: bool) -> None:
        self.folder = folder
        self._everywhere = everywhere

    def find(self, stated: str) -> FoundImage | None:
        """The image of a path, also of one with backslashes, of another machine, or of a web address."""
        for path in dict.fromkeys((stated, unquote(stated))):
            parts = stated_parts(path)
            for name in ("/".join(parts[start:]) for start in range(len(parts))):
                if is_there(self.folder / name):
                    return FoundImage(name, open_blob(self.folder / name))
            if parts and self._everywhere and (found := self._anywhere(parts)):
                return FoundImage(found.as_posix(), open_blob(self.folder / found))
        return None

    def _anywhere(self, parts: Sequence[str]) -> PurePosixPath | None:
        folders = [fold(part) for part in parts[:-1]]
        found = (_only_best(self._index.get(name, ()), folders) for name in _spellings(parts[-1]))
        return next(filter(None, found), None)

    def namesakes(self, stated: str) -> list[PurePosixPath]:
        """The images below the folder that have the name of a path."""
        parts = stated_parts(unquote(stated))
        return self._index.get(fold(parts[-1]), []) if parts and self._everywhere else []

    @cached_property
    def _index(self) -> dict[str, list[PurePosixPath]]:
        """The images below the folder by name, and by name without ending, as some were converted since."""
        found: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in images_below(self.folder):
            found[fold(path.name)].append(path)
            found[fold(path.stem)].append(path)
        return found


def images_below(folder: Path) -> list[PurePosixPath]:
    """The paths of the images below a folder, but for those that were imported before. Raises DataError where it
    cannot be read.
    """
    found = walk_files(folder, lambda below: is_trace(below) or is_there(folder / below / MARKER))
    return [path for path, _ in found if path.suffix.lower() in IMAGE_SUFFIXES]


def below_common_folder(paths: Sequence[str]) -> list[str]:
    """Paths of images from the innermost folder that holds them all."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    first, last = min(folders), max(folders)  # what these two share, all share
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return ["/".join(PurePosixPath(path).parts[shared:]) for path in paths]


def find_images(
    stated: Collection[str], folders: Sequence[Path], given: Path | None, origin: str
) -> dict[str, FoundImage]:
    """The images of some stated paths: in that of `folders` which holds most of them, or anywhere below the folder that
    is `given`; without those that are not there, and those that would share a file.

    A warning counts what is left out; `origin` is what states the paths. Raises DataError where no image is left.
    """
    first = list(islice(stated, _ENOUGH))
    finders = [ImageFinder(folder, everywhere=False) for folder in folders]
    finders = [max(finders, key=lambda finder: sum(finder.find(path) is not None for path in first))]
    finders += [ImageFinder(given, everywhere=True)] if given else []
    found = {path: next(filter(None, (finder.find(path) for finder in finders)), None) for path in stated}
    places = f"{given} and below it" if given else ", ".join(map(str, folders))
    files = Counter(picture.image.name for picture in found.values() if picture)
    kept = {path: picture for path, picture in found.items() if picture and files[picture.image.name] == 1}
    if shared := [path for path, picture in found.items() if picture and path not in kept]:
        logger.warning(
            f"{origin}: {len(shared)} of {len(found)} images have a namesake, and only one file for both is there; "
            f"they are left out: {listed(shared)}"
        )
    missing = [path for path, picture in found.items() if picture is None]
    if missing and len(several := finders[-1].namesakes(missing[0])) > 1:
        places += f"; several files have the name, as {several[0]} and {several[1]}"
    if not kept:
        raise DataError(
            f"{origin}: none of the {len(found)} images is there, for example {next(iter(found))}; looked for in "
            f"{places}. Give their folder with --images DIR."
        )
    if missing:
        logger.warning(
            f"{origin}: {len(missing)} of {len(found)} images are not there and are left out: {listed(missing)}; "
            f"looked for in {places}. If they lie elsewhere, give their folder with --images DIR."
        )
    return kept


def stated_parts(stated: str) -> list[str]:
    """The parts of a stated path: of an address without its query, unless the query is the path, and none that leads
    upwards.
    """
    path = stated.partition(_LOCAL_FILES)[2] or (stated.partition("?")[0] if "://" in stated else stated)
    return [part for part in re.split(r"[/\\]+", path) if part not in ("", ".", "..")]


def _spellings(name: str) -> Iterator[str]:
    """The names that a file may have: as stated, and before it was uploaded; each with its ending and without."""
    for one in dict.fromkeys((name, _UPLOADED.sub("", name))):
        yield fold(one)
        yield fold(without_ending(one))


def _only_best(paths: Sequence[PurePosixPath], folders: Sequence[str]) -> PurePosixPath | None:
    """The one path that shares more of the stated folders, from the end, than all others."""

    def shared(path: PurePosixPath) -> int:
        same = (fold(one) == other for one, other in zip(path.parts[-2::-1], folders[::-1], strict=False))
        return sum(1 for _ in takewhile(bool, same))

    ranked = sorted(paths, key=shared, reverse=True)
    clear = len(ranked) == 1 or (len(ranked) > 1 and shared(ranked[0]) > shared(ranked[1]))
    return ranked[0] if clear else None
