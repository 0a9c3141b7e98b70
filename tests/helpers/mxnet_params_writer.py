"""MXNet's `.params` files as they are written: the other way round from what the package reads.

Source: section 4 of the description of what GluonCV computes.
"""

import struct
from collections.abc import Iterable
from typing import Any, Literal

from numpy.typing import NDArray

Layout = Literal["V3", "V2"]
Arrays = Iterable[tuple[str, NDArray[Any]]]

MAGIC = {"V3": 0xF993FACA, "V2": 0xF993FAC9}
TYPES = ("f4", "f8", "f2", "u1", "i4", "i1", "i8", "b1", "i2", "u2", "u4", "u8")
GPU = 2


def write_array(values: NDArray[Any], layout: Layout = "V2") -> bytes:
    """One array."""
    number = TYPES.index(values.dtype.str[1:])
    shape = struct.pack(f"<Iii{values.ndim}q", MAGIC[layout], 0, values.ndim, *values.shape)
    return shape + struct.pack("<iii", GPU, 3, number) + values.tobytes()


def write_list(arrays: Iterable[bytes], names: Iterable[str] = ()) -> bytes:
    """A file of arrays that are written already, and their names."""
    parts, texts = list(arrays), [name.encode() for name in names]
    return b"".join(
        (
            struct.pack("<QQQ", 0x112, 0, len(parts)),
            *parts,
            struct.pack("<Q", len(texts)),
            *(struct.pack("<Q", len(text)) + text for text in texts),
        )
    )


def write_params(arrays: Arrays, layout: Layout = "V2") -> bytes:
    """A file of named arrays; without names where all of them are empty."""
    pairs = list(arrays)
    return write_list((write_array(values, layout) for _, values in pairs), filter(None, (name for name, _ in pairs)))
