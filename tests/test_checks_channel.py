import json
import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.checks import scan
from segwright.checks.channel import Expected, check_pairs
from segwright.checks.mask_palettes import class_palette
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.data.folders import find_pairs
from segwright.data.pairs import Pair, Pairing
from segwright.findings import FindingError
from segwright.formats.masks import encode_mask
from segwright.labels import LabelMap
from segwright.palettes import default_palette
from segwright.storage import FileBlob
from tests.helpers import channel_folder
from tests.helpers.channel_folder import ChannelFolder

folder = channel_folder.folder


def test_a_clean_channel_is_counted_exactly(folder: ChannelFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.add("a", [[0, 1, 2, 255]])
    folder.add("b", [[2, 2], [2, 0]])
    folder.add("c", [[1, 1], [1, 255]])
    calls: list[None] = []
    report = folder.check(after_each=lambda: calls.append(None))
    assert [pair.key for pair in report.pairs] == ["a", "b", "c"]
    assert report.num_classes == 3 and report.histogram.tolist() == [2, 4, 4]
    assert report.ignored_pixels == 2
    assert report.image_sizes == (((2, 2), 2), ((1, 4), 1))
    assert report.left_out == () and report.unmapped == {} and report.absent_classes == ()
    assert len(calls) == 3
    assert not caplog.records
    assert json.loads(json.dumps(report.to_json()))["histogram"] == [2, 4, 4]


def test_unpaired_and_unreadable_files_are_left_out_with_one_warning(
    folder: ChannelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.add("good", [[0, 1]])
    for name in ("no-mask-1", "no-mask-2"):
        folder.add(name, [[0, 1]])
        (folder.masks / f"{name}.png").unlink()
    for name in ("no-image-1", "no-image-2"):
        folder.add(name, [[0, 1]])
        (folder.images / f"{name}.jpg").unlink()
    folder.add("broken-image", [[0, 1]], (64, 64))
    content = (folder.images / "broken-image.jpg").read_bytes()
    (folder.images / "broken-image.jpg").write_bytes(content[: len(content) // 2])
    folder.add("broken-mask", [[0, 1]])
    (folder.masks / "broken-mask.png").write_bytes(b"nothing")
    report = folder.check()
    assert [pair.key for pair in report.pairs] == ["good"]
    assert len(report.left_out) == 6
    assert len(caplog.records) == 1
    text = caplog.records[0].getMessage()
    assert "6 files are left out" in text and "broken-image.jpg" in text and "And 1 more" in text
    assert "2 pairs cannot be read, 2 images have no mask, 2 masks have no image" in text
    refused = folder.refusal("left_out", strict=True)
    assert "6 files" in refused and "broken-mask.png" in refused and "strict" in refused


def test_nothing_readable_is_refused_with_the_reason(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1]])
    Image.new("RGB", (2, 1), (200, 0, 0)).save(folder.masks / "a.png")
    message = folder.refusal("none_readable")
    assert "none of the pairs can be read" in message and "a.png is a colour image" in message


def test_a_file_that_cannot_be_opened_is_left_out(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1]])
    folder.add("b", [[0, 1]])
    pairing = find_pairs(folder.images, folder.masks)
    (folder.masks / "b.png").unlink()
    report = check_pairs(pairing, Expected("train"))
    assert len(report.pairs) == 1 and "b.png cannot be read: No such file" in report.left_out[0]


def test_file_names_that_are_not_utf_8_are_escaped(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1]])
    odd = os.fsdecode(b"caf\xe9")
    pairing = find_pairs(folder.images, folder.masks)
    lost = Pair(odd, FileBlob(folder.images / f"{odd}.jpg"), FileBlob(folder.masks / f"{odd}.png"))
    odd_pairing = Pairing((*pairing.pairs, lost), (f"{odd}-2.jpg",), (f"{odd}-3.png",))
    report = check_pairs(odd_pairing, Expected("train"))
    assert len(report.left_out) == 3
    assert all(r"caf\udce9" in sentence for sentence in report.left_out)
    assert json.dumps(report.to_json(), ensure_ascii=False).encode()


def test_different_sizes_are_refused_with_both_sizes(folder: ChannelFolder) -> None:
    folder.add("fine", [[0, 1]])
    folder.add("wrong", [[0, 1, 1]], (5, 7))
    message = folder.refusal("sizes_match")
    assert "in 1 pair:" in message and "wrong.jpg is 7x5" in message and "wrong.png is 3x1" in message
    assert "EXIF" not in message
    folder.add("turned", [[0, 1, 1]], (3, 1))
    message = folder.refusal("sizes_match")
    assert "2 pairs" in message and "turned by 90 degrees" in message


def test_a_rotation_that_the_camera_noted_is_named_and_honoured_on_request(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1, 1]])
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (1, 3)).save(folder.images / "a.jpg", exif=exif)
    message = folder.refusal("sizes_match")
    assert "EXIF orientation 6 in" in message and "a.jpg" in message and "apply_exif_orientation" in message
    report = folder.check(requested=RequestedFormat(upright=True))
    assert report.pixel_format.exif_transposed and report.image_sizes == (((1, 3), 1),)


def test_images_of_other_kinds_bring_their_own_statistics(folder: ChannelFolder) -> None:
    mask = [[0, 1], [1, 0]]
    for name, value in (("a", 1000), ("b", 3000)):
        folder.add(name, mask)
        (folder.images / f"{name}.jpg").unlink()
        Image.fromarray(np.full((2, 2), value, np.uint16)).save(folder.images / f"{name}.png")
    report = folder.check()
    assert (report.pixel_format.bands, report.pixel_format.bit_depth) == (1, 16)
    assert report.bands is not None
    assert report.bands.mean == pytest.approx((2000 / 65535,)) and report.bands.std == pytest.approx((1000 / 65535,))
    folder.add("c", mask)
    message = folder.refusal("one_format")
    assert "2 have 1 band of 16 bits" in message and "1 has 3 bands of 8 bits" in message and "c.jpg" in message


def test_bands_that_a_file_does_not_have_are_refused(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1], [1, 0]])
    assert "a.jpg" in folder.refusal("pixel_format", requested=RequestedFormat(bands=7))
    report = folder.check(requested=RequestedFormat(bands=1))
    assert report.pixel_format.bands == 1 and report.bands is not None and len(report.bands.mean) == 1


def test_the_fingerprint_knows_contents_and_names_but_neither_order_nor_place(tmp_path: Path) -> None:
    first, second, third = (ChannelFolder(tmp_path / name) for name in ("one", "two", "three"))
    for folder, order in ((first, "ab"), (second, "ba"), (third, "ab")):
        for name in order:
            folder.add(name, [[0, 1 if name == "a" else 0]])
    (third.masks / "b.png").rename(third.masks / "c.png")
    (third.images / "b.jpg").rename(third.images / "c.jpg")
    pairing = find_pairs(second.images, second.masks)
    turned = check_pairs(Pairing(pairing.pairs[::-1]), Expected("train"))
    assert first.check().fingerprint == second.check().fingerprint == turned.fingerprint
    assert third.check().fingerprint != first.check().fingerprint
    second.add("a", [[0, 1], [0, 1]])
    assert second.check().fingerprint != first.check().fingerprint


def test_the_palette_of_the_masks_becomes_that_of_the_classes(folder: ChannelFolder) -> None:
    folder.add("a", [[0, 1]])
    (pair,) = folder.pairing().pairs
    assert class_palette(pair, LabelMap.identity(), 2) is None
    colours = default_palette(8)
    (folder.masks / "a.png").write_bytes(encode_mask(np.array([[0, 5, 7]], np.uint8), colours))
    palette = class_palette(pair, LabelMap(values=((7, 0), (5, 1), (6, 1))), 2)
    assert palette is not None and palette.tolist() == [colours[7].tolist(), colours[5].tolist()]


@pytest.mark.parametrize("colours", [[0, 0, 0] * 8, [value // 3 for value in range(24)]])
def test_palettes_of_equal_or_grey_colours_are_no_use(folder: ChannelFolder, colours: list[int]) -> None:
    folder.add("a", [[0, 1]])
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette(colours)
    image.save(folder.masks / "a.png")
    assert class_palette(folder.pairing().pairs[0], LabelMap.identity(), 2) is None


def test_an_interruption_ends_the_reading(folder: ChannelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(40):
        folder.add(f"p{index:02}", [[0, 1]])
    started: list[str] = []

    def slow(pair: Pair, requested: RequestedFormat) -> scan.Unreadable:
        started.append(pair.key)
        time.sleep(0.02)
        return scan.Unreadable(pair, "not read")

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scan, "scan_pair", slow)
    monkeypatch.setattr(scan, "available_cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        folder.check(after_each=stop)
    assert len(started) < 20


@pytest.fixture(autouse=True)
def _warnings_are_captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "segwright")


def test_copies_of_images_are_no_masks(folder: ChannelFolder) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for where in (folder.images, folder.masks):
        Image.fromarray(pixels).save(where / "copy.png")
    message = folder.refusal("mask_is_image")
    assert "copy.png would be its own image: it holds the same bytes as" in message


@pytest.mark.parametrize("size", [(30, 40), (30, 41)])
def test_images_saved_anew_in_grey_are_no_masks(tmp_path: Path, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 200, (*size, 3), dtype=np.uint8)
    for where in ("images", "masks"):
        (tmp_path / where).mkdir()
    photo = Image.fromarray(noise)
    photo.save(tmp_path / "images" / "a.jpg", quality=90)
    photo.convert("L").save(tmp_path / "masks" / "a.png")
    expected = Expected("train", num_classes=200)
    with pytest.raises(
        FindingError, match=r"a\.png would be its own image: it holds the same image as .*a\.jpg"
    ) as error:
        check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), expected)
    assert error.value.finding.rule == "mask_is_image"
    Image.fromarray(np.random.default_rng(1).integers(0, 200, size, dtype=np.uint8)).save(tmp_path / "masks" / "a.png")
    assert len(check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), expected).pairs) == 1


def test_a_mask_whose_brightness_goes_with_the_image_is_not_its_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, (60, 80), dtype=np.uint8)
    for where, picture in (("images", np.dstack([pixels + 100] * 3)), ("masks", pixels)):
        (tmp_path / where).mkdir()
        Image.fromarray(picture).save(tmp_path / where / "a.png")
    assert (
        len(check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), Expected("train", num_classes=100)).pairs)
        == 1
    )


def test_an_empty_tile_may_be_equal_to_its_mask(tmp_path: Path) -> None:
    for where in ("images", "masks"):
        (tmp_path / where).mkdir()
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / where / "empty.png")
        Image.fromarray(np.eye(8, dtype=np.uint8) * (90 if where == "images" else 1)).save(
            tmp_path / where / "full.png"
        )
    assert (
        len(check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), Expected("train", num_classes=2)).pairs)
        == 2
    )


def test_assumptions_and_unread_files_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        Image.fromarray(np.full((6, 8, 3), 40 * number, np.uint8)).save(tmp_path / f"{number}.jpg")
        Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(tmp_path / f"{number}_mask.png")
    (tmp_path / "x.heic").touch()
    with caplog.at_level("INFO", "segwright"):
        check_pairs(find_pairs(tmp_path, tmp_path), Expected("train", num_classes=2))
    assert (
        'train: masks are named as their images plus "_mask" (3 pairs, for example 0.jpg with 0_mask.png)'
        in caplog.text
    )
    assert "train: 1 file is not read: .heic (1), for example" in caplog.text
