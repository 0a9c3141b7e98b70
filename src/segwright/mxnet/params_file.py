"""MXNet's `.params` file: a list of arrays, mostly with names, as `net.save_parameters` and its relatives write it.

Reads dense arrays in the two layouts of MXNet since 0.12 (2017). Every count and length in the file is held against
the bytes that are there before memory is taken, and arrays are views of the file's own bytes.

Source: MXNet, `src/ndarray/ndarray.cc`, as section 4 of the description of what GluonCV computes has it.
"""

import math
import struct
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import BundleError

FILE_MAGIC: Final = struct.pack("<Q", 0x112)
"""What the file begins with."""

MAX_ARRAYS: Final = 100_000
"""More arrays than this are refused: each takes memory beside its bytes, and GluonCV's largest network has 574."""

_FEWEST_DIMENSIONS: Final = {0xF993FAC9: 1, 0xF993FACA: 0}
"""The fewest dimensions of an array, by the number that stands before it: scalars came later."""
_MAX_DIMENSIONS: Final = 32  # NumPy's own limit before its version 2
_MAX_BYTES: Final = 2**62  # of an array, were its empty dimensions 1: NumPy counts so
_TYPES: Final = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?", "<i2", "<u2", "<u4", "<u8")
"""NumPy's names for MXNet's numbers of types."""


@dataclass(frozen=True, eq=False)
class NamedArray:
    """One array of the file, and its name: "" in a list without names."""

    name: str
    values: NDArray[Any] = field(repr=False)


def read_params(data: bytes | memoryview | mmap, name: str) -> list[NamedArray]:
    """The arrays of a file, in its order, as views of `data` in their own types; `name` is for messages.

    Bytes after the end are ignored, as in MXNet. Raises BundleError, with the byte at which reading stopped, for other
    files, damaged ones, those that were cut off, and for sparse arrays.
    """
    reader = _Reader(memoryview(data), name)
    if reader.bytes(min(8, len(reader.data)), "the first number") != FILE_MAGIC:
        raise reader.error("is no MXNet .params file: it does not begin with 0x112", 0)
    reader.integer("Q", "the reserved number")
    count = reader.integer("Q", "the number of arrays")
    if count > MAX_ARRAYS:
        raise reader.error(f"claims to hold {count:,} arrays, more than the {MAX_ARRAYS:,} that are read")
    arrays = [_read_array(reader, f"array {number}") for number in range(count)]
    named = reader.integer("Q", "the number of names")
    if named not in (0, count):
        raise reader.error(f"is damaged: it has {count:,} arrays, but {named:,} names")
    names = [_read_name(reader, f"name {number}") for number in range(named)] or [""] * count
    return [NamedArray(each, values) for each, values in zip(names, arrays, strict=True)]


class _Reader:
    """A cursor over the bytes of a file that never passes their end."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.data, self.offset = data, 0
        self._name = name

    def skip(self, size: int, what: str) -> int:
        """Pass over `size` bytes and return where they begin; BundleError where they are not all there."""
        start, there = self.offset, len(self.data) - self.offset
        if size > there:
            raise self.error(f"was cut off: {what} needs {size:,} bytes, but only {there:,} are left")
        self.offset += size
        return start

    def bytes(self, size: int, what: str) -> bytes:
        start = self.skip(size, what)
        return self.data[start : start + size].tobytes()

    def integers(self, codes: str, what: str) -> tuple[int, ...]:
        """The next numbers, little-endian, by the codes of `struct`."""
        layout = f"<{codes}"
        return struct.unpack_from(layout, self.data, self.skip(struct.calcsize(layout), what))

    def integer(self, code: str, what: str) -> int:
        return self.integers(code, what)[0]

    def error(self, problem: str, offset: int | None = None) -> BundleError:
        """A problem of the file, at `offset` or at the byte that would be read next."""
        at = self.offset if offset is None else offset
        return BundleError(f"{self._name} {problem} (at byte {at:,}).", file=self._name)


def _read_array(reader: _Reader, what: str) -> NDArray[Any]:
    magic = reader.integer("I", f"the beginning of {what}")
    if magic not in _FEWEST_DIMENSIONS:
        raise reader.error(f"is damaged, or older than MXNet 0.12: {what} begins with {magic:#x}")
    if storage := reader.integer("i", f"the storage type of {what}"):
        raise reader.error(f"holds {what} in sparse storage (type {storage}); only dense arrays are read")
    dimensions = reader.integer("i", f"the shape of {what}")
    if not _FEWEST_DIMENSIONS[magic] <= dimensions <= _MAX_DIMENSIONS:
        raise reader.error(f"is damaged: {what} would have {dimensions:,} dimensions")
    shape = reader.integers("q" * dimensions, f"the shape of {what}")
    if min(shape, default=0) < 0:
        raise reader.error(f"is damaged: {what} would have the shape {list(shape)}")
    _, _, kind = reader.integers("iii", f"the device and type of {what}")
    if not 0 <= kind < len(_TYPES):
        raise reader.error(f"gives {what} the type number {kind}, which is none of those read")
    dtype = np.dtype(_TYPES[kind])
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize > _MAX_BYTES:
        raise reader.error(f"gives {what} the impossible shape {list(shape)}")
    start = reader.skip(math.prod(shape) * dtype.itemsize, f"{what}, of shape {list(shape)},")
    return np.ndarray(shape, dtype, reader.data, start)


def _read_name(reader: _Reader, what: str) -> str:
    size = reader.integer("Q", f"the length of {what}")
    start = reader.offset
    try:
        return str(reader.bytes(size, what), "utf-8")
    except UnicodeDecodeError:
        raise reader.error(f"is damaged: {what} is not UTF-8", start) from None
