import gzip
import io
import itertools
import os
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.errors import DataError
from segwright.formats.recordio import MAX_RECORD, Parts, Record, index_records, join_parts, read_records, write_record

MAGIC = bytes.fromhex("0a23d7ce")

# Pieces that put magic numbers everywhere, at multiples of four bytes and elsewhere, whole and in part.
PAYLOADS = st.lists(st.one_of(st.just(MAGIC), st.just(MAGIC[:3]), st.binary(max_size=9)), max_size=12).map(b"".join)


class Dribble(io.BytesIO):
    """A stream that gives what it likes, as a FIFO does, and remembers for how much it was asked."""

    def __init__(self, data: bytes, sizes: Sequence[int] = (1,)) -> None:
        super().__init__(data)
        self._sizes = itertools.cycle(sizes)
        self.asked: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None and size > 0
        self.asked.append(size)
        return super().read(min(size, next(self._sizes)))


def part(flag: int, payload: bytes, length: int | None = None) -> bytes:
    word = flag << 29 | (len(payload) if length is None else length)
    return MAGIC + struct.pack("<I", word) + payload + bytes(-len(payload) % 4)


def streamed(data: bytes) -> list[Record]:
    return list(read_records(io.BytesIO(data), "train_0"))


def indexed(data: bytes) -> list[Parts]:
    return index_records(io.BytesIO(data), "train_0", len(data))


def payloads_of_stream(data: bytes) -> list[bytes]:
    return [record.payload for record in streamed(data)]


def payloads_of_file(data: bytes) -> list[bytes]:
    return [join_parts([data[offset : offset + length] for offset, length in parts]) for parts in indexed(data)]


def outcome(read: Callable[[bytes], list[bytes]], data: bytes) -> list[bytes] | str:
    try:
        return read(data)
    except DataError as error:
        return str(error)


BOTH = pytest.mark.parametrize("read", [streamed, indexed])
Read = Callable[[bytes], object]


def test_a_whole_record_to_the_byte() -> None:
    assert write_record(b"hello") == bytes.fromhex("0a23d7ce 05000000 68656c6c 6f000000")
    assert write_record(b"") == bytes.fromhex("0a23d7ce 00000000")


def test_a_split_record_to_the_byte() -> None:
    """The bytes are what MXNet 1.9.1 (MXRecordIOWriterWriteRecord) writes."""
    payload = b"abcd" + MAGIC + b"ef" + MAGIC + b"gh" + MAGIC + MAGIC + b"i"
    frame = bytes.fromhex(
        "0a23d7ce 04000020 61626364"  # first
        "0a23d7ce 08000040 65660a23 d7ce6768"  # the second magic number is not at a multiple of four
        "0a23d7ce 00000040"
        "0a23d7ce 01000060 69000000"  # last
    )
    assert write_record(payload) == frame
    assert payloads_of_stream(frame) == [payload]


@settings(max_examples=200)
@given(payloads=st.lists(PAYLOADS, max_size=5), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_payloads_come_back_from_a_stream_and_from_a_file(payloads: list[bytes], sizes: list[int]) -> None:
    frames = [write_record(payload) for payload in payloads]
    data = b"".join(frames)
    records = list(read_records(Dribble(data, sizes), "train_0"))
    assert [record.payload for record in records] == payloads
    assert [record.number for record in records] == list(range(len(payloads)))
    assert [record.offset for record in records] == [len(b"".join(frames[:count])) for count in range(len(frames))]
    assert payloads_of_file(data) == payloads


@given(payload=PAYLOADS)
def test_no_part_holds_the_magic_number_where_a_reader_would_look_for_a_record(payload: bytes) -> None:
    frame = write_record(payload)
    words = [frame[at : at + 4] for at in range(0, len(frame), 4)]
    assert len(frame) % 4 == 0
    assert words.count(MAGIC) == len(indexed(frame)[0])


def test_frames_without_a_split_are_read_too() -> None:
    """SageMaker's Python SDK never splits."""
    payload = MAGIC + b"abcd" + MAGIC
    assert payloads_of_stream(part(0, payload) + part(0, b"z")) == [payload, b"z"]


def test_what_stands_in_the_padding_does_not_count() -> None:
    assert payloads_of_stream(MAGIC + b"\1\0\0\0a###" + part(0, b"b")) == [b"a", b"b"]


def test_records_come_out_of_a_fifo_while_it_is_written(tmp_path: Path) -> None:
    fifo = tmp_path / "train_0"
    os.mkfifo(fifo)
    payloads = [bytes([number]) * (70_000 * number + 1) for number in range(5)]

    def write() -> None:
        with fifo.open("wb", buffering=0) as stream:
            for payload in payloads:
                stream.write(write_record(payload))

    writer = threading.Thread(target=write)
    writer.start()
    with fifo.open("rb", buffering=0) as stream:
        assert [record.payload for record in read_records(stream, "train_0")] == payloads
    writer.join()


def test_a_record_is_read_no_sooner_than_it_is_asked_for() -> None:
    stream = io.BytesIO(write_record(b"one") + b"what follows is damaged")
    records = read_records(stream, "train_0")
    assert next(records).payload == b"one"
    assert stream.tell() == 12
    with pytest.raises(DataError, match="record 1"):
        next(records)


def test_too_long_a_payload_is_refused() -> None:
    with pytest.raises(DataError, match=r"536,870,912 bytes .*holds 536,870,911"):
        write_record(bytes(MAX_RECORD + 1))


DAMAGED: dict[str, tuple[bytes, str]] = {
    "no magic number": (b"nonsense", r"at byte 0, does not start with .* 0xced7230a .*6e 6f 6e 73 65 6e 73 65\."),
    "a magic number of the wrong byte order": (part(0, b"")[3::-1] + bytes(4), "RecordWrapperType RecordIO"),
    "less than a magic number": (MAGIC[:3], r"only 3 of the 8 bytes .*0a 23 d7\."),
    "half a header": (MAGIC + b"\1\0", "only 6 of the 8 bytes"),
    "half a payload": (part(0, b"12345678")[:-3], r"needs 8 bytes after its header, but the stream ends after 5\."),
    "no payload": (part(0, b"12345678")[:8], "needs 8 bytes after its header, but the stream ends after 0"),
    "no padding": (part(0, b"12345")[:-2], "needs 8 bytes after its header, but the stream ends after 6"),
    "a middle part first": (part(2, b""), "continuation flag 2 at the beginning of a record"),
    "a last part first": (part(3, b""), "continuation flag 3 at the beginning of a record"),
    "an unknown flag": (part(4, b""), "continuation flag 4 at the beginning of a record"),
    "a whole record within another": (part(1, b"") + part(0, b""), "flag 0 within a record of several parts"),
    "a record within another": (part(1, b"") + part(1, b""), "flag 1 within a record of several parts"),
    "no last part": (part(1, b"") + part(2, b""), r"at byte 16, ends before its last part"),
    "no second header": (part(1, b"abcd") + b"else", r"at byte 12, does not start .*65 6c 73 65\."),
}


@BOTH
@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_told_with_its_place(read: Read, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"^train_0: record 0 \(from 0\).*{message}"):
        read(data)


@BOTH
def test_damage_further_on_names_record_and_byte(read: Read) -> None:
    data = write_record(b"12345") * 90 + part(2, b"1234")
    with pytest.raises(DataError, match=r"record 90 \(from 0\), at byte 1,440, .* 0a 23 d7 ce 04 00 00 40\. .*damaged"):
        read(data)


BARE: dict[str, tuple[bytes, str]] = {
    "JPEG": (bytes.fromhex("ffd8ffe000104a46"), "a JPEG file without a frame.*RecordWrapperType RecordIO"),
    "PNG": (b"\x89PNG\r\n\x1a\n", "a PNG file without a frame.*RecordWrapperType RecordIO"),
    "manifest": (b'{"source-ref": 1}', "JSON.*S3DataType AugmentedManifestFile"),
    "manifest with a byte order mark": (b'\xef\xbb\xbf {"source-ref": 1}', "JSON.*S3DataType AugmentedManifestFile"),
    "gzip": (gzip.compress(write_record(b"1234")), "gzip.*CompressionType"),
}


@BOTH
@pytest.mark.parametrize(("data", "message"), BARE.values(), ids=BARE.keys())
def test_a_stream_of_something_else_is_recognised(read: Read, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"^train_0: record 0 .* magic number .*{message}"):
        read(data)


@BOTH
def test_a_image_further_on_is_damage(read: Read) -> None:
    with pytest.raises(DataError, match=r"record 1 .* magic number .* ff d8 .*The stream is damaged"):
        read(write_record(b"1234") + BARE["JPEG"][0])


def test_a_length_that_lies_does_not_allocate() -> None:
    stream = Dribble(part(0, b"1234", length=MAX_RECORD), [10])
    with pytest.raises(DataError, match=r"needs 536,870,912 bytes .*after 4\."):
        list(read_records(stream, "train_0"))
    assert max(stream.asked) <= 1 << 20


def test_parts_that_grow_too_large_together_are_refused(tmp_path: Path) -> None:
    half = MAX_RECORD // 2 + 1
    path = tmp_path / "large.rec"
    with path.open("wb") as stream:
        stream.write(part(1, b"", length=half))
        stream.seek(half, os.SEEK_CUR)  # a hole: nothing is written
        stream.write(part(3, b"", length=half))
        size = stream.truncate(stream.tell() + half)
    with path.open("rb") as stream, pytest.raises(DataError, match=r"grows beyond the 536,870,911 bytes"):
        index_records(stream, "large.rec", size)


def test_the_magic_numbers_between_parts_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.formats.recordio.MAX_RECORD", 10)
    assert payloads_of_stream(part(1, b"1234") + part(3, b"12")) == [b"1234" + MAGIC + b"12"]
    with pytest.raises(DataError, match="grows beyond the 10 bytes"):
        streamed(part(1, b"1234") + part(3, b"123"))


@settings(max_examples=300)
@given(
    payloads=st.lists(PAYLOADS, min_size=1, max_size=4),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    length=st.integers(0, 400),
)
def test_damaged_bytes_give_records_or_a_data_error(
    payloads: list[bytes], edits: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(b"".join(map(write_record, payloads)))
    for position, value in edits:
        data[position % len(data)] = value
    damaged = bytes(data[:length])
    assert outcome(payloads_of_stream, damaged) == outcome(payloads_of_file, damaged)
