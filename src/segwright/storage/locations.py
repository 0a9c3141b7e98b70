"""What a path or an address names: a place here or in S3, and the files below it.

Knows local paths and `s3://bucket/prefix`. Refuses to judge which files are wanted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from segwright.errors import DataError
from segwright.storage.blobs import Blob, FileBlob
from segwright.storage.cache import Cache
from segwright.storage.s3 import S3Blob, list_objects

_SCHEME: Final = "s3://"
_NAMED: Final = 5
_HIDDEN: Final = (".", "__MACOSX")  # the latter is what Macs add to archives
Skipped = Callable[[PurePosixPath], bool]


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key or prefix in it, without slashes at its ends."""

    bucket: str
    key: str
    cache: Cache | None = None
    """Where objects that are read from it are kept on the disk, if anywhere."""

    def __truediv__(self, name: str) -> "S3Location":
        return S3Location(self.bucket, f"{self.key}/{name}" if self.key else name, self.cache)

    def beside(self, path: str) -> "S3Location":
        """What a relative path names that stands in this object; `.` and `..` are followed, doubled slashes stay.

        Raises DataError for a path that leads out of the bucket.
        """
        parts = self.key.split("/")[:-1]
        for part in path.split("/"):
            if part == ".." and not parts:
                raise DataError(f"{path!r} in {self} leads out of its bucket; give an s3:// address.")
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return S3Location(self.bucket, "/".join(parts), self.cache)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key, or the bucket's name."""
        return PurePosixPath(self.key).name or self.bucket

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.name).suffix


Location = Path | S3Location


def parse_location(text: str | Path | S3Location, cache: Cache | None = None) -> Location:
    """The place that a path or an address names, whose objects `cache` keeps, if given.

    Raises DataError for an `s3://` address without a bucket.
    """
    if isinstance(text, S3Location):
        return replace(text, cache=cache or text.cache)
    if not str(text).startswith(_SCHEME):
        return Path(text)
    bucket, key = _bucket_and_key(str(text))
    return S3Location(bucket, key.strip("/"), cache)


def open_blob(place: str | Location, cache: Cache | None = None) -> Blob:
    """The bytes of one file or object; nothing is read yet. An address is taken at its word: `s3://b//x` is not
    `s3://b/x`. An object is kept in `cache` only with a tag, for which `with_tags` asks.
    """
    if isinstance(place, str) and place.startswith(_SCHEME):
        return S3Blob(*_bucket_and_key(place), cache=cache)
    found = parse_location(place, cache)
    return S3Blob(found.bucket, found.key, cache=found.cache) if isinstance(found, S3Location) else FileBlob(found)


def _bucket_and_key(address: str) -> tuple[str, str]:
    bucket, _, key = address[len(_SCHEME) :].partition("/")
    if not bucket:
        raise DataError(f"{address} names no bucket; an address is s3://BUCKET/PREFIX.")
    return bucket, key


def is_folder(place: Location) -> bool:
    """Whether there is a folder, or an object below the prefix."""
    if isinstance(place, S3Location):
        return next(list_objects(place.bucket, _prefix(place)), None) is not None
    return place.is_dir()


def is_file(place: Location) -> bool:
    """Whether there is a file, or an object of just this key."""
    if isinstance(place, S3Location):
        first = next(list_objects(place.bucket, place.key), None)  # keys come sorted, so its own would be first
        return first is not None and first.key == place.key
    return place.is_file()


def walk_files(place: Location, skipped: Skipped) -> Iterator[tuple[PurePosixPath, Blob]]:
    """The files below a place in a fixed order, each with its path from there.

    Hidden names (a dot first) and traces of Macs are left out, and so is everything below a folder, given by its path
    from the place, that `skipped` says so of. Local folders are followed through symbolic links, but none is walked
    through twice. Doubled slashes in keys count as one, as in file systems; `..` stays, so that a path need not be one
    below a folder of outputs: `path_below` judges that. Raises DataError for a place that is no folder or cannot be
    read.
    """
    if isinstance(place, S3Location):
        yield from _objects_below(place, skipped)
    else:
        yield from _local_files(place, skipped)


def _objects_below(place: S3Location, skipped: Skipped) -> Iterator[tuple[PurePosixPath, Blob]]:
    prefix = _prefix(place)
    known: dict[PurePosixPath, bool] = {}
    for blob in list_objects(place.bucket, prefix, place.cache):
        path = PurePosixPath(blob.key[len(prefix) :].lstrip("/"))
        if any(part.startswith(_HIDDEN) and part != ".." for part in path.parts):
            continue
        for folder in path.parents[:-1]:
            if folder not in known:
                known[folder] = skipped(folder)
        if not any(known[folder] for folder in path.parents[:-1]):
            yield path, blob


def _local_files(root: Path, skipped: Skipped) -> Iterator[tuple[PurePosixPath, Blob]]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder." if root.exists() else f"{root} does not exist.")
    seen: set[Path] = set()
    waiting = [root]
    while waiting:
        current = waiting.pop()
        resolved = current.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        files, folders = entries(current)
        for file in files:
            yield PurePosixPath(file.relative_to(root).as_posix()), FileBlob(file)
        waiting += [path for path in reversed(folders) if not skipped(PurePosixPath(path.relative_to(root).as_posix()))]


def entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and sub-folders in a folder, sorted, without hidden ones; DataError when it is closed."""
    try:
        found = [path for path in sorted(folder.iterdir()) if not path.name.startswith(_HIDDEN)]
        folders = {path: None for path in found if path.is_dir()}  # in order, and quick to look up
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
    return [path for path in found if path not in folders], list(folders)


def visible(folder: Path) -> list[Path]:
    """What lies in a folder in the order of names, without the traces of notebooks and of Macs."""
    return [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(_HIDDEN)]


def describe_folder(folder: Path) -> str:
    """The first names in a folder, for a message that says what is there."""
    return ", ".join(sorted(entry.name for entry in folder.iterdir())[:_NAMED]) or "nothing"


def _prefix(place: S3Location) -> str:
    """What keys below the place begin with: a slash at the end, since `train` is not `train_annotation`."""
    return f"{place.key}/" if place.key else ""
