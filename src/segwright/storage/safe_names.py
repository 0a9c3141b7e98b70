"""Names from outside as paths: below a folder, or refused.

Whatever is written under a name from outside (a key in S3, a member of an archive, a path in another tool's
file) passes `path_below`. Knows what file systems make of a name: parts, links, drive letters, lengths. Refuses to
know where names come from, and to change them.
"""

import os
import re
from pathlib import Path
from typing import Final

from segwright.errors import UserError

_LONGEST_PART: Final = 255  # bytes, as nearly all file systems have it
_LONGEST_PATH: Final = 4095  # bytes, as Linux has it
_SHOWN: Final = 120  # characters of a name in a message
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_SEPARATORS: Final = re.compile(r"[/\\]")


def path_below(folder: Path, name: str) -> Path:
    """The path of `name`, whose parts stand between forward slashes, strictly below `folder`; neither has to exist.

    The name stays as it is: no part is dropped, replaced or normalised, and a backslash stays a character of a file
    name where the system has it so. It is judged as the strictest system reads it, since outputs travel: for this
    alone, backslashes separate as well. Raises UserError for names that are absolute, have a drive letter, a part that
    is empty or made of dots and spaces (`..` above all), a control character, half a surrogate pair or more bytes than
    file systems take, and where a symbolic link at the path or above it leads out of the folder.
    """
    path = folder / name
    fault = _fault(name, path)
    if fault is None and not leads_below(path, folder):
        fault = "a symbolic link there leads out of it"
    if fault is not None:
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
        raise UserError(f"{shown!r} is no name of a file below the output folder: {fault}.")
    return path


def leads_below(path: Path, folder: Path) -> bool:
    """Whether a path, with all links in it and in the folder's followed, is strictly below the folder."""
    try:
        top, end = folder.resolve(), path.resolve()
    except (OSError, ValueError, RuntimeError):  # too long, with a null character, or links that lead in a circle
        return False
    return end != top and end.is_relative_to(top)


def _fault(name: str, path: Path) -> str | None:
    """What keeps a name from being that of a file below a folder, whatever lies there; None where nothing does."""
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
    if longest > _LONGEST_PART or whole > _LONGEST_PATH:
        return f"it is too long (a part may have {_LONGEST_PART} bytes, a path {_LONGEST_PATH:,})"
    return None
