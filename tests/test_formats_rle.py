import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.rle import (
    compress_counts,
    decode_rle,
    decode_rle_pack,
    decompress_counts,
    encode_regions,
    expand_counts,
)
from tests.helpers.rle_pack_writer import encode_rle_pack

MASKS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.sampled_from([0, 1, 2, 255]))
COUNTS = st.lists(st.integers(0, 1 << 28))


def regions(mask: NDArray[np.uint8]) -> dict[int, list[int]]:
    return {number: counts.tolist() for number, counts in encode_regions(mask)}


def compressed_one_by_one(counts: list[int]) -> str:
    """The compressed text as COCO describes it, number by number."""
    text = ""
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        while True:
            group, value = value & 31, value >> 5
            done = value == (-1 if group & 16 else 0)
            text += chr(48 + group + (0 if done else 32))
            if done:
                break
    return text


@pytest.mark.parametrize(("row", "counts"), [("0011101", [2, 3, 1, 1]), ("1111110", [0, 6, 1])])
def test_counts_are_those_of_cocos_own_examples(row: str, counts: list[int]) -> None:
    mask = np.array([[pixel] for pixel in row], np.uint8)
    assert regions(mask)[1] == counts


def test_runs_go_down_the_columns() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], np.uint8)
    assert regions(mask) == {0: [0, 2, 3, 1], 1: [2, 3, 1]}
    np.testing.assert_array_equal(decode_rle([2, 3, 1], 2, 3), mask)
    assert expand_counts([2, 3, 1], 6).tolist() == [False, False, True, True, True, False]


@given(MASKS)
def test_a_mask_comes_back_as_it_was(mask: NDArray[np.uint8]) -> None:
    found = regions(mask)
    assert list(found) == np.unique(mask).tolist()
    for number, counts in found.items():
        assert all(count > 0 for count in counts[1:])
        decoded = decode_rle(counts, *mask.shape)
        assert decoded.dtype == np.bool_
        np.testing.assert_array_equal(decoded, mask == number)


def test_no_pixels_have_no_regions() -> None:
    assert regions(np.empty((0, 3), np.uint8)) == {}


def test_many_counts_are_compressed_as_few_are() -> None:
    counts = np.random.default_rng(0).integers(1, 1 << 20, 200_000)
    assert compress_counts(counts) == compressed_one_by_one(counts.tolist())


def test_noise_takes_memory_for_its_runs_only() -> None:
    mask = np.random.default_rng(0).integers(0, 2, (1000, 2000), np.uint8)  # a million runs
    tracemalloc.start()
    for _, counts in encode_regions(mask):
        compress_counts(counts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


@given(COUNTS)
def test_counts_come_back_from_their_compressed_text(counts: list[int]) -> None:
    text = compress_counts(counts)
    assert text == compressed_one_by_one(counts)
    assert decompress_counts(text) == counts


@given(st.text(max_size=40))
def test_any_text_is_counts_or_a_data_error(text: str) -> None:
    try:
        counts = decompress_counts(text)
        decode_rle(counts, 4, 5)
    except DataError:
        return
    assert sum(counts) == 20


@pytest.mark.parametrize(
    ("counts", "height", "width", "message"),
    [
        ([3, 2], 2, 3, "add up to 5 pixels, but the mask has 6"),
        ([], 2, 3, "add up to 0"),
        ([8, -2], 2, 3, "a count of the run lengths is -2"),
        ([10**30], 2, 3, "add up to 1000"),
        ([10**10], 10**5, 10**5, "the run-length mask has 100000 x 100000 pixels, more than the 178,956,970"),
        ([0], 0, 3, "the run-length mask has no pixels: its size is 3 x 0"),
    ],
)
def test_counts_that_make_no_mask_are_refused(counts: list[int], height: int, width: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_rle(counts, height, width)


@pytest.mark.parametrize(
    ("text", "message"),
    [("0~", "character"), ("ä", "character"), ("0P", "break off"), ("oooooooooo0", "larger than any")],
)
def test_text_that_holds_no_counts_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decompress_counts(text)


def test_lying_counts_take_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(DataError):
        decode_rle([1 << 40] * 1000, 8, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_what_label_studios_own_converter_writes() -> None:
    expected = np.repeat(np.array([0, 255, 255, 0], np.uint8), 4)
    bits = f"{16:032b}{7:05b}" + "0010001101111111"
    bits += "10001100000000" + "10011111111111" + "10001100000000"
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    np.testing.assert_array_equal(decode_rle_pack(data, 16), expected)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(1, 400)), max_size=30),
    st.sampled_from((1, 7, 300)),
)
def test_every_pack_that_is_written_is_read(runs: list[tuple[int, int]], literals: int) -> None:
    values = np.repeat(np.array([value for value, _ in runs], np.uint8), [count for _, count in runs])
    data = bytes(encode_rle_pack(values, literals))
    np.testing.assert_array_equal(decode_rle_pack(data, len(values)), values)


@pytest.mark.parametrize("literals", [1, 2, 7, 300])
def test_single_values_begin_at_any_bit(literals: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, 2000, np.uint8)
    np.testing.assert_array_equal(decode_rle_pack(bytes(encode_rle_pack(values, literals)), 2000), values)


def test_runs_longer_than_the_widest_length() -> None:
    values = np.zeros(200_001, np.uint8)
    values[150_000:] = 9
    np.testing.assert_array_equal(decode_rle_pack(bytes(encode_rle_pack(values)), len(values)), values)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x10", "less than their header"),
        (bytes(encode_rle_pack(np.zeros(12, np.uint8))), "are of 12 values, but the size asks for 16"),
        (bytes(encode_rle_pack(np.arange(16, dtype=np.uint8)))[:-4], "break off after"),
        (bytes([0, 0, 0, 16, 0b01111_001, 0, 0]), "16 bits"),
    ],
)
def test_a_damaged_pack_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        decode_rle_pack(data, 16)


def test_a_lying_header_takes_no_memory() -> None:
    with pytest.raises(DataError, match="4,294,967,295 values"):
        decode_rle_pack(b"\xff" * 20, 16)
