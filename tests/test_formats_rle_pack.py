import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.errors import DataError
from segwright.formats.rle import decode_rle_pack
from tests.helpers.rle_pack_writer import encode_rle_pack


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
def test_everything_that_is_written_is_read(runs: list[tuple[int, int]], literals: int) -> None:
    values = np.repeat(np.array([value for value, _ in runs], np.uint8), [count for _, count in runs])
    data = bytes(encode_rle_pack(values, literals))
    np.testing.assert_array_equal(decode_rle_pack(data, len(values)), values)


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
def test_what_is_damaged_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        decode_rle_pack(data, 16)


def test_a_lying_header_takes_no_memory() -> None:
    with pytest.raises(DataError, match="4,294,967,295 values"):
        decode_rle_pack(b"\xff" * 20, 16)
