"""S3 as it behaves and misbehaves."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segwright
from segwright.data.channels import Channels, Source
from segwright.data.loader import training_loader
from segwright.errors import DataError, UserError
from segwright.labels import LabelMap
from segwright.storage import Cache, S3Location, is_file, is_folder, open_blob, parse_location, s3
from tests.conftest import Draw
from tests.helpers import s3_server
from tests.helpers.files import write_manifest
from tests.helpers.s3_server import BUCKET, Faults, upload
from tests.helpers.trainings import settings

moto_address, faults, bucket = s3_server.moto_address, s3_server.faults, s3_server.bucket


def test_objects_are_read_and_listed(bucket: object) -> None:
    for key in ("a/x.jpg", "a/sub/y z.jpg", "a/.hidden/z.jpg", "ab/w.jpg", "a/folder/"):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=key.encode())  # type: ignore[attr-defined]
    blobs = list(s3.list_objects(BUCKET, "a/"))
    assert [blob.key for blob in blobs] == ["a/.hidden/z.jpg", "a/sub/y z.jpg", "a/x.jpg"]
    assert blobs[1].read() == b"a/sub/y z.jpg" and blobs[1].version
    place = S3Location(BUCKET, "a")
    assert is_folder(place) and not is_folder(place / "nothing")
    assert is_file(place / "x.jpg") and not is_file(place / "x")


@pytest.mark.parametrize("key", ["a/../secret.jpg", "a/./secret.jpg", "../pictures/secret.jpg"])
def test_a_key_with_dots_is_not_that_of_another_object(bucket: object, faults: Faults, key: str) -> None:
    bucket.put_object(Bucket=BUCKET, Key="secret.jpg", Body=b"other")  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="another object would be read"):
        open_blob(f"s3://{BUCKET}/{key}").read()
    assert faults.fetched == []


def test_an_address_is_taken_at_its_word(bucket: object) -> None:
    for key in ("x.jpg", "/x.jpg", "a//x.jpg", "a/x.jpg"):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=key.encode())  # type: ignore[attr-defined]
    for key in ("x.jpg", "/x.jpg", "a//x.jpg", "a/x.jpg"):
        assert open_blob(f"s3://{BUCKET}/{key}").read() == key.encode()


def test_an_object_named_by_a_manifest_is_fetched_anew_when_it_changes(
    bucket: object, faults: Faults, tmp_path: Path
) -> None:
    objects = {"a.jpg": b"image", "a.png": b"mask", "b.jpg": b"other image"}
    for key, body in objects.items():
        bucket.put_object(Bucket=BUCKET, Key=key, Body=body)  # type: ignore[attr-defined]
    manifest = write_manifest(
        tmp_path / "m.manifest",
        [{"source-ref": f"s3://{BUCKET}/{name}.jpg", "m-ref": f"s3://{BUCKET}/a.png"} for name in "ab"],
    )
    cache = Cache(tmp_path / "cache", 10**6)
    cache.prepare()

    def read() -> list[bytes]:
        faults.gets, faults.heads = [], 0
        pairs = Source(manifest, cache=cache).pairing().pairs
        return [blob.read() for _ in range(3) for pair in pairs for blob in (pair.image, pair.mask)]

    assert read() == [b"image", b"mask", b"other image", b"mask"] * 3
    assert sorted(faults.fetched) == ["a.jpg", "a.png", "b.jpg"] and faults.heads == 3
    assert read()[0] == b"image" and faults.fetched == [] and faults.heads == 3
    bucket.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"drawn anew")  # type: ignore[attr-defined]
    assert read() == [b"drawn anew", b"mask", b"other image", b"mask"] * 3
    assert faults.fetched == ["a.jpg"] and faults.heads == 3


def test_without_a_cache_nobody_asks_for_tags(bucket: object, faults: Faults, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.manifest", [{"source-ref": f"s3://{BUCKET}/a.jpg", "m-ref": "a.png"}])
    Source(manifest).pairing()
    assert faults.heads == 0


def test_an_object_without_a_tag_is_fetched_each_time(
    bucket: object, faults: Faults, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = write_manifest(tmp_path / "m.manifest", [{"source-ref": f"s3://{BUCKET}/a.jpg", "m-ref": "a.png"}])
    cache = Cache(tmp_path / "cache", 10**6)
    cache.prepare()
    (pair,) = Source(manifest, cache=cache).pairing().pairs  # the object is not there yet
    assert f"1, such as s3://{BUCKET}/a.jpg" in caplog.text
    for body in (b"one", b"two"):
        bucket.put_object(Bucket=BUCKET, Key="a.jpg", Body=body)  # type: ignore[attr-defined]
        assert pair.image.read() == body
    assert list(cache.folder.iterdir()) == []


def test_a_label_map_in_s3_is_never_an_old_one(bucket: object, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 10**6)
    cache.prepare()
    for folder in ("train", "train_annotation", "validation", "validation_annotation"):
        bucket.put_object(Bucket=BUCKET, Key=f"set/{folder}/a.png", Body=b"")  # type: ignore[attr-defined]
    found = []
    for value in (7, 8):
        body = json.dumps({"map": {"1": value}}).encode()
        bucket.put_object(Bucket=BUCKET, Key="set/label_map/train_label_map.json", Body=body)  # type: ignore[attr-defined]
        found.append(Channels.locate(f"s3://{BUCKET}/set", cache=cache).read_label_map("train"))
    assert found == [LabelMap(values=((7, 1),)), LabelMap(values=((8, 1),))]


def test_a_place_that_is_one_already_gets_the_cache(tmp_path: Path) -> None:
    cache, other = Cache(tmp_path, 1), Cache(tmp_path, 2)
    assert parse_location(S3Location("bucket", "a"), cache) == S3Location("bucket", "a", cache)
    assert parse_location(S3Location("bucket", "a", other)) == S3Location("bucket", "a", other)
    assert open_blob(S3Location("bucket", "a"), cache) == s3.S3Blob("bucket", "a", cache=cache)


def test_errors_and_cut_connections_are_tried_again(bucket: object, faults: Faults) -> None:
    body = bytes(range(256)) * 1000
    bucket.put_object(Bucket=BUCKET, Key="big", Body=body)  # type: ignore[attr-defined]
    faults.errors = 2
    assert open_blob(f"s3://{BUCKET}/big").read() == body
    faults.cuts = 2
    assert open_blob(f"s3://{BUCKET}/big").read() == body
    assert (faults.errors, faults.cuts) == (0, 0)


def test_a_connection_that_is_always_cut_is_one_clear_error(bucket: object, faults: Faults) -> None:
    bucket.put_object(Bucket=BUCKET, Key="big", Body=bytes(100_000))  # type: ignore[attr-defined]
    faults.cuts = 1000
    with pytest.raises(DataError, match="s3://pictures/big cannot be read"):
        open_blob(f"s3://{BUCKET}/big").read()


def test_what_is_missing_or_denied_is_named(bucket: object, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"s3://pictures/none\.png does not exist \(NoSuchKey\)"):
        open_blob(f"s3://{BUCKET}/none.png").read()
    with pytest.raises(DataError, match=r"s3://nobody/x does not exist \(NoSuchBucket\)"):
        list(s3.list_objects("nobody", "x"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    s3._client.cache_clear()
    with pytest.raises(DataError, match="no AWS credentials"):
        open_blob(f"s3://{BUCKET}/none.png").read()


class DeniedError(Exception):
    def __init__(self) -> None:
        self.response = {"Error": {"Code": "AccessDenied"}}


def test_denied_access_says_which_rights_are_needed() -> None:
    assert "s3:GetObject" in str(s3._s3_error(DeniedError(), "s3://pictures/a"))


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("boto3", "botocore")]:
        monkeypatch.setitem(sys.modules, name, None)
    s3._client.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'segwright\[s3\]'"):
        open_blob("s3://bucket/key").read()
    s3._client.cache_clear()


def test_long_listings_come_in_pages(bucket: object) -> None:
    for index in range(11):
        bucket.put_object(Bucket=BUCKET, Key=f"many/{index:02}", Body=b"")  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
        page = bucket.list_objects_v2(Bucket=BUCKET)  # type: ignore[attr-defined]
        assert page["IsTruncated"] and len(page["Contents"]) == 5, "or else this shows nothing"
        assert [blob.key for blob in s3.list_objects(BUCKET, "many/")] == [f"many/{index:02}" for index in range(11)]


def test_an_object_that_goes_missing_ends_a_training_in_one_sentence(
    channels_folder: Draw, bucket: object, tmp_path: Path
) -> None:
    data = channels_folder(train=6)
    upload(bucket, data, "data")
    pairs = Channels.locate(f"s3://{BUCKET}/data").train.pairing().pairs
    few = segwright.Hyperparameters(base_size=48, crop_size=32, mini_batch_size=2, workers=1)
    loader = training_loader(pairs, LabelMap.identity(), few)
    bucket.delete_object(Bucket=BUCKET, Key="data/train/003.jpg")  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"data/train/003\.jpg does not exist"):
        list(loader.epoch(0))


def test_a_local_manifest_uses_the_cache(bucket: object, faults: Faults, tmp_path: Path) -> None:
    bucket.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"image")  # type: ignore[attr-defined]
    manifest = write_manifest(tmp_path / "m.manifest", [{"source-ref": f"s3://{BUCKET}/a.jpg", "m-ref": "a.png"}])
    cache = Cache(tmp_path / "cache", 10**6)
    cache.prepare()
    (pair,) = Source(manifest, cache=cache).pairing().pairs
    assert [pair.image.read() for _ in range(3)] == [b"image"] * 3 and faults.fetched == ["a.jpg"]


@pytest.mark.parametrize("cached", [False, True])
def test_a_training_on_objects_equals_one_on_files(
    channels_folder: Draw, bucket: object, faults: Faults, tmp_path: Path, cached: bool
) -> None:
    data = channels_folder(train=6)
    (data / "label_map").mkdir()
    (data / "label_map" / "class_names.txt").write_text("sky\nground\nthing\n")
    upload(bucket, data, "set one")
    cache = Cache(tmp_path / "cache", 10**9) if cached else None
    if cache:
        cache.prepare()
    places = (Channels.locate(data), Channels.locate(f"s3://{BUCKET}/set one", cache=cache))
    for number, channels in enumerate(places):
        segwright.train(channels, tmp_path / f"model {number}", settings(), device="cpu")
    one, other = (segwright.load(tmp_path / f"model {number}", "cpu") for number in range(2))
    assert other.class_names == ("sky", "ground", "thing")
    image = np.asarray(Image.open(data / "validation" / "000.jpg"))
    assert (one.probabilities(image) == other.probabilities(image)).all()
    assert faults.most <= s3._CONNECTIONS
    if cached:
        before = len(faults.fetched)
        segwright.train(places[1], tmp_path / "model 2", settings(), device="cpu")
        assert set(faults.fetched[before:]) == {"set one/label_map/class_names.txt"}, "no picture is fetched again"
