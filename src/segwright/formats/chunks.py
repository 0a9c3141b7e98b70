"""PNG files without what is no pixel: texts, colour profiles, notes of a camera.

Knows chunks by their names. Refuses to look into them: such texts may be of any size once they are inflated, readers
refuse large ones, and no pixel depends on them.

Source: PNG specification (third edition), sections 5 (chunks) and 11.3 (ancillary chunks).
"""

import struct
from collections.abc import Iterator
from typing import Final

_SIGNATURE: Final = 8
_TEXTS: Final = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"))


def chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG file, as far as they follow one another: name, first byte and end in the file. Between are 8
    bytes of length and name, the content and 4 bytes of a checksum.
    """
    at = _SIGNATURE
    while at + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, at, at + 12 + length
        at += 12 + length


def without_texts(png: bytes) -> bytes:
    """The same PNG file without texts, profile and EXIF; the file itself where it has none."""
    kept, start = [], 0
    for kind, first, end in chunks(png):
        if kind in _TEXTS:
            kept.append(png[start:first])
            start = end
    return b"".join([*kept, png[start:]]) if kept else png
