"""Names from outside (S3 keys, archive members, paths in other tools' files) as paths below a folder, or refused."""

import os
import re
from pathlib import Path
from typing import Final

from segwright.errors import UserError

_MAX_PART: Final = 255  # bytes, on nearly all file systems
_MAX_PATH: Final = 4095  # bytes, on Linux
_SHOWN: Final = 120  # characters of a name in a message
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_SEPARATORS: Final = re.compile(r"[/\\]")


def path_below(folder: Path, name: str) -> Path:
    """The path of `name`, with forward slashes, strictly below `folder`; neither has to exist.

    The name is not changed, but judged as the strictest system reads it, since outputs travel: backslashes separate as
    well. Raises UserError for absolute names, drive letters, parts that are empty or only dots and spaces (`..` above
    all), control characters, half a surrogate pair, overlong names, and symbolic links that lead out.
    """
    path = folder / name
    fault = _fault(name, path)
    if fault is None and not leads_below(path, folder):
        fault = "a symbolic link there leads out of it"
    if fault is not None:
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
        raise UserError(f"{shown!r} is no name of a file below the output folder: {fault}.", value=name)
    return path


def leads_below(path: Path, folder: Path) -> bool:
    """Whether a path is strictly below a folder when all links in both are followed."""
    try:
        top, end = folder.resolve(), path.resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a null character, or circular links
        return False
    return end != top and end.is_relative_to(top)


def _fault(name: str, path: Path) -> str | None:
    """Why a name cannot be that of a file below a folder, whatever exists there; or None."""
    parts = _SEPARATORS.split(name)
    try:
        longest, whole = max(len(os.fsencode(part)) for part in name.split("/")), len(os.fsencode(path))
    except UnicodeEncodeError:
        return "it holds a character that file names cannot have"
    if _CONTROL.search(name):
        return "it holds a control character"
    if not parts[0] or _DRIVE.match(name):
        return "it is empty, or absolute (a slash or a drive letter first)"
    if ".." in parts:
        return "a part of it is .., which leads out"
    if not all(part.strip(". ") for part in parts):
        return "a part of it is empty, or nothing but dots and spaces"
    if longest > _MAX_PART or whole > _MAX_PATH:
        return f"it is too long (a part may have {_MAX_PART} bytes, a path {_MAX_PATH:,})"
    return None
