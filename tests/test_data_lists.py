import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.checks.channel import Expected, check_pairs
from segwright.data.channels import Source
from segwright.data.lists import record_pairs, referred
from segwright.data.pairs import read_mask_numbers
from segwright.errors import DataError
from segwright.formats.manifest import ManifestLine
from segwright.formats.recordio import MAGIC, write_record
from segwright.storage import Cache, FileBlob, S3Location
from segwright.storage.s3 import S3Blob
from tests.conftest import Draw
from tests.helpers.files import write_manifest

GREEN, BLUE, WHITE = (44, 160, 44), (31, 119, 180), (255, 255, 255)


def test_references_are_addresses_or_paths_from_the_manifest(tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path / "train.manifest",
        [
            {"source-ref": "images/a b.jpg", "road-ref": "masks/a b.png"},
            {"source-ref": "s3://bucket/c.jpg", "road-ref": str(tmp_path / "c.png")},
        ],
    )
    first, second = Source(manifest).pairing().pairs
    assert (first.key, second.key) == ("line 1", "line 2")
    assert first.image == FileBlob(tmp_path / "images/a b.jpg") and first.mask == FileBlob(tmp_path / "masks/a b.png")
    assert second.image == S3Blob("bucket", "c.jpg") and second.mask == FileBlob(tmp_path / "c.png")


def test_a_manifest_in_s3_refers_to_its_own_folder() -> None:
    manifest, cache = S3Location("bucket", "jobs/one/out.manifest", Cache(Path("c"), 1)), Cache(Path("c"), 1)
    line = ManifestLine(1, {"a": "masks/x y.png", "b": "s3://other/z.png"})
    assert referred(line, "a", manifest, cache) == S3Blob("bucket", "jobs/one/masks/x y.png", cache=cache)
    assert referred(line, "b", manifest, cache) == S3Blob("other", "z.png", cache=cache)


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("../masks/x.png", "jobs//masks/x.png"),
        ("./x.png", "jobs//one/x.png"),
        ("a//x.png", "jobs//one/a//x.png"),
        ("../../../x.png", "x.png"),
    ],
)
def test_paths_in_a_manifest_in_s3_are_followed_and_keys_keep_their_slashes(reference: str, key: str) -> None:
    manifest = S3Location("bucket", "jobs//one/out.manifest")
    assert referred(ManifestLine(1, {"a": reference}), "a", manifest) == S3Blob("bucket", key)


def test_a_path_in_a_manifest_in_s3_does_not_leave_its_bucket() -> None:
    manifest = S3Location("bucket", "jobs/out.manifest")
    with pytest.raises(
        DataError, match=r"'\.\./\.\./x\.png' in s3://bucket/jobs/out\.manifest leads out of its bucket"
    ):
        referred(ManifestLine(1, {"a": "../../x.png"}), "a", manifest)


def test_a_line_that_refers_to_nothing_is_named(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.jsonl", [{"source-ref": "a.jpg", "m-ref": "a.png"}, {"source-ref": "b"}])
    with pytest.raises(DataError, match=r"m\.jsonl, line 2"):
        Source(manifest).pairing()
    write_manifest(tmp_path / "m.jsonl", [{"source-ref": "a.jpg", "m-ref": 7}])
    with pytest.raises(DataError, match="line 1, m-ref"):
        Source(manifest).pairing()


def test_a_palette_that_disagrees_with_the_colour_map_is_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("RGB", (4, 1)).save(tmp_path / "a.jpg")
    mask = Image.fromarray(np.array([[0, 1, 2, 2]], np.uint8))
    mask.putpalette([*WHITE, *BLUE, *GREEN])  # 1 and 2 exchanged
    mask.save(tmp_path / "a.png")
    colours = {
        "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff"},
        "1": {"class-name": "tree", "hex-color": "#2ca02c"},
        "2": {"class-name": "pond", "hex-color": "#1f77b4"},
    }
    metadata = {"internal-color-map": colours}
    line: dict[str, object] = {"source-ref": "a.jpg", "l-ref": "a.png", "l-ref-metadata": metadata}
    pairing = Source(write_manifest(tmp_path / "m.manifest", [line])).pairing()
    assert read_mask_numbers(pairing.pairs[0]).tolist() == [[0, 2, 1, 1]]
    corrected = check_pairs(pairing, Expected("train", num_classes=3))
    plain = Source(write_manifest(tmp_path / "n.manifest", [{"source-ref": "a.jpg", "l-ref": "a.png"}])).pairing()
    assert check_pairs(plain, Expected("train", num_classes=3)).fingerprint != corrected.fingerprint, "other labels"
    assert "in 1 of 1 masks indices and colours disagree" in caplog.text


def test_records_of_a_file_are_read_where_they_lie(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder(train=3)
    folders = Source(data / "train", data / "train_annotation").pairing()
    payloads = [blob.read() for pair in folders.pairs for blob in (pair.image, pair.mask)]
    odd = b"\xff\xd8\xff\x00" + MAGIC.to_bytes(4, "little") + b"rest"
    file = tmp_path / "train.rec"
    file.write_bytes(b"".join(map(write_record, [*payloads, odd, odd])))
    pairs = record_pairs(file).pairs
    assert [blob.read() for pair in pairs for blob in (pair.image, pair.mask)] == [*payloads, odd, odd]
    assert [pair.key for pair in pairs] == ["pair 0", "pair 1", "pair 2", "pair 3"]
    with file.open("ab") as stream:
        stream.write(write_record(b"alone"))
    with pytest.raises(DataError, match="9 records, which are no whole pairs: image, mask must follow"):
        record_pairs(file)
    with pytest.raises(DataError, match=r"gone\.rec cannot be read"):
        record_pairs(tmp_path / "gone.rec")


def test_a_third_record_is_a_colour_map_in_files_too(tmp_path: Path) -> None:
    colours = {"1": {"class-name": "tree", "hex-color": "#2ca02c"}}
    metadata = json.dumps({"internal-color-map": colours}).encode()
    file = tmp_path / "train.rec"
    file.write_bytes(b"".join(map(write_record, [b"image", b"mask", metadata, b"image", b"mask", b"{}"])))
    assert [pair.palette_classes for pair in record_pairs(file).pairs] == [((1, GREEN),), ()]
    file.write_bytes(b"")
    with pytest.raises(DataError, match="holds no records"):
        record_pairs(file)
