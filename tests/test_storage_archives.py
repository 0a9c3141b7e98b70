import gzip
import io
import random
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import pytest

from segwright.errors import UserError
from segwright.storage import unpack_archive
from tests.helpers.fuzzing import mutate

LIMIT = 1 << 20
CONTENT = bytes(range(256)) * 100
Change = Callable[[tarfile.TarInfo], object]


def member(name: str, change: Change = lambda _: None, size: int = 3) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    change(entry)
    return entry


def pack(members: Iterable[tarfile.TarInfo], mode: Literal["w", "w:gz"] = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for entry in members:
            archive.addfile(entry, io.BytesIO(b"abc" if entry.size == 3 else bytes(entry.size)))
    return stream.getvalue()


def model(mode: Literal["w", "w:gz"] = "w:gz", pixel_format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=pixel_format) as archive:
        for name in ("hyperparams.json", "model_algo-1", "./sub/" + "deep/" * 30 + "größe.params"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.uname = len(CONTENT), 0o6777, 12345, "root"
            archive.addfile(entry, io.BytesIO(CONTENT))
    return stream.getvalue()


def unpack(data: bytes, tmp_path: Path, limit: int = LIMIT) -> Path:
    archive, folder = tmp_path / "model.tar.gz", tmp_path / "within" / "folder"
    archive.write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    unpack_archive(archive, folder, limit=limit)
    return folder


def refusal(data: bytes, tmp_path: Path, limit: int = LIMIT) -> str:
    with pytest.raises(UserError) as caught:
        unpack(data, tmp_path, limit)
    assert str(caught.value).startswith(str(tmp_path / "model.tar.gz"))
    folder = tmp_path / "within" / "folder"
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    assert outside == [tmp_path / "model.tar.gz"]
    return str(caught.value)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("pixel_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_files_come_out_with_their_bytes(mode: Literal["w", "w:gz"], pixel_format: int, tmp_path: Path) -> None:
    folder = unpack(model(mode, pixel_format), tmp_path)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {file.name for file in files} == {"hyperparams.json", "model_algo-1", "größe.params"}
    assert all(file.read_bytes() == CONTENT for file in files)
    assert all(file.stat().st_mode & 0o7111 == 0 for file in files)  # neither programs nor anybody's identity


def as_link(kind: bytes, target: str) -> Change:
    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname, entry.size = kind, target, 0

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model_best.params", as_link(tarfile.SYMTYPE, "/etc/passwd")),
        ("model_best.params", as_link(tarfile.SYMTYPE, "model_algo-1")),
        ("model_best.params", as_link(tarfile.LNKTYPE, "../../secret")),
        ("fifo", as_link(tarfile.FIFOTYPE, "")),
        ("zero", as_link(tarfile.CHRTYPE, "")),
        ("disk", as_link(tarfile.BLKTYPE, "")),
        ("/tmp/segwright-absolute", lambda _: None),
        ("../outside", lambda _: None),
        ("sub/../../outside", lambda _: None),
        ("..", as_link(tarfile.DIRTYPE, "")),
        ("model_best.params", as_link(tarfile.LNKTYPE, "first")),
        ("folder", as_link(tarfile.SYMTYPE, ".")),
        ("//tmp/segwright-absolute", lambda _: None),
        ("..\\outside", lambda _: None),
        ("sub\\..\\..\\outside", lambda _: None),
        ("\\outside", lambda _: None),
        ("C:outside", lambda _: None),
        ("sub/.. /outside", lambda _: None),
        ("line\nbreak", lambda _: None),
        ("x" * 256, lambda _: None),
    ],
)
def test_members_that_are_not_what_a_model_has_are_refused_by_name(name: str, change: Change, tmp_path: Path) -> None:
    message = refusal(pack([member("first"), member(name, change)]), tmp_path)
    assert f"the member {name!r} " in message
    assert not Path("/tmp/segwright-absolute").exists()
    assert {path.name for path in (tmp_path / "within" / "folder").iterdir()} == {"first"}


def test_a_link_that_is_there_already_is_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "within" / "folder", tmp_path / "elsewhere"
    folder.mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "door").symlink_to(elsewhere)
    assert "symbolic link" in refusal(pack([member("door/file")]), tmp_path)
    assert not list(elsewhere.iterdir())


def test_a_member_that_comes_twice_counts_as_tar_has_it_the_last_time(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in (("a", b"old"), ("./a", b"new"), ("A", b"one"), ("sub//b", b"two")):
            archive.addfile(member(name), io.BytesIO(content))
    folder = unpack(stream.getvalue(), tmp_path)
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == {"a": b"new", "A": b"one", "sub/b": b"two"}


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_name_that_is_both_file_and_folder_is_one_clear_error(names: tuple[str, str], tmp_path: Path) -> None:
    assert "cannot be unpacked into" in refusal(pack(map(member, names)), tmp_path)


def test_a_link_does_not_lead_the_next_member_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = member("door", as_link(tarfile.SYMTYPE, str(tmp_path / "elsewhere")))
    refusal(pack([link, member("door/file")]), tmp_path)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_bombs_are_refused_before_they_are_written(tmp_path: Path) -> None:
    bomb = pack([member("model_algo-1", size=64 << 20)])
    assert len(bomb) < 100_000
    assert f"more than {LIMIT:,} bytes" in refusal(bomb, tmp_path)
    assert not list((tmp_path / "within" / "folder").iterdir())
    many = pack([member(str(number), size=LIMIT // 10) for number in range(11)])
    assert f"more than {LIMIT:,} bytes" in refusal(many, tmp_path)
    unpack(many, tmp_path, limit=2 * LIMIT)


def test_a_great_number_of_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.storage.archives.MAX_MEMBERS", 5)
    assert "5 files" in refusal(pack([member(str(number)) for number in range(6)]), tmp_path)


def test_headers_and_zeros_without_end_take_no_memory(tmp_path: Path) -> None:
    names = tarfile.TarInfo("././@LongLink")
    names.type, names.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
    header = gzip.compress(names.tobuf(tarfile.GNU_FORMAT) + bytes(64 << 20))
    zeros = gzip.compress(pack([member("file")], "w") + bytes(64 << 20))
    tracemalloc.start()
    try:
        assert "a header of 67,108,864 bytes" in refusal(header, tmp_path)
        assert f"more than {LIMIT:,} bytes" in refusal(zeros, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives_that_were_cut_off_or_damaged(mode: Literal["w", "w:gz"], tmp_path: Path) -> None:
    data = model(mode)
    content = 512 * 3 if mode == "w" else 200  # bytes from which on the files' own bytes stand
    for end in (0, 1, 100, content, len(data) // 2, len(data) - 5):
        if mode == "w" and end == len(data) - 5:
            continue  # the zeros at the end of a plain tar may be missing
        assert "is damaged or was cut off" in refusal(data[:end], tmp_path)
    second = bytearray(model("w"))
    at = second.index(b"model_algo-1")
    second[at] ^= 1
    changed = gzip.compress(bytes(second)) if mode == "w:gz" else bytes(second)
    assert "something that is no member stands at byte" in refusal(changed, tmp_path)


def test_a_wrong_checksum_of_gzip_is_found(tmp_path: Path) -> None:
    data = bytearray(model())
    data[-6] ^= 1
    assert "CRC" in refusal(bytes(data), tmp_path)


def test_other_files(tmp_path: Path) -> None:
    assert "it is no .tar or .tar.gz" in refusal(b"PK\3\4" + bytes(5000), tmp_path)
    with pytest.raises(UserError, match="No such file"):
        unpack_archive(tmp_path / "absent.tar", tmp_path, limit=LIMIT)


def test_mutated_archives_are_unpacked_or_refused_with_a_sentence(tmp_path: Path) -> None:
    plain = pack([member("a"), member("b/c"), member("ü" * 80)], "w")
    (tmp_path / "folder").mkdir()
    for number in range(400):
        chance = random.Random(number)
        changed = mutate(plain, chance)
        (tmp_path / "x.tar").write_bytes(changed if number % 2 else mutate(gzip.compress(changed, 1), chance))
        try:
            unpack_archive(tmp_path / "x.tar", tmp_path / "folder", limit=LIMIT)
        except UserError as error:
            assert str(error).startswith(str(tmp_path / "x.tar"))
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "x.tar"}
