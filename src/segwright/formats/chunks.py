"""PNG files without what is no pixel: texts, colour profiles, notes of a camera.

Knows chunks by their names. Refuses to look into them: such texts may be of any size once they are inflated, readers
refuse large ones, and no pixel depends on them.

Source: PNG specification (third edition), sections 5 (chunks) and 11.3 (ancillary chunks).
"""

import struct
from typing import Final

_SIGNATURE: Final = 8
_TEXTS: Final = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"))


def without_texts(png: bytes) -> bytes:
    """The same PNG file without texts, profile and EXIF; the file itself where it has none."""
    kept, start, at = [], 0, _SIGNATURE
    while at + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if kind in _TEXTS:
            kept.append(png[start:at])
            start = end
        at = end
    return b"".join([*kept, png[start:]]) if kept else png
