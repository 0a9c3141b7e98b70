import os
import threading
import time
from pathlib import Path

import pytest

from segwright.data.pipe_mode import FifoStream
from segwright.data.pipe_server import serve_pipes
from segwright.errors import DataError
from tests.helpers.files import write_manifest


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
