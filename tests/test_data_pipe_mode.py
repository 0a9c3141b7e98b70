import json
import os
import threading
import time
from pathlib import Path

import pytest

from segwright.data import pipe_mode as fifo_module
from segwright.data.pipe_mode import FIRST_PAIRS, FifoStream
from segwright.data.pipe_server import serve_pipes
from segwright.errors import DataError
from segwright.formats.recordio import write_record


def write(path: Path, *payloads: bytes) -> None:
    path.write_bytes(b"".join(map(write_record, payloads)))


def test_each_pass_is_a_file_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "train_0", b"\xff\xd8\xffa", b"\x89PNG\r\n\x1a\na", b"\xff\xd8\xffb", b"\x89PNG\r\n\x1a\nb")
    write(tmp_path / "train_1", b"\xff\xd8\xffc", b"\x89PNG\r\n\x1a\nc")
    stream = FifoStream(tmp_path / "train")
    first = stream.first_pairs()
    assert [pair.image.read()[-1:] for pair in first] == [b"a", b"b"]
    assert list(stream.pairs()) == list(first), "they are delivered once more"
    (second,) = stream.pairs()
    assert second.mask.read()[-1:] == b"c" and second.mask.name.startswith(f"{tmp_path}/train_1 record 1 (byte ")


def test_the_first_pairs_are_a_bounded_number(tmp_path: Path) -> None:
    write(tmp_path / "train_0", *[b"\xff\xd8\xffa", b"mask"] * (FIRST_PAIRS + 5))
    stream = FifoStream(tmp_path / "train")
    assert len(stream.first_pairs()) == FIRST_PAIRS and len(list(stream.pairs())) == FIRST_PAIRS + 5


def test_a_third_attribute_is_a_colour_map(tmp_path: Path) -> None:
    colours = {"1": {"class-name": "tree", "hex-color": "#2ca02c"}}
    metadata = json.dumps({"internal-color-map": colours}).encode()
    write(tmp_path / "train_0", b"\xff\xd8\xffa", b"mask", metadata, b"\xff\xd8\xffb", b"mask", b"{}")
    pairs = list(FifoStream(tmp_path / "train").pairs())
    assert [pair.palette_classes for pair in pairs] == [((1, (44, 160, 44)),), ()]


@pytest.mark.parametrize("left", [1, 3])
def test_an_end_in_the_middle_of_a_pair_is_named(tmp_path: Path, left: int) -> None:
    write(tmp_path / "train_0", *[b"\xff\xd8\xffa", b"mask"] * (left // 2), b"\xff\xd8\xffa")
    with pytest.raises(DataError, match=rf"train_0 ends after record {left - 1}, in the middle of a pair"):
        list(FifoStream(tmp_path / "train").pairs())


def test_what_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "train_0").write_bytes(b"\xff\xd8\xff\xe0 a picture without a frame")
    with pytest.raises(DataError, match=r"train_0: record 0 .* byte 0, does not start with the RecordIO magic number"):
        FifoStream(tmp_path / "train").first_pairs()


def test_a_fifo_may_appear_late_and_is_given_up_in_the_end(tmp_path: Path) -> None:
    def appear() -> None:
        time.sleep(0.3)
        os.mkfifo(tmp_path / "train_0")
        write(tmp_path / "train_0", b"\xff\xd8\xffa", b"mask")

    threading.Thread(target=appear).start()
    stream = FifoStream(tmp_path / "train", patience=20)
    assert len(list(stream.pairs())) == 1
    impatient = FifoStream(tmp_path / "validation", patience=0.2)
    with pytest.raises(DataError, match="validation_0 did not appear within 0 seconds"):
        list(impatient.pairs())


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines: list[dict[str, object]] = []
    for index in range(5):
        (tmp_path / f"{index}.jpg").write_bytes(b"\xff\xd8\xff" + bytes([index]))
        (tmp_path / f"{index}.png").write_bytes(b"mask" + bytes([index]))
        lines.append({"source-ref": f"{index}.jpg", "l-ref": f"{index}.png", "l-ref-metadata": {"number": index}})
    return write_manifest(tmp_path / "train.manifest", lines)


def test_served_manifests_are_read_as_they_were_written(manifest: Path, tmp_path: Path) -> None:
    served: list[tuple[str, int]] = []
    server = threading.Thread(
        target=serve_pipes,
        args=({"train": manifest, "validation": manifest}, tmp_path / "pipes"),
        kwargs={"passes": 2, "served": lambda *what: served.append(what)},
    )
    server.start()
    train, validation = (FifoStream(tmp_path / "pipes" / split, patience=20) for split in ("train", "validation"))
    orders = [[pair.image.read()[-1] for pair in stream.pairs()] for stream in (train, validation, validation, train)]
    server.join(timeout=20)
    assert orders == [[0, 1, 2, 3, 4]] * 4
    assert sorted(served) == [(f"{split}_{number}", 10) for split in ("train", "validation") for number in (0, 1)]
    assert list((tmp_path / "pipes").iterdir()) == []


def test_passes_are_shuffled_on_request_and_metadata_go_along(manifest: Path, tmp_path: Path) -> None:
    server = threading.Thread(
        target=serve_pipes,
        args=({"train": manifest}, tmp_path / "pipes"),
        kwargs={"passes": 2, "shuffle_seed": 1, "attributes": ("source-ref", "l-ref", "l-ref-metadata")},
    )
    server.start()
    stream = FifoStream(tmp_path / "pipes" / "train", patience=20)
    orders = [[pair.image.read()[-1] for pair in stream.pairs()] for _ in range(2)]
    server.join(timeout=20)
    assert sorted(orders[0]) == sorted(orders[1]) == [0, 1, 2, 3, 4] and orders[0] != orders[1]


def test_a_reader_that_closes_early_gets_the_next_pass(manifest: Path, tmp_path: Path) -> None:
    for index in range(5):  # more than a pipe holds
        (tmp_path / f"{index}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(300_000))
    server = threading.Thread(target=serve_pipes, args=({"train": manifest}, tmp_path / "pipes"), kwargs={"passes": 2})
    server.start()
    stream = FifoStream(tmp_path / "pipes" / "train", patience=20)
    coming = stream.pairs()
    next(coming)
    coming.close()
    assert len(list(stream.pairs())) == 5
    server.join(timeout=20)
    assert not server.is_alive()


def test_a_fifo_that_a_killed_writer_left_behind_gives_way(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "train_0")
    os.mkfifo(tmp_path / "pipes" / "train_3")
    stream = FifoStream(tmp_path / "pipes" / "train", patience=20)
    read: list[int] = []
    reader = threading.Thread(target=lambda: read.extend(pair.image.read()[-1] for pair in stream.pairs()))
    reader.start()
    time.sleep(0.3)
    serve_pipes({"train": manifest}, tmp_path / "pipes", passes=1)
    reader.join(timeout=20)
    assert read == [0, 1, 2, 3, 4] and list((tmp_path / "pipes").iterdir()) == []


def test_a_fifo_that_goes_while_it_is_opened_leaves_no_closed_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed writer's FIFO is replaced, and its follower is gone as well before it can be opened."""
    fifo, real = tmp_path / "train_0", os.open
    os.mkfifo(fifo)

    def gone(path: Path, flags: int) -> int:
        fifo.unlink(missing_ok=True)
        return real(path, flags)

    opened = fifo_module._current(fifo, None)
    assert opened is not None
    fifo.rename(tmp_path / "old")
    os.mkfifo(fifo)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", gone)
        assert fifo_module._current(fifo, opened) == opened
    os.fstat(opened)  # it is still open
    os.mkfifo(fifo)
    follower = fifo_module._current(fifo, opened)
    assert follower not in (None, opened)
    with pytest.raises(OSError):
        os.fstat(opened)
    os.close(follower or 0)


def test_other_passes_that_lie_there_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train_3")
    with pytest.raises(DataError, match=r"train_0 did not appear .* there is train_3: its writer must begin anew"):
        FifoStream(tmp_path / "train", patience=0.2).first_pairs()
    os.mkfifo(tmp_path / "train_0")
    with pytest.raises(DataError, match="train_0 was not written to"):
        FifoStream(tmp_path / "train", patience=0.2).first_pairs()


def test_a_manifest_that_fails_breaks_its_stream_off(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "3.png").unlink()
    failures: list[DataError] = []

    def attempt() -> None:
        try:
            serve_pipes({"train": manifest}, tmp_path / "pipes")
        except DataError as error:
            failures.append(error)

    server = threading.Thread(target=attempt)
    server.start()
    with pytest.raises(DataError, match="has only 4 of the 8 bytes of a header"):
        list(FifoStream(tmp_path / "pipes" / "train", patience=20).pairs())
    server.join(timeout=20)
    assert len(failures) == 1 and "3.png cannot be read" in str(failures[0])


def test_what_cannot_be_served_is_one_clear_error(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "pipes").mkdir()
    (tmp_path / "pipes" / "train_0").touch()
    with pytest.raises(DataError, match="train_0 exists and is no FIFO"):
        serve_pipes({"train": manifest}, tmp_path / "pipes")
    with pytest.raises(DataError, match=r"none\.manifest cannot be read"):
        serve_pipes({"train": tmp_path / "none.manifest"}, tmp_path / "pipes")
