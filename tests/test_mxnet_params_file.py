import math
import mmap
import struct
import tracemalloc
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from segwright.errors import BundleError
from segwright.mxnet.params_file import MAX_ARRAYS, NamedArray, read_params
from tests.helpers.gluoncv import FIXTURES
from tests.helpers.mxnet_params_writer import MAGIC, TYPES, Layout, write_array, write_list, write_params

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
SMALL = np.arange(6, dtype=np.float32).reshape(2, 3)


def refusal(data: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        read_params(data, "model.params")
    assert str(caught.value).startswith("model.params ")
    return str(caught.value)


@pytest.mark.parametrize("style", ["structural", "exported", "unnamed"])
def test_files_that_mxnet_wrote(style: str) -> None:
    read = read_params((FIXTURES / f"small_{style}.params").read_bytes(), style)
    with np.load(FIXTURES / "small_values.npz") as values:
        assert len(read) == len(values.files)
        for array, name in zip(read, values.files, strict=True):
            assert array.values.dtype == values[name].dtype
            np.testing.assert_array_equal(array.values, values[name])
            start = {"structural": name, "unnamed": ""}.get(style, ("arg:", "aux:"))
            assert array.name.startswith(start)


@given(
    values=st.lists(
        arrays_of.arrays(st.sampled_from(TYPES), arrays_of.array_shapes(min_dims=1, max_dims=5, max_side=4)), max_size=4
    ),
    layout=st.sampled_from(LAYOUTS),
    named=st.booleans(),
)
def test_every_layout_and_type_comes_back(values: list[NDArray[Any]], layout: Layout, named: bool) -> None:
    names = [f"größe.{number}" if named else "" for number in range(len(values))]
    read = read_params(write_params(zip(names, values, strict=True), layout), "x")
    assert [array.name for array in read] == names
    for array, expected in zip(read, values, strict=True):
        assert (array.values.dtype, array.values.shape) == (expected.dtype, expected.shape)
        assert array.values.tobytes() == expected.tobytes()


def test_scalars_and_empty_arrays() -> None:
    scalar, empty = np.full((), 2.5, np.float32), np.zeros((0, 3), np.float32)
    read = read_params(write_list([write_array(scalar, "V3"), write_array(empty, "V3"), write_array(SMALL)]), "x")
    assert [array.values.shape for array in read] == [(), (0, 3), (2, 3)]
    assert read[0].values == 2.5


def test_what_follows_the_end_is_let_pass() -> None:
    (array,) = read_params(write_params([("a", SMALL)]) + b"whatever", "x")
    np.testing.assert_array_equal(array.values, SMALL)


def test_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.params"
    file.write_bytes(write_params([("a", SMALL), ("b", SMALL)]))
    with file.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    read = read_params(data, "x")
    assert all(np.shares_memory(array.values, np.frombuffer(data, np.uint8)) for array in read)
    assert not read[0].values.flags.writeable
    np.testing.assert_array_equal(read[1].values, SMALL)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_file_that_was_cut_off_is_refused(layout: Layout) -> None:
    data = write_params([("conv.weight", SMALL), ("bias", SMALL[0])], layout)
    for end in range(len(data)):
        assert "(at byte " in refusal(data[:end])


def test_what_is_no_such_file() -> None:
    assert "is no MXNet .params file: it does not begin with 0x112 (at byte 0)" in refusal(b"PK\3\4 something else")


@pytest.mark.parametrize("storage", [1, 2, -1])
def test_sparse_arrays_are_refused(storage: int) -> None:
    message = refusal(write_list([write_array(SMALL), struct.pack("<Iii", MAGIC["V2"], storage, 1)]))
    assert f"holds array 1 in sparse storage (type {storage})" in message


FLOATS = struct.pack("<iii", 1, 0, 0)
HEAD = struct.pack("<QQQ", 0x112, 0, 1)
V2, V3 = (struct.pack("<Ii", MAGIC[layout], 0) for layout in ("V2", "V3"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (struct.pack("<QQQ", 0x112, 0, 2**63), f"more than the {MAX_ARRAYS:,} that are read"),
        (struct.pack("<QQQ", 0x112, 0, 9) + write_array(SMALL), "was cut off: the beginning of array 1 needs 4 bytes"),
        (HEAD + struct.pack("<I", 0xF993FACB), "array 0 begins with 0xf993facb (at byte 28)"),
        (HEAD + struct.pack("<I", 2), "is damaged, or older than MXNet 0.12: array 0 begins with 0x2"),
        (HEAD + V2 + struct.pack("<i", -1), "array 0 would have -1 dimensions"),
        (HEAD + V2 + struct.pack("<i", 0), "array 0 would have 0 dimensions"),
        (HEAD + V3 + struct.pack("<i", 33), "array 0 would have 33 dimensions"),
        (HEAD + V2 + struct.pack("<iq", 1, -5), "array 0 would have the shape [-5]"),
        (
            HEAD + V2 + struct.pack("<iq", 1, 2**40) + FLOATS,
            f"of shape [{2**40}], needs {2**42:,} bytes, but only 0 are",
        ),
        (HEAD + V2 + struct.pack("<iqq", 2, 2**62, 2**62) + FLOATS, "gives array 0 the impossible shape"),
        (HEAD + V3 + struct.pack("<iqq", 2, 0, 2**62) + FLOATS, "gives array 0 the impossible shape"),
        (
            HEAD + V2 + struct.pack("<iqiii", 1, 1, 1, 0, 13) + bytes(8),
            "type number 13, which is none of those read",
        ),
        (HEAD + write_array(SMALL) + struct.pack("<Q", 2**62), "it has 1 arrays, but 4,611,686,018,427,387,904 names"),
        (HEAD + write_array(SMALL) + struct.pack("<QQ", 1, 2**62), "name 0 needs 4,611,686,018,427,387,904 bytes, but"),
        (HEAD + write_array(SMALL) + struct.pack("<QQ", 1, 2) + b"\xff\xff", "name 0 is not UTF-8 (at byte 104)"),
    ],
)
def test_lying_numbers_are_refused_before_memory_is_taken(data: bytes, sentence: str) -> None:
    tracemalloc.start()
    try:
        assert sentence in refusal(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(data=st.data(), layout=st.sampled_from(LAYOUTS))
@settings(max_examples=150)
def test_whatever_is_read_is_no_larger_than_the_file(data: st.DataObject, layout: Layout) -> None:
    right = write_params([("a", SMALL), ("b", SMALL.astype(np.float16))], layout)
    place = data.draw(st.integers(8, len(right)))
    changed = right[:place] + data.draw(st.binary(max_size=12)) + right[place + data.draw(st.integers(0, 12)) :]
    read: list[NamedArray] = []
    try:
        read = read_params(changed, "x")
    except BundleError as error:
        assert str(error).startswith("x ")
    assert sum(array.values.nbytes for array in read) <= 2 * len(changed)
    assert sum(math.prod(array.values.shape) for array in read) <= len(changed)
