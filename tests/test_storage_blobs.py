from pathlib import Path, PurePosixPath

import pytest

from segwright.errors import DataError
from segwright.storage import BytesBlob, FileBlob, S3Location, is_file, is_folder, open_blob, parse_location, walk_files
from segwright.storage.blobs import FileRangesBlob
from segwright.storage.s3 import S3Blob


def test_files_and_memory_give_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    blob = open_blob(tmp_path / "a")
    assert (blob.name, blob.read(), blob.remote) == (str(tmp_path / "a"), b"abc", False)
    assert (BytesBlob("held", b"x").name, BytesBlob("held", b"x").read()) == ("held", b"x")
    before = blob.version
    (tmp_path / "a").write_bytes(b"abcd")
    assert blob.version != before


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for action in (FileBlob(tmp_path / "gone").read, lambda: FileBlob(tmp_path / "gone").version):
        with pytest.raises(DataError, match="gone cannot be read: No such file"):
            action()


def test_parts_of_a_file_are_joined(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    blob = FileRangesBlob(tmp_path / "a", "a record 0", ((1, 2), (7, 3)), b"-".join)
    assert blob.read() == b"12-789"
    (tmp_path / "a").write_bytes(b"01234567")
    with pytest.raises(DataError, match="a record 0: the file has become shorter"):
        blob.read()


def test_addresses_in_s3_are_told_from_paths() -> None:
    place = parse_location("s3://bucket/some/prefix/")
    assert isinstance(place, S3Location) and (place.bucket, place.key) == ("bucket", "some/prefix")
    assert str(place / "train") == "s3://bucket/some/prefix/train" and (place / "a.rec").suffix == ".rec"
    assert str(parse_location("s3://bucket") / "train") == "s3://bucket/train"
    assert open_blob("s3://bucket/k.png") == S3Blob("bucket", "k.png")
    assert parse_location("s3x/y") == Path("s3x/y")
    with pytest.raises(DataError, match="names no bucket"):
        parse_location("s3:///key")


def test_files_below_a_folder_come_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/x", "a", ".hidden/y", "c/skip/z", ".w"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = walk_files(tmp_path, lambda folder: folder.name == "skip")
    assert [path for path, _ in found] == [PurePosixPath("a"), PurePosixPath("b/x")]
    assert is_folder(tmp_path) and is_file(tmp_path / "a") and not is_folder(tmp_path / "a")
