"""SageMaker's Record, the protobuf message in which the built-in algorithm answers: a map of named tensors.

Written and read without protobuf: float32 and int32; other values, which the schema allows, are refused or skipped.
Source: `record.proto` of the SageMaker Python SDK 2 (package aialgs.data), SageMaker's contract, section 5.2;
https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError

Tensor = NDArray[np.float32] | NDArray[np.int32]

_VARINT, _DELIMITED, _FOUR_BYTES = 0, 2, 5  # wire types
_FIXED_LENGTHS: Final = {1: 8, _FOUR_BYTES: 4}  # of wire types; 3 and 4 were given up
_FEATURES: Final = 1  # of a record
_KEY, _VALUE = 1, 2  # of an entry of a map
_TENSORS: Final[dict[int, np.dtype[Any]]] = {2: np.dtype("f4"), 7: np.dtype("i4")}  # of a value
_WIRE_TYPES: Final = {2: _FOUR_BYTES, 7: _VARINT}  # of numbers that are not packed
_VALUES, _KEYS, _SHAPE = 1, 2, 3  # of a tensor

_MAX_DIMENSIONS: Final = 32  # what every NumPy holds
_LONGEST_VARINT: Final = 10
_NAME_SHOWN: Final = 40  # characters

_Chunks = list[bytes | memoryview]


def encode_record(features: Mapping[str, Tensor]) -> bytes:
    """The message of named arrays, float32 or int32 of any shape; one of no dimension becomes [1].

    Values are packed in C order; the shape stands beside them where it says more than their number. Raises TypeError
    for an array of another dtype.
    """
    chunks: _Chunks = []
    for name, array in features.items():
        number = next((number for number, dtype in _TENSORS.items() if array.dtype == dtype), None)
        if number is None:
            raise TypeError(f"a Record holds float32 and int32, not {array.dtype}")
        flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
        tensor: _Chunks = []
        if flat.size:
            packed = _varints(flat.astype(np.int64).view(np.uint64)) if flat.dtype.kind == "i" else flat.view(np.uint8)
            tensor += _delimited(_VALUES, [packed.data])
        if array.ndim > 1:
            tensor += _delimited(_SHAPE, [_varints(np.array(array.shape, np.uint64)).data])
        value = _delimited(_VALUE, _delimited(number, tensor))
        chunks += _delimited(_FEATURES, _delimited(_KEY, [name.encode()]) + value)
    return b"".join(chunks)


def decode_record(data: bytes, name: str) -> dict[str, Tensor]:
    """The features of one message: arrays in their shape, [N] where they come without. `name` is for messages only.

    Takes memory in proportion to the message, whatever shapes it claims. Raises DataError, which names the feature, for
    bytes that are no Record, values that do not fill their shape, sparse tensors and other values.
    """
    try:
        return dict(
            _entry(field.of_type(_DELIMITED)) for field in _fields(memoryview(data)) if field.number == _FEATURES
        )
    except DataError as error:
        raise DataError(f"{name} is not a SageMaker Record that can be read: {error}.") from None


def _delimited(number: int, chunks: Sequence[bytes | memoryview]) -> _Chunks:
    """A field that announces its length, without copying what it holds."""
    head = np.array([number << 3 | _DELIMITED, sum(map(len, chunks))], np.uint64)
    return [_varints(head).tobytes(), *chunks]


def _varints(numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The varints of uint64 [N] one after the other, uint8 [M]: 7 bits a byte, the lowest first, each but the last with
    its highest bit set.
    """
    powers = np.array([1 << 7 * digits for digits in range(1, _LONGEST_VARINT)], np.uint64)
    lengths = np.searchsorted(powers, numbers, side="right") + 1
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

    def of_type(self, *wire_types: int) -> memoryview:
        """The content; DataError for a field of another wire type."""
        if self.wire_type not in wire_types:
            raise DataError(f"field {self.number} has the wire type {self.wire_type}")
        return self.content


def _fields(data: memoryview) -> Iterator[_Field]:
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


def _entry(data: memoryview) -> tuple[str, Tensor]:
    """Name and value of an entry of a map; of several values the last counts, which is protobuf's rule."""
    parts = {field.number: field.of_type(_DELIMITED) for field in _fields(data) if field.number in (_KEY, _VALUE)}
    try:
        key = str(parts.get(_KEY, b""), "utf-8")
    except UnicodeDecodeError:
        raise DataError("a text is not UTF-8") from None
    try:
        values = [field for field in _fields(parts.get(_VALUE, memoryview(b""))) if field.number in _TENSORS]
        if not values:
            raise DataError("there is no value of a known kind (float32 or int32)")
        return key, _tensor(values[-1].of_type(_DELIMITED), values[-1].number)
    except DataError as error:
        raise DataError(f"in {key[:_NAME_SHOWN]!r}, {error}") from None


def _tensor(data: memoryview, kind: int) -> Tensor:
    packed = {_VALUES: bytearray(), _KEYS: bytearray(), _SHAPE: bytearray()}
    for field in _fields(data):
        if field.number in packed:
            packed[field.number] += field.of_type(_DELIMITED, _WIRE_TYPES[kind] if field.number == _VALUES else _VARINT)
    if packed[_KEYS]:
        raise DataError("the tensor is sparse; only dense ones are read")
    values: NDArray[Any]
    if _TENSORS[kind].kind == "i":
        values = _read_varints(packed[_VALUES]).astype(np.uint32).view(np.int32)
    elif len(packed[_VALUES]) % 4:
        raise DataError(f"{len(packed[_VALUES]):,} bytes are no whole number of float32 values")
    else:
        values = np.frombuffer(packed[_VALUES], "<f4").astype(np.float32, copy=False)
    shape = _read_varints(packed[_SHAPE]).tolist() if packed[_SHAPE] else [len(values)]
    if len(shape) > _MAX_DIMENSIONS:
        raise DataError(f"the shape has {len(shape):,} dimensions; {_MAX_DIMENSIONS} are read at most")
    try:
        return values.reshape(shape)
    except (ValueError, OverflowError):
        raise DataError(f"{len(values):,} values do not fill the shape {shape}") from None


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
