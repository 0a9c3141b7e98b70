"""The run-length encoding of Label Studio's brush: @thi.ng/rle-pack, a stream of bits.

Header: number of values (32 bits), bits of a value less 1 (5), and four widths of a run's length less 1 (4 each). Then,
until all values are there: 1 bit that says whether one value repeats or each is given, 2 bits that choose the width,
the length less 1, and the value or values.

Source: @thi.ng/rle-pack, README "Encoding format"; label-studio-converter, `brush.py`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError

_HEADER: Final = 32 + 5 + 4 * 4  # bits
_VALUE: Final = 8  # bits; Label Studio encodes bytes
_WINDOW: Final = 5  # bytes that hold a run's head and its first value, from any bit on: 7 + 3 + 16 + 8 bits


def decode_rle_pack(data: bytes, count: int) -> NDArray[np.uint8]:
    """The values, uint8 [count].

    Memory and time follow from `data` and `count`, whatever the header claims. Raises DataError for data that announce
    another count, or values of other than 8 bits, and for data that break off.
    """
    if len(data) * 8 < _HEADER:
        raise DataError(f"the run lengths have {len(data)} bytes, which is less than their header.")
    found = _bits(data, 0, 32)
    if found != count:
        raise DataError(f"the run lengths are of {found:,} values, but the size asks for {count:,}.")
    if (width := _bits(data, 32, 5) + 1) != _VALUE:
        raise DataError(f"the run lengths are of values of {width} bits; Label Studio writes 8.")
    widths = [_bits(data, 37 + 4 * place, 4) + 1 for place in range(4)]
    return _decode_runs(data, widths, count)


def _decode_runs(data: bytes, widths: list[int], count: int) -> NDArray[np.uint8]:
    values = np.zeros(count, np.uint8)
    padded = data + bytes(_WINDOW)
    at, done = _HEADER, 0
    while done < count:
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + _WINDOW])  # read once: some files have millions of runs
        left = _WINDOW * 8 - (at & 7) - 3
        repeats, width = window >> (left + 2) & 1, widths[window >> left & 3]
        left -= width
        length = min((window >> left & ((1 << width) - 1)) + 1, count - done)
        at += 3 + width
        if at + (1 if repeats else length) * _VALUE > len(data) * 8:
            raise DataError(f"the run lengths break off after {done:,} of {count:,} values.")
        if repeats or length == 1:
            values[done : done + length] = window >> (left - _VALUE) & 0xFF
            at += _VALUE
        else:
            values[done : done + length] = _bytes(data, at, length)
            at += length * _VALUE
        done += length
    return values


def _bits(data: bytes, at: int, width: int) -> int:
    """The number in `width` bits from the bit `at`, the highest bit first; 0 beyond the end."""
    last = at + width
    piece = int.from_bytes(data[at >> 3 : (last + 7) >> 3])
    return piece >> (-last & 7) & ((1 << width) - 1)


def _bytes(data: bytes, at: int, length: int) -> NDArray[np.uint8]:
    """Bytes that begin at any bit."""
    first, shift = at >> 3, at & 7
    pieces = np.frombuffer(data, np.uint8, length + (shift > 0), first)
    if not shift:
        return pieces
    whole: NDArray[np.uint8] = np.bitwise_or(pieces[:-1] << np.uint8(shift), pieces[1:] >> np.uint8(8 - shift))
    return whole
