import logging
from pathlib import Path

import pytest
import torch

from segwright.errors import OutputExistsError, UserError
from segwright.training.checkpoints import KEPT, Checkpoint, CheckpointFolder


def checkpoint(number: int) -> Checkpoint:
    tensors = {"weights": torch.full((3, 4), float(number)), "count": torch.tensor(number)}
    return Checkpoint({"number": number, "nested": {"list": [0.1, None]}}, tensors)


def filled(path: Path, count: int) -> CheckpointFolder:
    folder = CheckpointFolder(path)
    folder.begin(overwrite=False)
    for number in range(count):
        folder.save(checkpoint(number))
    return folder


def files(path: Path) -> list[Path]:
    return sorted(path.iterdir())


def number_of(found: Checkpoint | None) -> int | None:
    return None if found is None else int(found.tensors["count"])


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    found = filled(tmp_path / "new" / "folder", 1).newest()
    assert found is not None
    assert found.facts == {"number": 0, "nested": {"list": [0.1, None]}}
    assert torch.equal(found.tensors["weights"], torch.zeros(3, 4)) and found.tensors["count"].shape == ()


def test_the_newest_is_read_and_few_are_kept(tmp_path: Path) -> None:
    folder = filled(tmp_path, 12)
    (tmp_path / ".0123.partial.safetensors").write_bytes(b"left by a kill")
    folder.save(checkpoint(12))
    assert number_of(folder.newest()) == 12
    assert len(files(tmp_path)) == KEPT


@pytest.mark.parametrize("where", [0, 8, -1])
def test_a_damaged_one_is_passed_over_for_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: int
) -> None:
    folder = filled(tmp_path, 2)
    newest = files(tmp_path)[-1]
    data = bytearray(newest.read_bytes())
    data[where] ^= 1
    newest.write_bytes(data)
    with caplog.at_level(logging.WARNING, "segwright"):
        assert number_of(folder.newest()) == 0
    assert newest.name in caplog.text and "damaged" in caplog.text


def test_half_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    (only,) = files(tmp_path)
    only.write_bytes(only.read_bytes()[:100])
    assert folder.newest() is None


def test_an_earlier_training_is_refused_or_replaced_when_the_first_is_saved(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    folder = CheckpointFolder(tmp_path)
    with pytest.raises(OutputExistsError, match=r"resume.*overwrite.*checkpoints"):
        folder.begin(overwrite=False)
    folder.begin(overwrite=True)
    assert len(files(tmp_path)) == 2, "nothing is lost before there is something new"
    folder.save(checkpoint(7))
    assert len(files(tmp_path)) == 1 and number_of(folder.newest()) == 7


def test_an_empty_or_missing_folder_has_none(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "missing").newest() is None
    (tmp_path / "notes.txt").write_text("mine")
    assert CheckpointFolder(tmp_path).newest() is None


@pytest.mark.parametrize("place", ["file", "file/checkpoints"])
def test_a_place_that_cannot_be_written_is_one_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="another folder with checkpoints"):
        CheckpointFolder(tmp_path / place).begin(overwrite=False)


def test_a_damaged_one_is_not_counted_as_one_to_fall_back_on(tmp_path: Path) -> None:
    folder = filled(tmp_path, 2)
    files(tmp_path)[-1].write_bytes(b"cut off")
    assert number_of(folder.newest()) == 0
    folder.save(checkpoint(2))
    assert len(files(tmp_path)) == KEPT
    files(tmp_path)[-1].write_bytes(b"cut off too")
    assert number_of(folder.newest()) == 0


def test_a_file_that_cannot_be_read_is_no_reason_to_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(tmp_path, 1)

    def stale(_self: Path) -> bytes:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(UserError, match="cannot be read: Stale file handle"):
        folder.newest()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 2)
    folder = CheckpointFolder(tmp_path)
    folder.begin(overwrite=True)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left"):
        patch.setattr("segwright.training.checkpoints.write_bytes", full)
        folder.save(checkpoint(2))
    assert len(files(tmp_path)) == 2
