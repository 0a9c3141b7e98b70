import gzip
import io
import json
import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from PIL import Image
from starlette.exceptions import HTTPException

from segwright.serving.accept import ResponseFormat, negotiate
from segwright.serving.encoding import check_result_size, encode
from tests.helpers.served import CLASSES

MASK = np.array([[0, 0, 2], [1, 2, 2]], np.uint8)
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), (2, 5)).transpose(2, 0, 1).astype(np.float32)


def form(accept: str) -> ResponseFormat:
    return negotiate(accept, ResponseFormat())


def sdk_records(body: bytes) -> list[bytes]:
    """As SageMaker's SDK reads: magic, a word that is taken as the length, payload, padding."""
    records, stream = [], io.BytesIO(body)
    while header := stream.read(8):
        magic, length = struct.unpack("<II", header)
        assert magic == 0xCED7230A
        records.append(stream.read(length))
        stream.read(-length % 4)
    return records


def mxnet_records(body: bytes) -> list[bytes]:
    """As MXNet reads: the word's upper three bits say which part of a record follows."""
    records, parts, position = [], [], 0
    while position < len(body):
        magic, word = struct.unpack_from("<II", body, position)
        flag, length = word >> 29, word & (1 << 29) - 1
        assert magic == 0xCED7230A
        parts.append(body[position + 8 : position + 8 + length])
        position += 8 + (length + 3) // 4 * 4
        if flag in (0, 3):
            records.append(struct.pack("<I", 0xCED7230A).join(parts))
            parts = []
    return records


def record_class() -> type:
    """protobuf's own class for the part of the schema that answers use (aialgs.data, record.proto)."""
    file = descriptor_pb2.FileDescriptorProto(name="answer.proto", package="answer", syntax="proto2")
    for name, kind in (("Float32Tensor", 2), ("Int32Tensor", 5)):
        message = file.message_type.add(name=name)
        message.field.add(name="values", number=1, label=3, type=kind).options.packed = True
        message.field.add(name="shape", number=3, label=3, type=4).options.packed = True
    value = file.message_type.add(name="Value")
    value.field.add(name="float32_tensor", number=2, label=1, type=11, type_name=".answer.Float32Tensor")
    value.field.add(name="int32_tensor", number=7, label=1, type=11, type_name=".answer.Int32Tensor")
    record = file.message_type.add(name="Record")
    entry = record.nested_type.add(name="FeaturesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".answer.Value")
    record.field.add(name="features", number=1, label=3, type=11, type_name=".answer.Record.FeaturesEntry")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made: type = message_factory.GetMessageClass(pool.FindMessageTypeByName("answer.Record"))
    return made


@pytest.mark.parametrize("accept", ["application/x-recordio-protobuf", "application/x-protobuf"])
@pytest.mark.parametrize("read", [sdk_records, mxnet_records])
def test_clients_read_recordio_as_they_always_did(accept: str, read: type) -> None:
    (payload,) = read(encode(PROBABILITIES, form(accept), CLASSES))
    record = record_class().FromString(payload)  # type: ignore[attr-defined]
    shape = list(record.features["shape"].int32_tensor.values)
    assert shape == [1, 3, 2, 5]
    values = np.array(record.features["target"].float32_tensor.values, np.float32)
    assert (values.reshape(shape)[0] == PROBABILITIES).all()


@pytest.mark.parametrize("read", [sdk_records, mxnet_records])
def test_a_magic_number_among_the_floats_does_not_split_the_record(read: type) -> None:
    tricky = PROBABILITIES.copy()
    tricky.reshape(-1)[:] = np.frombuffer(struct.pack("<I", 0xCED7230A), np.float32)
    body = encode(tricky, ResponseFormat(), CLASSES)
    assert body.count(b"\x0a\x23\xd7\xce") > 1 and len(body) % 4 == 0
    assert struct.unpack_from("<I", body, 4)[0] < len(body), "flag 0"
    (payload,) = read(body)
    values = record_class().FromString(payload).features["target"].float32_tensor.values  # type: ignore[attr-defined]
    assert np.array(values, np.float32).tobytes() == tricky.tobytes()


def test_png_has_one_channel_of_class_numbers_and_a_palette_on_request() -> None:
    with Image.open(io.BytesIO(encode(MASK, form("image/png"), CLASSES))) as plain:
        assert plain.mode == "L" and (np.asarray(plain) == MASK).all()
    with Image.open(io.BytesIO(encode(MASK, form("image/png;palette=1"), CLASSES))) as coloured:
        assert coloured.mode == "P" and (np.asarray(coloured) == MASK).all()
        assert coloured.getpalette()[:9] == [0, 200, 10, 40, 200, 10, 80, 200, 10]  # type: ignore[index]


def test_npy_is_a_plain_array_and_gzip_lies_in_the_body() -> None:
    plain = encode(MASK, form("application/x-npy"), CLASSES)
    assert (np.load(io.BytesIO(plain)) == MASK).all()
    packed = encode(MASK, form("application/x-npy;gzip=1"), CLASSES)
    assert gzip.decompress(packed) == plain
    halves = encode(
        PROBABILITIES.astype(np.float16), form("application/x-npy;output=probabilities;dtype=float16"), CLASSES
    )
    assert np.load(io.BytesIO(halves)).dtype == np.float16


def coco_decode(counts: str, height: int, width: int) -> np.ndarray:
    """COCO's compressed run lengths, character by character as `rleFrString` and `rleDecode` read them."""
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value, shift, more = 0, 0, True
        while more:
            character = ord(counts[position]) - 48
            value |= (character & 0x1F) << shift
            more, shift, position = bool(character & 0x20), shift + 5, position + 1
            if not more and character & 0x10:
                value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    inside = [index % 2 for index, run in enumerate(runs) for _ in range(run)]
    return np.array(inside, np.uint8).reshape(height, width, order="F")


def test_json_names_the_classes_and_has_run_lengths_that_coco_reads() -> None:
    mask = np.random.default_rng(3).choice(np.array([0, 2], np.uint8), (33, 17), p=[0.8, 0.2])
    document = json.loads(encode(mask, form("application/json"), CLASSES))
    assert (document["height"], document["width"]) == (33, 17)
    assert document["classes"][1] == {"index": 1, "name": "class 1", "colour": [40, 200, 10]}
    assert [segment["class"] for segment in document["segments"]] == [0, 2], "class 1 is nowhere"
    for segment in document["segments"]:
        assert segment["size"] == [33, 17] and segment["name"] == f"class {segment['class']}"
        region = coco_decode(segment["counts"], 33, 17)
        assert ((mask == segment["class"]) == region).all()
        assert segment["area"] == region.sum()


def test_answers_that_grow_too_large_are_known_beforehand() -> None:
    for accept, shape, sizes in (
        ("*/*", (21, 3000, 3000), f"{756_000_000:,} bytes of probabilities, but {2**29 - 1 - 1024:,} are"),
        ("application/x-npy;output=probabilities", (150, 2000, 1000), f"1,200,000,000 bytes .* but {2**30:,} are"),
    ):
        with pytest.raises(HTTPException, match=sizes) as caught:
            check_result_size(form(accept), shape)
        assert caught.value.status_code == 413
    check_result_size(form("*/*"), (21, 2000, 3000))
    check_result_size(form("application/x-npy;output=probabilities"), (21, 3000, 3000))
    check_result_size(form("application/x-npy;output=probabilities;dtype=float16"), (150, 2000, 1000))
    check_result_size(form("image/png"), (13_000, 13_000))
