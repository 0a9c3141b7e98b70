"""SageMaker's Record, the protobuf message of features and labels that built-in algorithms take and return.

The wire format of this one message is written and read without protobuf. Sparse tensors, which name positions in arrays
of any size, are refused.

Source: `record.proto` of the SageMaker Python SDK 2 (package aialgs.data), SageMaker's contract, section 5.2;
https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError

Tensor = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int32]


@dataclass(frozen=True)
class Content:
    """Bytes of a known or unknown content type, such as an image."""

    data: bytes = field(repr=False)
    content_type: str | None = None


Value = Tensor | Content


@dataclass(frozen=True, eq=False)
class Record:
    """One example or answer: named values, and texts that the schema leaves free."""

    features: Mapping[str, Value] = field(default_factory=dict)
    label: Mapping[str, Value] = field(default_factory=dict)
    uid: str | None = None
    metadata: str | None = None
    configuration: str | None = None


_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5  # wire types; 3 and 4 were given up
_FIXED_LENGTHS: Final = {_FOUR_BYTES: 4, _EIGHT_BYTES: 8}
_MAPS: Final = {1: "features", 2: "label"}
_TEXTS: Final = {3: "uid", 4: "metadata", 5: "configuration"}
_KEY, _VALUE = 1, 2  # of an entry of a map
_TENSORS: Final[dict[int, np.dtype[Any]]] = {2: np.dtype("f4"), 3: np.dtype("f8"), 7: np.dtype("i4")}
_WIRE_TYPES: Final = {2: _FOUR_BYTES, 3: _EIGHT_BYTES, 7: _VARINT}  # of a value that is not packed
_BYTES: Final = 9
_VALUES, _KEYS, _SHAPE = 1, 2, 3  # of a tensor
_DATA, _CONTENT_TYPE = 1, 2  # of bytes

_MAX_DIMENSIONS: Final = 32  # what every NumPy holds
_LONGEST_VARINT: Final = 10
_NAME_SHOWN: Final = 40  # characters

_Chunks = list[bytes | memoryview]


def encode_record(record: Record) -> bytes:
    """The message of a record: arrays are float32, float64 or int32, of any shape; one of no dimension becomes [1].

    Arrays are written as packed values in C order. The shape stands beside them where it says more than their
    number. Raises TypeError for an array of another dtype.
    """
    chunks: _Chunks = []
    for number, name in _MAPS.items():
        for key, value in getattr(record, name).items():
            entry = _delimited(_KEY, [key.encode()]) + _delimited(_VALUE, _value_chunks(value))
            chunks += _delimited(number, entry)
    for number, name in _TEXTS.items():
        text: str | None = getattr(record, name)
        if text is not None:
            chunks += _delimited(number, [text.encode()])
    return b"".join(chunks)


def decode_record(data: bytes, name: str) -> Record:
    """Read one message. Values are numpy arrays in their shape, [N] where they come without, or `Content`.

    Fields that the schema does not have are skipped. `name` is for messages only. Takes memory in proportion to
    the message, whatever shapes it claims. Raises DataError that names the feature for bytes that are no Record, for
    values that do not fill their shape, for sparse tensors, and for lists of bytes.
    """
    found: dict[str, Any] = {"features": {}, "label": {}}
    try:
        for entry in _fields(memoryview(data)):
            if entry.number in _MAPS:
                key, value = _entry(_delimited_content(entry))
                found[_MAPS[entry.number]][key] = value
            elif entry.number in _TEXTS:
                found[_TEXTS[entry.number]] = _text(entry)
    except DataError as error:
        raise DataError(f"{name} is not a SageMaker Record that can be read: {error}.") from None
    return Record(**found)


def _value_chunks(value: Value) -> _Chunks:
    if isinstance(value, Content):
        content_type = [] if value.content_type is None else _delimited(_CONTENT_TYPE, [value.content_type.encode()])
        return _delimited(_BYTES, _delimited(_DATA, [value.data]) + content_type)
    for number, dtype in _TENSORS.items():
        if value.dtype == dtype:
            return _delimited(number, _tensor_chunks(value, dtype))
    raise TypeError(f"a Record holds float32, float64 and int32, not {value.dtype}")


def _tensor_chunks(array: Tensor, dtype: np.dtype[Any]) -> _Chunks:
    flat = np.ascontiguousarray(array, dtype.newbyteorder("<")).reshape(-1)
    chunks: _Chunks = []
    if flat.size:
        packed = _varints(flat.astype(np.int64).view(np.uint64)) if dtype.kind == "i" else flat.view(np.uint8)
        chunks += _delimited(_VALUES, [packed.data])
    if array.ndim > 1:
        chunks += _delimited(_SHAPE, [_varints(np.array(array.shape, np.uint64)).data])
    return chunks


def _delimited(number: int, chunks: Sequence[bytes | memoryview]) -> _Chunks:
    """A field that announces its length, without copying what it holds."""
    length = sum(map(len, chunks))
    return [_varint(number << 3 | _DELIMITED) + _varint(length), *chunks]


def _varint(number: int) -> bytes:
    """A number of 7 bits a byte, the lowest first, each but the last with its highest bit set."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _varints(numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The varints of uint64 [N] one after the other, uint8 [M]."""
    lengths = np.ones(len(numbers), np.int64)
    for digits in range(1, _LONGEST_VARINT):
        lengths += numbers >= np.uint64(1 << 7 * digits)
    ends = np.cumsum(lengths)
    encoded = np.empty(ends[-1] if len(ends) else 0, np.uint8)
    for digit in range(int(lengths.max(initial=0))):
        reaching = np.flatnonzero(lengths > digit)
        bits = (numbers[reaching] >> np.uint64(7 * digit)).astype(np.uint8) & 127
        more = (lengths[reaching] > digit + 1).astype(np.uint8) << 7
        encoded[(ends - lengths)[reaching] + digit] = bits | more
    return encoded


class _Field(NamedTuple):
    """A field of a message; `content` holds the encoded number where it is one."""

    number: int
    wire_type: int
    content: memoryview


def _fields(data: memoryview) -> Iterator[_Field]:
    """The fields of a message in order."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise DataError("a field has the number 0")
        if wire_type == _VARINT:
            length = _read_varint(data, position)[1] - position
        elif wire_type == _DELIMITED:
            length, position = _read_varint(data, position)
        elif wire_type in _FIXED_LENGTHS:
            length = _FIXED_LENGTHS[wire_type]
        else:
            raise DataError(f"field {number} has the wire type {wire_type}")
        if length > len(data) - position:
            raise DataError(f"field {number} needs {length:,} bytes, but {len(data) - position:,} are left")
        yield _Field(number, wire_type, data[position : position + length])
        position += length


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """The number that begins at a byte, and where it ends."""
    number = 0
    for digit, byte in enumerate(data[position : position + _LONGEST_VARINT]):
        number |= (byte & 127) << 7 * digit
        if byte < 128:
            return number, position + digit + 1
    raise DataError("a number has no end")


def _entry(data: memoryview) -> tuple[str, Value]:
    """Name and value of an entry of a map."""
    key, content = "", memoryview(b"")
    for part in _fields(data):
        if part.number == _KEY:
            key = _text(part)
        elif part.number == _VALUE:
            content = _delimited_content(part)
    try:
        return key, _value(content)
    except DataError as error:
        raise DataError(f"in {key[:_NAME_SHOWN]!r}, {error}") from None


def _value(data: memoryview) -> Value:
    """The value of a message, the last one where there are several: protobuf's rule where one is allowed."""
    value: Value | None = None
    for choice in _fields(data):
        if choice.number in _TENSORS:
            value = _tensor(_delimited_content(choice), choice.number)
        elif choice.number == _BYTES:
            value = _content(_delimited_content(choice))
    if value is None:
        raise DataError("there is no value of a known kind (float32, float64, int32 or bytes)")
    return value


def _content(data: memoryview) -> Content:
    fields = list(_fields(data))
    pieces = [bytes(_delimited_content(part)) for part in fields if part.number == _DATA]
    types = [_text(part) for part in fields if part.number == _CONTENT_TYPE]
    if len(pieces) != 1:
        raise DataError(f"there are {len(pieces):,} pieces of bytes; one is read")
    return Content(pieces[0], types[-1] if types else None)


def _tensor(data: memoryview, kind: int) -> Tensor:
    """The values of a dense tensor in their shape."""
    packed = {_VALUES: bytearray(), _KEYS: bytearray(), _SHAPE: bytearray()}
    for part in _fields(data):
        if part.number in packed:
            _expect(part, _DELIMITED, _WIRE_TYPES[kind] if part.number == _VALUES else _VARINT)
            packed[part.number] += part.content
    if packed[_KEYS]:
        raise DataError("the tensor is sparse; only dense ones are read")
    values = _numbers(packed[_VALUES], _TENSORS[kind])
    shape = _read_varints(packed[_SHAPE]).tolist() if packed[_SHAPE] else [len(values)]
    if len(shape) > _MAX_DIMENSIONS:
        raise DataError(f"the shape has {len(shape):,} dimensions; {_MAX_DIMENSIONS} are read at most")
    try:
        return values.reshape(shape)
    except (ValueError, OverflowError):
        raise DataError(f"{len(values):,} values do not fill the shape {shape}") from None


def _numbers(packed: bytearray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Packed values as an array [N], which may be written to."""
    if dtype.kind == "i":
        return _read_varints(packed).astype(np.uint32).view(np.int32)
    if len(packed) % dtype.itemsize:
        raise DataError(f"{len(packed):,} bytes are no whole number of {dtype.name} values")
    return np.frombuffer(packed, dtype.newbyteorder("<")).astype(dtype, copy=False)


def _read_varints(packed: bytearray) -> NDArray[np.uint64]:
    """Varints one after the other as uint64 [N]."""
    encoded = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(encoded < 128) + 1
    lengths = np.diff(ends, prepend=0)
    longest = int(lengths.max(initial=0))
    if longest > _LONGEST_VARINT or (packed and packed[-1] > 127):
        raise DataError("a number has no end")
    numbers = np.zeros(len(ends), np.uint64)
    for digit in range(longest):
        reaching = np.flatnonzero(lengths > digit)
        bits = encoded[(ends - lengths)[reaching] + digit].astype(np.uint64) & np.uint64(127)
        numbers[reaching] |= bits << np.uint64(7 * digit)
    return numbers


def _delimited_content(part: _Field) -> memoryview:
    _expect(part, _DELIMITED)
    return part.content


def _expect(part: _Field, *wire_types: int) -> None:
    if part.wire_type not in wire_types:
        raise DataError(f"field {part.number} has the wire type {part.wire_type}")


def _text(part: _Field) -> str:
    try:
        return str(_delimited_content(part), "utf-8")
    except UnicodeDecodeError:
        raise DataError("a text is not UTF-8") from None
