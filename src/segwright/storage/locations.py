"""Local paths and `s3://bucket/prefix` addresses, and the files below them."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from segwright.errors import DataError
from segwright.storage.blobs import Blob, FileBlob
from segwright.storage.cache import Cache
from segwright.storage.s3 import S3Blob, list_objects
from segwright.wording import listed

_SCHEME: Final = "s3://"
_SHOWN: Final = 5  # names in a message
_HIDDEN: Final = (".", "__MACOSX")  # the latter is what Macs add to archives
Skipped = Callable[[PurePosixPath], bool]


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key or prefix in it, without slashes at its ends."""

    bucket: str
    key: str
    cache: Cache | None = None  # where objects that are read from it are kept

    def __truediv__(self, name: str) -> "S3Location":
        return replace(self, key=f"{self.key}/{name}" if self.key else name)

    def beside(self, path: str) -> "S3Location":
        """The location of a relative path written in this object; `.` and `..` are followed, double slashes stay.
        Raises DataError for a path that leads out of the bucket.
        """
        parts = self.key.split("/")[:-1]
        for part in path.split("/"):
            if part == ".." and not parts:
                raise DataError(f"{path!r} in {self} leads out of its bucket; give an s3:// address.", file=str(self))
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return replace(self, key="/".join(parts))

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

    @property
    def prefix(self) -> str:
        """What keys below it begin with, a slash at the end: `train` is not `train_annotation`."""
        return f"{self.key}/" if self.key else ""


Location = Path | S3Location


def parse_location(text: str | Location, cache: Cache | None = None) -> Location:
    """The location that a path or an address names; its objects are kept in `cache`. Raises DataError for an `s3://`
    address without a bucket.
    """
    if isinstance(text, S3Location):
        return replace(text, cache=cache or text.cache)
    if not str(text).startswith(_SCHEME):
        return Path(text)
    bucket, key = _bucket_and_key(str(text))
    return S3Location(bucket, key.strip("/"), cache)


def open_blob(location: str | Location, cache: Cache | None = None) -> Blob:
    """The bytes of one file or object; nothing is read yet. An address is not normalised: `s3://b//x` is not `s3://b/x`.
    An object is cached only with a tag, which `with_tags` adds.
    """
    if isinstance(location, str) and location.startswith(_SCHEME):
        return S3Blob(*_bucket_and_key(location), cache=cache)
    parsed = parse_location(location, cache)
    return S3Blob(parsed.bucket, parsed.key, cache=parsed.cache) if isinstance(parsed, S3Location) else FileBlob(parsed)


def _bucket_and_key(address: str) -> tuple[str, str]:
    bucket, _, key = address[len(_SCHEME) :].partition("/")
    if not bucket:
        raise DataError(f"{address} names no bucket; an address is s3://BUCKET/PREFIX.", value=address)
    return bucket, key


def is_folder(location: Location) -> bool:
    """Whether there is a folder, or an object below the prefix."""
    if isinstance(location, S3Location):
        return next(list_objects(location.bucket, location.prefix), None) is not None
    return location.is_dir()


def is_file(location: Location) -> bool:
    """Whether there is a file, or an object of exactly this key."""
    if isinstance(location, S3Location):
        first = next(list_objects(location.bucket, location.key), None)  # keys are sorted: its own comes first
        return first is not None and first.key == location.key
    return location.is_file()


def walk_files(location: Location, skipped: Skipped) -> Iterator[tuple[PurePosixPath, Blob]]:
    """The files below a location in a fixed order, each with its path from there.

    Leaves out hidden names, traces of Macs, and folders, by their path from the location, that are `skipped`. Symbolic
    links are followed, each folder once. Double slashes in keys count as one; `..` stays: `path_below` judges it.
    Raises DataError for a location that is no folder or cannot be read.
    """
    skipped = functools.cache(skipped)
    if isinstance(location, S3Location):
        for blob in list_objects(location.bucket, location.prefix, location.cache):
            path = PurePosixPath(blob.key[len(location.prefix) :].lstrip("/"))
            hidden = any(part.startswith(_HIDDEN) and part != ".." for part in path.parts)
            if not hidden and not any(map(skipped, path.parents[:-1])):
                yield path, blob
        return
    if not location.is_dir():
        problem = "is not a folder" if location.exists() else "does not exist"
        raise DataError(f"{location} {problem}.", file=str(location))
    seen: set[Path] = set()
    waiting = [location]
    while waiting:
        folder = waiting.pop()
        if (resolved := folder.resolve()) in seen:
            continue
        seen.add(resolved)
        files, folders = list_folder(folder)
        yield from ((PurePosixPath(file.relative_to(location)), FileBlob(file)) for file in files)
        waiting += [path for path in reversed(folders) if not skipped(PurePosixPath(path.relative_to(location)))]


def list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and folders in a folder, sorted, without hidden ones. Raises DataError where it cannot be read."""
    files: list[Path] = []
    folders: list[Path] = []
    try:
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(_HIDDEN):
                (folders if path.is_dir() else files).append(path)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.", file=str(folder)) from error
    return files, folders


def describe_folder(folder: Path) -> str:
    """The first names in a folder, for messages."""
    return listed(sorted(entry.name for entry in folder.iterdir()), _SHOWN) or "nothing"
