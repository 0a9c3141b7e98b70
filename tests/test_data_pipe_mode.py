import json
import os
import threading
import time
from pathlib import Path

import pytest

from segwright.data.pipe_mode import FIRST_PAIRS, FifoStream
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
