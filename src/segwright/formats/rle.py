"""Run lengths of regions: COCO's and those of Label Studio's brush.

COCO's are counts of pixels outside and inside, by turns, down the columns, as a list or as compressed text.

Label Studio's are @thi.ng/rle-pack, a stream of bits. Header: number of values (32 bits), bits of a value less 1 (5),
four widths of a run's length less 1 (4 each). Then, until all values are there: 1 bit, whether one value repeats or
each is given; 2 bits that choose the width; the length less 1; the value or values.

Source: COCO API, `common/maskApi.c` (`rleEncode`, `rleToString` and their inverses); @thi.ng/rle-pack, README "Encoding
format"; label-studio-converter, `brush.py`.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.file_types import MAX_PIXELS, check_size

_GROUP_BITS: Final = 5
_MOST_GROUPS: Final = 7  # 35 bits, more than any count of pixels needs
_MORE: Final = 0x20
_SIGN: Final = 0x10
_FIRST_CHARACTER: Final = 48
_AT_ONCE: Final = 1 << 16  # counts that are compressed together: each takes up to half a kilobyte meanwhile

_PACK_HEADER: Final = 32 + 5 + 4 * 4  # bits
_PACK_VALUE: Final = 8  # bits; Label Studio encodes bytes
_PACK_WINDOW: Final = 5  # bytes that hold a run's head and its first value, from any bit on: 7 + 3 + 16 + 8 bits


def encode_regions(mask: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each number that a mask [H, W] holds, in ascending order, and the counts of its region: int64, the first one of
    pixels outside. Takes one pass over the mask, and memory for its runs, some 25 bytes for each.
    """
    pixels = mask.ravel(order="F")
    if not pixels.size:
        return
    starts = np.concatenate(([0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1))
    numbers = pixels[starts]
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers))
    for number, (first, last) in enumerate(pairwise([0, *ends.tolist()])):
        if first < last:
            yield number, _counts(starts, order[first:last], pixels.size)


def _counts(starts: NDArray[np.int64], runs: NDArray[np.int64], pixels: int) -> NDArray[np.int64]:
    """The counts of some of all runs; a run ends where the next one starts, and the last one with the pixels."""
    edges = np.empty(2 * len(runs), np.int64)
    edges[::2] = starts[runs]
    edges[1::2] = starts.take(runs + 1, mode="clip")
    if runs[-1] == len(starts) - 1:
        edges[-1] = pixels
        return np.diff(edges, prepend=0)
    return np.diff(edges, prepend=0, append=pixels)


def decode_rle(counts: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask of some counts, bool [height, width]; takes memory for both, whatever the counts claim.

    Raises DataError for counts that are negative or do not add up to height x width, and for no pixels; TooLargeError
    for more than are read of an image.
    """
    check_size(height, width, "the run-length mask", max_pixels=MAX_PIXELS)
    return np.ascontiguousarray(expand_counts(counts, height * width).reshape(width, height).T)


def expand_counts(counts: Sequence[int], pixels: int) -> NDArray[np.bool_]:
    """Which of so many pixels, down the columns, lie inside: bool [pixels]. Memory and DataError as in `decode_rle`."""
    if min(counts, default=0) < 0:
        raise DataError(f"a count of the run lengths is {min(counts)}; counts are 0 or more.")
    if (total := sum(counts)) != pixels:
        raise DataError(f"the counts of the run lengths add up to {total} pixels, but the mask has {pixels}.")
    return np.repeat(np.arange(len(counts)) % 2 == 1, np.asarray(counts, np.int64))


def compress_counts(counts: Sequence[int] | NDArray[np.int64]) -> str:
    """The text form: from the fourth on each count as the difference to the last but one, in groups of 5 bits, the
    lowest first, each as a character from `0` to `o` that also says whether more follow.
    """
    values = np.array(counts, np.int64)
    values[3:] -= np.asarray(counts[1:-2], np.int64)
    text = b""
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE, None]
        most = int(np.abs(part).max()).bit_length() // _GROUP_BITS + 1  # groups of the largest number
        rest = part >> (_GROUP_BITS * np.arange(most + 1))
        groups, rest = rest[:, :-1] & 0x1F, rest[:, 1:]
        last = np.argmax(rest == np.where(groups & _SIGN, -1, 0), axis=1)[:, None]
        place = np.arange(most)
        characters = groups + _FIRST_CHARACTER + np.where(place < last, _MORE, 0)
        text += bytes(characters[place <= last].astype(np.uint8))
    return text.decode("ascii")


def decompress_counts(text: str) -> list[int]:
    """The counts of the text form, which need not fit an image. Raises DataError for other characters, and for a text
    that ends in a number.
    """
    if not text:
        return []
    groups = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if groups.min() < 0 or groups.max() >= 2 * _MORE:
        raise DataError("compressed run lengths hold a character that is not from 0 to o of ASCII.")
    if groups[-1] & _MORE:
        raise DataError("compressed run lengths break off in the middle of a number.")
    ends = np.flatnonzero(groups < _MORE)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > _MOST_GROUPS:
        raise DataError("compressed run lengths hold a number that is larger than any image.")
    starts = ends - lengths + 1
    place = np.arange(groups.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((groups & 0x1F) << (_GROUP_BITS * place), starts)
    values -= np.where(groups[ends] & _SIGN, 1 << (_GROUP_BITS * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    counts: list[int] = values.tolist()
    return counts


def decode_rle_pack(data: bytes, count: int) -> NDArray[np.uint8]:
    """The values of Label Studio's run lengths, uint8 [count].

    Memory and time follow from `data` and `count`, whatever the header claims. Raises DataError for data that announce
    another count, or values of other than 8 bits, and for data that break off.
    """
    if len(data) * 8 < _PACK_HEADER:
        raise DataError(f"the run lengths have {len(data)} bytes, which is less than their header.")
    if (found := _bits(data, 0, 32)) != count:
        raise DataError(f"the run lengths are of {found:,} values, but the size asks for {count:,}.")
    if (width := _bits(data, 32, 5) + 1) != _PACK_VALUE:
        raise DataError(f"the run lengths are of values of {width} bits; Label Studio writes 8.")
    widths = [_bits(data, 37 + 4 * place, 4) + 1 for place in range(4)]
    values = np.zeros(count, np.uint8)
    padded = data + bytes(_PACK_WINDOW)
    at, done = _PACK_HEADER, 0
    while done < count:
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + _PACK_WINDOW])  # read once: there may be millions of runs
        left = _PACK_WINDOW * 8 - (at & 7) - 3
        repeats, width = window >> (left + 2) & 1, widths[window >> left & 3]
        left -= width
        length = min((window >> left & ((1 << width) - 1)) + 1, count - done)
        at += 3 + width
        if at + (1 if repeats else length) * _PACK_VALUE > len(data) * 8:
            raise DataError(f"the run lengths break off after {done:,} of {count:,} values.")
        if repeats or length == 1:
            values[done : done + length] = window >> (left - _PACK_VALUE) & 0xFF
        else:
            values[done : done + length] = _bytes(data, at, length)
        at += (1 if repeats else length) * _PACK_VALUE
        done += length
    return values


def _bits(data: bytes, at: int, width: int) -> int:
    """The number in `width` bits from the bit `at`, the highest bit first; 0 beyond the end."""
    last = at + width
    return int.from_bytes(data[at >> 3 : (last + 7) >> 3]) >> (-last & 7) & ((1 << width) - 1)


def _bytes(data: bytes, at: int, length: int) -> NDArray[np.uint8]:
    """Bytes that begin at any bit."""
    first, shift = at >> 3, at & 7
    pieces = np.frombuffer(data, np.uint8, length + (shift > 0), first)
    return pieces if not shift else pieces[:-1] << np.uint8(shift) | pieces[1:] >> np.uint8(8 - shift)
