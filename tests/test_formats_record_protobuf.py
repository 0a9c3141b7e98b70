import struct
import tracemalloc
from functools import cache
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.record_protobuf import Tensor, decode_record, encode_record

# record.proto of the SageMaker Python SDK; a star marks a repeated field. A map is written as a repeated entry, and
# that only one field of Value is set makes no difference to the bytes.
SCHEMA = {
    "Float32Tensor": "1 values float*, 2 keys uint64*, 3 shape uint64*",
    "Float64Tensor": "1 values double*, 2 keys uint64*, 3 shape uint64*",
    "Int32Tensor": "1 values int32*, 2 keys uint64*, 3 shape uint64*",
    "Bytes": "1 value bytes*, 2 content_type string",
    "Value": "2 float32_tensor Float32Tensor, 3 float64_tensor Float64Tensor, "
    "7 int32_tensor Int32Tensor, 9 bytes Bytes",
    "Entry": "1 key string, 2 value Value",
    "Record": "1 features Entry*, 2 label Entry*, 3 uid string, 4 metadata string, 5 configuration string",
}
TENSORS = {"float32": "float32_tensor", "int32": "int32_tensor"}

Features = dict[str, Tensor]


@cache
def protobuf_record(packed: bool) -> Any:
    """Protobuf's own class of the message, which writes numbers packed, as SageMaker does, or one by one."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for each in fields.split(", "):
            number, label, kind = each.rstrip("*").split()
            added = message.field.add(name=label, number=int(number))
            added.label = field.LABEL_REPEATED if each.endswith("*") else field.LABEL_OPTIONAL
            if kind in SCHEMA:
                added.type, added.type_name = field.TYPE_MESSAGE, f".aialgs.data.{kind}"
            else:
                added.type = field.Type.Value(f"TYPE_{kind.upper()}")
            if each.endswith("*") and kind in ("float", "double", "int32", "uint64"):
                added.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def by_protobuf(features: Features, packed: bool) -> bytes:
    """Beside the features it has the fields of the schema that are skipped."""
    message = protobuf_record(packed)(uid="a", metadata="b", configuration="c")
    message.label.add(key="mask").value.bytes.value.append(b"jpeg")
    for key, array in features.items():
        tensor = getattr(message.features.add(key=key).value, TENSORS[array.dtype.name])
        tensor.SetInParent()
        tensor.values.extend(array.ravel().tolist())
        tensor.shape.extend(array.shape)
    return bytes(message.SerializeToString())


def assert_same(left: Features, right: Features) -> None:
    """What makes two arrays equal: dtype, shape and bits."""
    for one, other in ((left, right), (right, left)):
        for key, array in one.items():
            same = other[key]
            assert (array.dtype, array.shape, array.tobytes()) == (same.dtype, same.shape, same.tobytes())


def field(number: int, wire_type: int, content: bytes) -> bytes:
    """A field with a small number that holds less than 128 bytes."""
    assert number < 16 and len(content) < 128
    return bytes([number << 3 | wire_type]) + (bytes([len(content)]) if wire_type == 2 else b"") + content


def feature(value: bytes, name: bytes = b"target") -> bytes:
    """A record with one feature of an encoded value."""
    return field(1, 2, field(1, 2, name) + field(2, 2, value))


def tensor(content: bytes, kind: int = 2) -> bytes:
    """A record with one feature of an encoded tensor."""
    return feature(field(kind, 2, content))


def target(data: bytes) -> NDArray[Any]:
    return decode_record(data, "answer")["target"]


ARRAYS = st.sampled_from([np.float32, np.int32]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=4, min_side=0, max_side=4))
)
FEATURES = st.dictionaries(st.text(max_size=9), ARRAYS, max_size=3)

FLOATS = struct.pack("<6f", 0, 1, 2, 3, 4, 5)
ARRAY = np.arange(6, dtype=np.float32)


def test_a_record_to_the_byte() -> None:
    written = "0a1a 0a06 746172676574 1210 120e 0a08 0000803f 000000c0 1a02 01 02"
    assert encode_record({"target": np.array([[1, -2]], np.float32)}) == bytes.fromhex(written)


@settings(max_examples=100)
@given(features=FEATURES)
def test_features_come_back(features: Features) -> None:
    assert_same(decode_record(encode_record(features), "answer"), features)


@settings(max_examples=100)
@given(features=FEATURES)
def test_protobuf_reads_what_is_written(features: Features) -> None:
    message = protobuf_record(packed=True).FromString(encode_record(features))
    stored = {entry.key: entry.value for entry in message.features}
    assert stored.keys() == features.keys() and not message.label and not message.HasField("uid")
    for key, array in features.items():
        read = getattr(stored[key], TENSORS[array.dtype.name])
        assert np.array(read.values, array.dtype).tobytes() == array.tobytes()
        assert tuple(read.shape) == (array.shape if array.ndim > 1 else ())


@pytest.mark.parametrize("packed", [True, False])
@settings(max_examples=100)
@given(features=FEATURES)
def test_what_protobuf_writes_is_read(packed: bool, features: Features) -> None:
    assert_same(decode_record(by_protobuf(features, packed), "answer"), features)


def test_the_answer_of_the_original_algorithm_is_read() -> None:
    """Flat values, and their shape as a feature of its own."""
    written: Features = {"target": ARRAY, "shape": np.array([1, 2, 3, 1], np.int32)}
    assert_same(decode_record(encode_record(written), "answer"), written)


def test_whole_numbers_from_end_to_end() -> None:
    numbers = np.array([0, 1, 127, 128, 16383, 16384, 2**31 - 1, -1, -(2**31)], np.int32)
    assert (target(encode_record({"target": numbers})) == numbers).all()
    assert target(tensor(field(1, 2, b"\xff\xff\xff\xff\x0f"), 7)).tolist() == [-1]  # five bytes from some writers


def test_arrays_need_not_be_contiguous_and_those_read_can_be_written_to() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::-1, ::2]
    read = target(encode_record({"target": array}))
    assert (read == array).all()
    read += 1
    assert target(encode_record({"target": np.array(3, np.int32)})).tolist() == [3]


def test_other_dtypes_are_not_written() -> None:
    with pytest.raises(TypeError, match="float16"):
        encode_record({"target": np.zeros(3, np.float16)})  # type: ignore[dict-item]


def test_fields_beyond_the_schema_are_skipped() -> None:
    unknown = field(15, 0, b"\x80\1") + field(14, 1, b"12345678") + field(13, 2, b"any") + field(12, 5, b"1234")
    value = unknown + field(2, 2, unknown + field(1, 2, FLOATS)) + unknown
    entry = unknown + field(1, 2, b"target") + field(2, 2, value) + unknown
    length = bytes([len(entry) & 127 | 128, len(entry) >> 7])
    assert (target(unknown + b"\x0a" + length + entry + unknown) == ARRAY).all()


def test_parts_of_a_tensor_add_up_in_any_order() -> None:
    content = field(3, 2, b"\2") + field(1, 5, FLOATS[:4]) + field(3, 0, b"\3") + field(1, 2, FLOATS[4:])
    assert (target(tensor(content)) == ARRAY.reshape(2, 3)).all()


def test_the_last_of_several_values_counts() -> None:
    data = feature(field(9, 2, field(1, 2, b"jpeg")) + field(2, 2, field(1, 2, FLOATS)))
    assert (target(data) == ARRAY).all()
    assert (target(tensor(field(1, 2, FLOATS[:4])) + data) == ARRAY).all()


DAMAGED: dict[str, tuple[bytes, str]] = {
    "half a field": (tensor(field(1, 2, FLOATS))[:-1], "field 1 needs 38 bytes, but 37 are left"),
    "a length beyond all": (b"\x0a" + b"\xff" * 9 + b"\1", "field 1 needs 18,446,744,073,709,551,615 bytes, but 0"),
    "a number without end": (b"\x80" * 20, "a number has no end"),
    "a number cut off": (b"\x18\x80", "a number has no end"),
    "the field 0": (bytes(2), "a field has the number 0"),
    "a group": (b"\x0b\x0c", "field 1 has the wire type 3"),
    "a number for features": (b"\x08\1", "field 1 has the wire type 0"),
    "no UTF-8": (feature(b"", name=b"\xff"), "a text is not UTF-8"),
    "no value": (field(1, 2, field(1, 2, b"target")), "in 'target', there is no value of a known kind"),
    "a value of an unknown kind": (tensor(b"", 4), "in 'target', there is no value of a known kind"),
    "half a float": (tensor(field(1, 2, FLOATS[:7])), "in 'target', 7 bytes are no whole number of float32 values"),
    "a double as a float": (tensor(field(1, 1, FLOATS[:8])), "in 'target', field 1 has the wire type 1"),
    "an int32 without end": (tensor(field(1, 2, b"\1\x80"), 7), "in 'target', a number has no end"),
    "an int32 of eleven bytes": (tensor(field(1, 2, b"\x80" * 10 + b"\1"), 7), "in 'target', a number has no end"),
    "a sparse tensor": (tensor(field(1, 2, FLOATS) + field(2, 2, bytes(6))), "in 'target', the tensor is sparse"),
    "a shape too large": (
        tensor(field(1, 2, FLOATS) + field(3, 2, b"\3\3")),
        r"in 'target', 6 values do not fill the shape \[3, 3\]",
    ),
    "an empty shape": (
        tensor(field(1, 2, FLOATS) + field(3, 2, b"\0")),
        r"in 'target', 6 values do not fill the shape \[0\]",
    ),
    "a huge shape of nothing": (
        tensor(field(3, 2, (b"\xff" * 9 + b"\1") * 3 + b"\0")),
        "in 'target', 0 values do not fill the shape",
    ),
    "a shape that overflows": (
        tensor(field(3, 2, (b"\x80" * 5 + b"\2") * 4)),
        "in 'target', 0 values do not fill the shape",
    ),
    "many dimensions": (
        tensor(field(1, 2, FLOATS[:4]) + field(3, 2, b"\1" * 33)),
        "in 'target', the shape has 33 dimensions; 32",
    ),
    "bytes": (feature(field(9, 2, field(1, 2, b"a"))), "in 'target', there is no value of a known kind"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_told(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"^answer is not a SageMaker Record that can be read: {message}"):
        decode_record(data, "answer")


def test_large_arrays_take_memory_for_few_copies() -> None:
    array = np.zeros((1, 4, 512, 1024), np.float32)
    tracemalloc.start()
    try:
        data = encode_record({"target": array})
        assert tracemalloc.get_traced_memory()[1] < 1.1 * array.nbytes
        tracemalloc.reset_peak()
        assert target(data).shape == array.shape
        assert tracemalloc.get_traced_memory()[1] < 2.3 * array.nbytes  # with `data`
    finally:
        tracemalloc.stop()


@settings(max_examples=200)
@given(
    features=FEATURES,
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    length=st.integers(0, 400),
)
def test_damaged_bytes_give_a_record_or_a_data_error(
    features: Features, edits: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(encode_record(features))
    for position, value in edits if data else ():
        data[position % len(data)] = value
    try:
        encode_record(decode_record(bytes(data[:length]), "damaged"))
    except DataError as error:
        assert "damaged" in str(error)
