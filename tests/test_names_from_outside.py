"""Every way by which a name from outside reaches the disk: nothing is written elsewhere, no file replaces another."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends

from segwright.bundle import DESCRIPTION, load_network
from segwright.checks.report import inspect
from segwright.data.channels import Channels
from segwright.errors import DataError, UserError
from segwright.formats.images import encode_png
from segwright.importers import FormatOptions, import_data
from segwright.importers import write as writing
from segwright.importers.run import ImportFormat
from segwright.inference import predict_files
from segwright.storage import path_below
from segwright.storage.s3 import S3Blob
from segwright.training.checkpoints import Checkpoint, CheckpointFolder
from tests.conftest import Draw, blocks
from tests.helpers import s3_server
from tests.helpers.imported import halves, save_image, save_mask
from tests.helpers.s3_server import BUCKET
from tests.helpers.served import write_bundle

moto_address, faults, bucket = s3_server.moto_address, s3_server.faults, s3_server.bucket


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "bundle")


PICTURE = encode_png(blocks(1)[0])
LEADING_OUT = ("../../owned", "/owned", "..\\..\\owned", "C:\\owned", "a/../../../owned", "\\\\server\\owned")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def put(bucket: Any, *keys: str) -> None:
    for key in keys:
        bucket.put_object(Bucket=BUCKET, Key=key, Body=PICTURE)


# Keys in S3


def test_a_doubled_slash_in_a_key_does_not_begin_at_the_root(bucket: object, bundle: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    put(bucket, f"photos/{place}/owned.png", "photos//b.png", "photos/sub//c.png", "photos///sub/d.png")
    predict_files(bundle, [f"s3://{BUCKET}/photos"], tmp_path / "out", device="cpu")
    assert files(tmp_path) == {f"out{place}/owned.png", "out/b.png", "out/sub/c.png", "out/sub/d.png"}


def test_keys_that_lead_out_are_named_and_do_not_stop_the_others(
    bucket: object, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["../../owned", "x/../../owned", "x\\..\\..\\owned", "C:\\owned", "x" * 300, "line\nbreak", " /a"]
    hostile = [f"photos/{name}.png" for name in names]
    ordinary = [f"photos/{name}.png" for name in ("größe 背景/a..b", "images\\a", "\uff0e\uff0e\uff0fa", "x /a ")]
    put(bucket, *ordinary)
    backend = s3_backends["123456789012"]["aws"]
    for key in hostile:  # past boto3, which follows the dots in a key
        backend.put_object(BUCKET, key, PICTURE)
    try:
        with pytest.raises(DataError, match=f"{len(hostile)} of {len(hostile) + len(ordinary)} images"):
            predict_files(bundle, [f"s3://{BUCKET}/photos"], tmp_path / "a" / "b" / "out", device="cpu")
    finally:
        for key in hostile:
            backend.delete_object(BUCKET, key)
    assert files(tmp_path) == {f"a/b/out/{key.removeprefix('photos/')}" for key in ordinary}
    told = [record.message for record in caplog.records if "is not predicted" in record.message]
    assert sorted(message.partition(" is not predicted")[0] for message in told) == sorted(
        f"s3://{BUCKET}/{key}" for key in hostile
    )


@pytest.mark.parametrize(
    "keys", [("a//b.png", "a/b.png"), ("a/b.jpg", "a///b.png"), ("/b.png", "b.png"), ("a.png", "a.png/b.png")]
)
def test_two_keys_that_would_be_one_file_are_refused(
    bucket: object, bundle: Path, tmp_path: Path, keys: tuple[str, str]
) -> None:
    put(bucket, *(f"photos/{key}" for key in keys))
    with pytest.raises(DataError) as caught:
        predict_files(bundle, [f"s3://{BUCKET}/photos"], tmp_path / "out", device="cpu")
    assert all(re.search(f"s3://{BUCKET}/photos/{re.escape(key)}[ :]", str(caught.value)) for key in keys)
    assert not (tmp_path / "out").exists()


def test_images_and_masks_in_s3_pair_whatever_slashes_their_keys_have(
    channels_folder: Draw, bucket: object, tmp_path: Path
) -> None:
    data = channels_folder(train=2, validation=1)
    for path in data.rglob("*.*"):
        key = path.relative_to(data).as_posix().replace("train/", "train//").replace("validation/", "validation/x//")
        bucket.put_object(Bucket=BUCKET, Key=f"set/{key}", Body=path.read_bytes())  # type: ignore[attr-defined]
    channels = Channels.locate(f"s3://{BUCKET}/set")
    pairs = channels.train.pairing().pairs
    assert [(pair.key, pair.image.name, pair.mask.name) for pair in pairs] == [
        (f"00{n}", f"s3://{BUCKET}/set/train//00{n}.jpg", f"s3://{BUCKET}/set/train_annotation/00{n}.png")
        for n in range(2)
    ]
    assert pairs[0].image.read() == (data / "train" / "000.jpg").read_bytes()


# Outputs of a prediction


@pytest.mark.parametrize("link", ["a.png", "sub", "a.overlay.png", "a.npy"])
def test_links_in_the_output_are_not_written_through(bundle: Path, tmp_path: Path, link: str) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (out / link).symlink_to(outside if link == "sub" else outside / "file")
    for name in ("a.png", "sub/b.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(PICTURE)
    with pytest.raises(DataError, match="1 of 2 images"):
        predict_files(
            bundle, [tmp_path / "photos"], out, overlay=True, probabilities=True, device="cpu", overwrite=True
        )
    assert files(outside) == {"file"} and (outside / "file").read_bytes() == b"theirs"
    other = out / ("a.png" if link == "sub" else "sub/b.png")
    assert other.is_file() and not other.is_symlink()


def test_names_that_are_one_to_the_file_system_do_not_replace_each_other(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for seed, name in enumerate(("A.png", "a.png")):
        (tmp_path / "photos" / str(seed)).mkdir(parents=True)
        (tmp_path / "photos" / name).write_bytes(encode_png(blocks(seed)[0]))
    monkeypatch.setattr("segwright.inference.predict.path_below", lambda folder, name: path_below(folder, name.lower()))
    with pytest.raises(DataError, match="1 of 2 images"):
        predict_files(bundle, [tmp_path / "photos"], tmp_path / "out", device="cpu")
    assert "photos/a.png is not predicted" in caplog.text


# Class names


def test_class_names_are_no_file_names(bundle: Path, tmp_path: Path) -> None:
    description = json.loads((bundle / DESCRIPTION).read_text())
    for number, entry in enumerate(description["classes"]):
        entry["name"] = LEADING_OUT[number]
    copy, photos = tmp_path / "copy", tmp_path / "photos"
    copy.mkdir()
    photos.mkdir()
    for file in bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / DESCRIPTION).write_text(json.dumps(description))
    (photos / "a.png").write_bytes(PICTURE)
    before = files(tmp_path)
    predict_files(copy, [photos], tmp_path / "out", overlay=True, probabilities=True, device="cpu")
    assert files(tmp_path) - before == {"out/a.png", "out/a.overlay.png", "out/a.npy"}


# Bundles and checkpoints


@pytest.mark.parametrize(
    "name", ["local-dir:/etc", "hf-hub:timm/resnet18", "../../owned", "resnet18.../x", "/resnet18"]
)
def test_the_backbone_of_a_bundle_is_a_name_of_timm_and_no_place(bundle: Path, tmp_path: Path, name: str) -> None:
    description = json.loads((bundle / DESCRIPTION).read_text())
    description["network"]["backbone"] = name
    (tmp_path / DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(UserError, match="backbone"):
        load_network(tmp_path)


def test_checkpoints_are_known_by_their_names_and_nothing_else_is_touched(tmp_path: Path) -> None:
    folder, outside = tmp_path / "checkpoints", tmp_path / "outside"
    folder.mkdir()
    outside.write_bytes(b"theirs")
    strange = [f"checkpoint-00000001-{'a' * 64}.safetensors.bak", f"checkpoint-1-{'a' * 64}.safetensors", "..x"]
    for name in strange:
        (folder / name).write_bytes(b"theirs")
    (folder / f"checkpoint-00000001-{'a' * 64}.safetensors").symlink_to(outside)
    checkpoints = CheckpointFolder(folder)
    assert checkpoints.newest() is None
    checkpoints.save(Checkpoint({}, {}))
    assert outside.read_bytes() == b"theirs" and files(tmp_path) > {"outside", *(f"checkpoints/{n}" for n in strange)}
    assert [file.name[:19] for file in folder.glob("checkpoint-0000*.safetensors")] == ["checkpoint-00000002"]


# Other tools' data


def box(name: str) -> dict[str, Any]:
    return {"label": name, "shape_type": "rectangle", "points": [[0, 0], [3, 3]]}


def coco(place: Path, name: str) -> Path:
    for file in ("owned.png", "b.png"):
        save_image(place / "images" / file)
    document = {
        "images": [{"id": 0, "file_name": f"{name}.png"}, {"id": 1, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": name}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [], "segmentation": [[0, 0, 4, 0, 4, 4]]}],
    }
    (place / "result.json").write_text(json.dumps(document))
    return place / "result.json"


def labelme(place: Path, name: str) -> Path:
    for number in range(2):
        save_image(place / f"owned{number}.png", seed=number)
        document = {"imagePath": f"{name}{number}.png", "shapes": [box(name)], "imageData": None}
        (place / f"label{number}.json").write_text(json.dumps(document))
    return place


def ground_truth(place: Path, name: str) -> Path:
    legend = {"0": {"class-name": "a", "hex-color": "#000000"}, "1": {"class-name": name, "hex-color": "#00ff00"}}
    lines = []
    for number in range(2):
        save_mask(place / f"{number}.png", halves(0, 1), [(0, 0, 0), (0, 255, 0)])
        image = f"s3://{BUCKET}/{name}{number}.png"
        metadata = {"internal-color-map": legend}
        lines.append({"source-ref": image, "x-ref": f"{number}.png", "x-ref-metadata": metadata})
    (place / "output.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place / "output.manifest"


@pytest.mark.parametrize("name", LEADING_OUT)
@pytest.mark.parametrize(("kind", "write"), [("coco", coco), ("labelme", labelme), ("ground-truth", ground_truth)])
def test_imports_stay_in_their_folder(
    kind: ImportFormat, write: Callable[[Path, str], Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = save_image(tmp_path / "any.png")
    monkeypatch.setattr(S3Blob, "read", lambda _: image)
    place = tmp_path / "a" / "b" / "data"
    place.mkdir(parents=True)
    source = write(place, name)
    before = files(tmp_path)
    import_data(kind, str(source), tmp_path / "a" / "b" / "out")
    new = files(tmp_path) - before
    assert len(new) == 2 * 2 + 4 and all(file.startswith("a/b/out/") for file in new)
    assert all(part not in ("", "..") and "\\" not in part for file in new for part in file.split("/"))


@pytest.mark.parametrize("name", LEADING_OUT)
def test_lists_of_pascal_voc_only_name_what_is_there(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        save_image(tmp_path / "voc" / "JPEGImages" / f"{number}.png")
        save_mask(tmp_path / "voc" / "SegmentationClass" / f"{number}.png", halves(0, 1))
    save_image(tmp_path / "owned.png")
    lists = tmp_path / "voc" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n")
    (lists / "val.txt").write_text(f"1\n{name}\n")
    import_data("voc", str(tmp_path / "voc"), tmp_path / "out")
    assert "1 line left out, without an image that has a mask: " in caplog.text and "val.txt, line 2: " in caplog.text
    assert {file for file in files(tmp_path / "out") if "label_map" not in file} == {
        *(
            f"{split}{kind}/{number}.png"
            for number, split in enumerate(("train", "validation"))
            for kind in ("", "_annotation")
        ),
        "import.json",
    }


def test_an_import_refuses_names_that_no_file_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = save_image(tmp_path / "any.png")
    monkeypatch.setattr(S3Blob, "read", lambda _: image)
    with pytest.raises(DataError, match=f"{'x' * 60}.* is too long .* Rename the image"):
        import_data("ground-truth", str(ground_truth(tmp_path, "x" * 260)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_import_does_not_let_two_images_take_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A.png", "a.png"):
        save_image(tmp_path / "photos" / name)
        save_mask(tmp_path / "masks" / name, halves(0, 1))
    (tmp_path / "table.txt").write_text("one 0 0 0\ntwo 1 1 1\n")
    options = FormatOptions(masks=tmp_path / "masks", colours=tmp_path / "table.txt")
    monkeypatch.setattr(writing, "path_below", lambda folder, name: path_below(folder.parent / "one", name.lower()))
    with pytest.raises(DataError, match="another image has taken the name"):
        import_data("colours", str(tmp_path / "photos"), tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


# Pages


def test_a_page_of_strange_names_is_one_file(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder(train=2, validation=2)
    for channel in ("train", "train_annotation"):
        for file in (data / channel).glob("000.*"):
            file.rename(file.with_name(f"..\\..\\<b>owned{file.suffix}"))
    before = files(tmp_path)
    inspect(Channels.locate(data), html=tmp_path / "page.html")
    assert files(tmp_path) - before == {"page.html"}
    assert "<b>owned" not in (tmp_path / "page.html").read_text()
