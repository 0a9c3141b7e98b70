"""Finds the images that a data set names, also where they lie in other folders than it says."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import unquote

from segwright.data.file_words import fold
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.importers.dataset import without_suffix
from segwright.importers.files import files_below, is_there, warn_left_out
from segwright.storage import Blob, open_blob

_ENOUGH: Final = 1000  # images that show in which folder the others lie
_LOCAL_FILES: Final = "/local-files/?d="  # Label Studio's address of a file on its own disk
_UPLOADED: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the names of uploads


class FoundImage(NamedTuple):
    """An image and its path below the folder in which it was looked for."""

    name: str
    blob: Blob


class ImageFinder:
    """Finds images in a folder by the end of a stated path, or `everywhere` below by as much as tells files apart. A
    stated path never leads out of the folder.
    """

    def __init__(self, folder: Path, *, everywhere: bool) -> None:
        self.folder = folder
        self._everywhere = everywhere

    def find(self, stated: str) -> FoundImage | None:
        """The image of a path, also of one with backslashes, of another machine, or of a web address."""
        for path in dict.fromkeys((stated, unquote(stated))):
            parts = stated_parts(path)
            ends = ("/".join(parts[start:]) for start in range(len(parts)))
            name = next((end for end in ends if is_there(self.folder / end)), None) or self._find_anywhere(parts)
            if name is not None:
                return FoundImage(name, open_blob(self.folder / name))
        return None

    def _find_anywhere(self, parts: Sequence[str]) -> str | None:
        """The one image of the name, or the one that shares more of the stated folders than all others of the name."""
        folders = [fold(part) for part in parts[-2::-1]]

        def shared(path: PurePosixPath) -> int:
            same = (fold(one) == other for one, other in zip(path.parts[-2::-1], folders, strict=False))
            return sum(takewhile(bool, same))

        # as stated, and before it was uploaded; each with its suffix and without
        names = (parts[-1], _UPLOADED.sub("", parts[-1])) if parts else ()
        for name in (fold(spelling) for one in names for spelling in (one, without_suffix(one))):
            ranked = sorted(self._index.get(name, ()), key=shared, reverse=True)
            if len(ranked) == 1 or (len(ranked) > 1 and shared(ranked[0]) > shared(ranked[1])):
                return ranked[0].as_posix()
        return None

    def namesakes(self, stated: str) -> Sequence[PurePosixPath]:
        """The images in all folders that have the name of a path."""
        parts = stated_parts(unquote(stated))
        return self._index.get(fold(parts[-1]), ()) if parts else ()

    @cached_property
    def _index(self) -> dict[str, list[PurePosixPath]]:
        """The images below the folder by name, and by name without suffix, since some were converted."""
        found: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in files_below(self.folder, *IMAGE_SUFFIXES) if self._everywhere else ():
            found[fold(path.name)].append(path)
            found[fold(path.stem)].append(path)
        return found


def find_images(
    stated: Collection[str], folders: Sequence[Path], given: Path | None, origin: str
) -> dict[str, FoundImage]:
    """The images of some stated paths: in that of `folders` which holds most of them, or anywhere below the folder that
    is `given`; without those that are not there, and those that would share a file.

    Warnings count what is left out; `origin` is what states the paths. Raises DataError where no image is left.
    """
    first = list(stated)[:_ENOUGH]
    finders = [ImageFinder(folder, everywhere=False) for folder in folders]
    finders = [max(finders, key=lambda finder: sum(finder.find(path) is not None for path in first))]
    finders += [ImageFinder(given, everywhere=True)] if given else []
    found = {path: next(filter(None, (finder.find(path) for finder in finders)), None) for path in stated}
    files = Counter(image.blob.name for image in found.values() if image)
    kept = {path: image for path, image in found.items() if image and files[image.blob.name] == 1}
    missing = [path for path, image in found.items() if image is None]
    where = f"{given} and below it" if given else ", ".join(dict.fromkeys(map(str, folders)))
    if missing and len(several := finders[-1].namesakes(missing[0])) > 1:
        where += f"; several files have the name, as {several[0]} and {several[1]}"
    if not kept:
        raise DataError(
            f"{origin}: none of the {len(found)} images is there, for example {next(iter(found))}; looked for in "
            f"{where}. Give their folder with --images DIR."
        )
    shared = [path for path, image in found.items() if image and path not in kept]
    warn_left_out(origin, "image", shared, "as only one file is there for several of a name", len(found))
    cure = f"Looked for in {where}; if they lie elsewhere, give their folder with --images DIR."
    warn_left_out(origin, "image", missing, "not found", len(found), cure)
    return kept


def strip_common_folder(paths: Sequence[str]) -> list[str]:
    """Paths of images from the innermost folder that holds them all."""
    folders = [PurePosixPath(path).parts[:-1] for path in paths]
    first, last = min(folders), max(folders)  # what these two share, all share
    shared = sum(takewhile(bool, (one == other for one, other in zip(first, last, strict=False))))
    return ["/".join(PurePosixPath(path).parts[shared:]) for path in paths]


def stated_parts(stated: str) -> list[str]:
    """The parts of a stated path, none of which leads upwards; of a web address without a query that is no path."""
    path = stated.partition(_LOCAL_FILES)[2] or (stated.partition("?")[0] if "://" in stated else stated)
    return [part for part in re.split(r"[/\\]+", path) if part not in ("", ".", "..")]
