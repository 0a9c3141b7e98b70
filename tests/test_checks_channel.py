import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.checks import scan as readings
from segwright.checks.channel import DataReport, check_pairs
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.data.folders import find_pairs
from segwright.data.pairs import Pair, Pairing
from segwright.errors import DataError, LabelError
from segwright.formats.images import encode_jpeg
from segwright.formats.masks import encode_mask
from segwright.labels import LabelMap
from segwright.palettes import default_palette
from segwright.storage import FileBlob

Numbers = list[list[int]]


class Folder:
    """A channel in the making."""

    def __init__(self, root: Path) -> None:
        self.images, self.masks = root / "train", root / "train_annotation"
        self.images.mkdir(parents=True)
        self.masks.mkdir()

    def add(self, name: str, numbers: Numbers | NDArray[np.uint16], image_size: tuple[int, int] | None = None) -> None:
        """A pair whose mask holds the numbers, 8-bit grey where they are a list."""
        mask = np.asarray(numbers, np.uint8) if isinstance(numbers, list) else numbers
        height, width = image_size or mask.shape
        (self.images / f"{name}.jpg").write_bytes(encode_jpeg(np.full((height, width, 3), 99, np.uint8)))
        Image.fromarray(mask).save(self.masks / f"{name}.png")

    def check(
        self,
        label_map: dict[str, object] | None = None,
        num_classes: int | None = None,
        strict: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> DataReport:
        return check_pairs(
            find_pairs(self.images, self.masks),
            None if label_map is None else LabelMap.from_json(label_map),
            num_classes,
            channel="train",
            strict=strict,
            progress=progress,
        )

    def refusal(
        self, label_map: dict[str, object] | None = None, num_classes: int | None = None, strict: bool = False
    ) -> str:
        with pytest.raises(DataError) as error:
            self.check(label_map, num_classes, strict)
        return str(error.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_clean_channel_is_counted_exactly(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.add("a", [[0, 1, 2, 255]])
    folder.add("b", [[2, 2], [2, 0]])
    folder.add("c", [[1, 1], [1, 255]])
    calls: list[tuple[int, int]] = []
    report = folder.check(progress=lambda done, total: calls.append((done, total)))
    assert [pair.key for pair in report.pairs] == ["a", "b", "c"]
    assert report.num_classes == 3 and report.histogram.tolist() == [2, 4, 4]
    assert report.ignored_pixels == 2
    assert report.sizes == (((2, 2), 2), ((1, 4), 1))
    assert report.left_out == () and report.unmapped == {} and report.absent_classes == ()
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert not caplog.records
    assert json.loads(json.dumps(report.to_json()))["histogram"] == [2, 4, 4]


def test_unpaired_and_unreadable_files_are_left_out_with_one_warning(
    folder: Folder, caplog: pytest.LogCaptureFixture
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
    refused = folder.refusal(strict=True)
    assert "6 files" in refused and "broken-mask.png" in refused and "--strict" in refused


def test_nothing_readable_is_refused_with_the_reason(folder: Folder) -> None:
    folder.add("a", [[0, 1]])
    Image.new("RGB", (2, 1), (200, 0, 0)).save(folder.masks / "a.png")
    message = folder.refusal()
    assert "none of the pairs can be read" in message and "a.png is a colour image" in message


def test_a_file_that_cannot_be_opened_is_left_out(folder: Folder) -> None:
    folder.add("a", [[0, 1]])
    folder.add("b", [[0, 1]])
    pairing = find_pairs(folder.images, folder.masks)
    (folder.masks / "b.png").unlink()
    report = check_pairs(pairing, None, None, channel="train")
    assert len(report.pairs) == 1 and "b.png cannot be read: No such file" in report.left_out[0]


def test_file_names_that_are_not_utf_8_are_told_in_plain_text(folder: Folder) -> None:
    folder.add("a", [[0, 1]])
    odd = os.fsdecode(b"caf\xe9")
    pairing = find_pairs(folder.images, folder.masks)
    lost = Pair(odd, FileBlob(folder.images / f"{odd}.jpg"), FileBlob(folder.masks / f"{odd}.png"))
    odd_pairing = Pairing((*pairing.pairs, lost), (f"{odd}-2.jpg",), (f"{odd}-3.png",))
    report = check_pairs(odd_pairing, None, None, channel="train")
    assert len(report.left_out) == 3
    assert all(r"caf\udce9" in sentence for sentence in report.left_out)
    assert json.dumps(report.to_json(), ensure_ascii=False).encode()


def test_different_sizes_are_refused_with_both_sizes(folder: Folder) -> None:
    folder.add("fine", [[0, 1]])
    folder.add("wrong", [[0, 1, 1]], (5, 7))
    message = folder.refusal()
    assert "in 1 pair:" in message and "wrong.jpg is 7x5" in message and "wrong.png is 3x1" in message
    assert "EXIF" not in message
    folder.add("turned", [[0, 1, 1]], (3, 1))
    assert "2 pairs" in folder.refusal() and "turned by 90 degrees" in folder.refusal()


def test_a_rotation_that_the_camera_noted_is_named_and_honoured_on_request(folder: Folder) -> None:
    folder.add("a", [[0, 1, 1]])
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (1, 3)).save(folder.images / "a.jpg", exif=exif)
    message = folder.refusal()
    assert "EXIF orientation 6 in" in message and "a.jpg" in message and "--apply-exif-orientation" in message
    pairing = find_pairs(folder.images, folder.masks)
    report = check_pairs(pairing, None, None, channel="train", wish=RequestedFormat(upright=True))
    assert report.form.exif_transposed and report.sizes == (((1, 3), 1),)


def test_images_of_other_kinds_bring_their_own_statistics(folder: Folder) -> None:
    mask = [[0, 1], [1, 0]]
    for name, value in (("a", 1000), ("b", 3000)):
        folder.add(name, mask)
        (folder.images / f"{name}.jpg").unlink()
        Image.fromarray(np.full((2, 2), value, np.uint16)).save(folder.images / f"{name}.png")
    report = folder.check()
    assert (report.form.bands, report.form.bit_depth) == (1, 16)
    assert report.bands is not None
    assert report.bands.mean == pytest.approx((2000 / 65535,)) and report.bands.std == pytest.approx((1000 / 65535,))
    folder.add("c", mask)
    message = folder.refusal()
    assert "2 have 1 band of 16 bits" in message and "1 have 3 bands of 8 bits" in message and "c.jpg" in message


def test_bands_that_a_file_does_not_have_are_refused(folder: Folder) -> None:
    folder.add("a", [[0, 1], [1, 0]])
    with pytest.raises(DataError, match=r"a\.jpg"):
        check_pairs(find_pairs(folder.images, folder.masks), None, None, channel="train", wish=RequestedFormat(bands=7))
    report = check_pairs(
        find_pairs(folder.images, folder.masks), None, None, channel="train", wish=RequestedFormat(bands=1)
    )
    assert report.form.bands == 1 and report.bands is not None and len(report.bands.mean) == 1


def test_many_files_are_counted_and_three_named(folder: Folder) -> None:
    for index in range(6):
        folder.add(f"p{index}", [[0, 1, 9]])
    message = folder.refusal(num_classes=3)
    assert "6 masks have" in message and "p2.png" in message and "p3.png" not in message and "and 3 more" in message


def test_values_outside_the_classes_are_refused_with_value_count_and_cure(folder: Folder) -> None:
    folder.add("fine", [[0, 1, 2]])
    folder.add("bad", [[0, 7, 7], [255, 9, 0]])
    message = folder.refusal(num_classes=3)
    assert "bad.png has 7 in 2 pixels, 9 in 1 pixels" in message and "fine.png" not in message
    assert "num_classes to 10" in message and "0 to 2" in message and "--label-map FILE" in message
    assert folder.check(num_classes=10).histogram.tolist() == [3, 1, 1, 0, 0, 0, 0, 2, 0, 1]


def test_a_fitting_label_map_is_proposed(folder: Folder) -> None:
    folder.add("a", [[0, 128, 200, 255]])
    assert '{"map": {"0": 0, "1": 128, "2": 200}}' in folder.refusal(num_classes=3)
    scaled = folder.refusal({"scale": 10}, num_classes=13)
    assert "200 (class 20) in 1 pixels" in scaled and "num_classes to 21" in scaled


@pytest.mark.parametrize("label_map", [None, {"scale": 1}, {"scale": 255}, {"map": {"0": 0, "1": 7}}])
@pytest.mark.parametrize("num_classes", [None, 2])
def test_masks_of_0_and_255_are_refused_with_the_ready_map(
    folder: Folder, label_map: dict[str, object] | None, num_classes: int | None
) -> None:
    folder.add("a", [[0, 255, 255]])
    folder.add("b", [[0, 0, 0]])
    message = folder.refusal(label_map, num_classes)
    ready = '{"map": {"0": 0, "1": 255}}'
    assert ready in message
    assert "label_map/train_label_map.json" in message and "--label-map FILE" in message
    report = folder.check(json.loads(ready), num_classes)
    assert report.num_classes == 2 and report.histogram.tolist() == [4, 2] and report.ignored_pixels == 0


def test_masks_of_nothing_but_255_are_refused(folder: Folder) -> None:
    folder.add("a", [[255, 255]])
    assert "nothing but 255" in folder.refusal()


def test_one_bit_masks_hold_0_and_1(folder: Folder) -> None:
    folder.add("a", [[0, 1]])
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(folder.masks / "a.png")
    assert folder.check().histogram.tolist() == [1, 1]


def test_brightness_values_are_refused_with_a_ready_map_and_the_other_way_out(folder: Folder) -> None:
    folder.add("a", [[0, 80, 160, 240, 255]])
    message = folder.refusal()
    assert "brightness" in message
    assert '{"map": {"0": 0, "1": 80, "2": 160, "3": 240}}' in message and "--num-classes 241" in message
    assert folder.check(num_classes=241).num_classes == 241
    assert folder.check({"scale": 80}).num_classes == 4


@pytest.mark.parametrize("num_classes", [None, 2])
def test_values_between_classes_are_blamed_on_resizing(folder: Folder, num_classes: int | None) -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[60:200, 60:200] = 255
    smooth = np.asarray(Image.fromarray(mask).rotate(7, resample=Image.Resampling.BICUBIC))
    assert len(np.unique(smooth)) > 100
    folder.add("a", smooth.astype(np.uint8).tolist())
    message = folder.refusal(num_classes=num_classes)
    assert "of their pixels are 0 and 255" in message and "resizing with interpolation" in message
    assert "nearest neighbour" in message and '"map"' not in message


def test_values_between_classes_are_no_classes_even_where_they_fill_the_range(folder: Folder) -> None:
    classes = np.random.default_rng(0).integers(0, 3, (6, 8), np.uint8) * 100
    for name in "ab":
        smooth = Image.fromarray(classes).resize((384, 288), Image.Resampling.BILINEAR)
        numbers = np.where(np.asarray(smooth) % 100 < 8, np.asarray(smooth) // 100 * 100, np.asarray(smooth))
        big = np.kron(classes, np.ones((200, 200), np.uint8))
        big[: numbers.shape[0], : numbers.shape[1]] = numbers
        folder.add(name, big.tolist())
    message = folder.refusal()
    assert "of their pixels are 0, 100 and 200" in message and "resizing with interpolation" in message


def test_continuous_values_are_brightness(folder: Folder) -> None:
    rows, columns = np.mgrid[:90, :90]
    folder.add("a", (rows + columns).astype(np.uint8).tolist())
    assert "look like brightness values, not like 179 classes" in folder.refusal()
    assert folder.check(num_classes=179).num_classes == 179


def test_few_values_between_classes_are_doubted(folder: Folder) -> None:
    numbers = np.zeros((100, 100), np.uint8)
    numbers[50:] = 240
    numbers[49, :24] = np.arange(10, 240, 10)[:24].repeat(2)[:24]
    folder.add("a", numbers.tolist())
    message = folder.refusal()
    assert "99.8 % of their pixels are 0 and 240: if the others come from resizing" in message and '{"map"' in message


@pytest.mark.parametrize("num_classes", [None, 3])
def test_a_spread_over_all_greys_gets_a_map_with_255(folder: Folder, num_classes: int | None) -> None:
    for index, numbers in enumerate(([0, 127], [0, 255], [0, 127, 255])):
        folder.add(f"{index}", [numbers])
    message = folder.refusal(num_classes=num_classes)
    assert '{"map": {"0": 0, "1": 127, "2": 255}}' in message
    assert folder.check({"map": {"0": 0, "1": 127, "2": 255}}).histogram.tolist() == [3, 2, 2]


def test_photographs_as_masks_are_not_blamed_on_resizing(folder: Folder) -> None:
    folder.add("a", np.random.default_rng(0).integers(0, 256, (40, 40)).tolist())
    assert "look like brightness values" in folder.refusal()


def test_a_slip_in_one_mask_is_named(folder: Folder) -> None:
    for index in range(12):
        folder.add(f"{index}", [[0, 1, 2, 3]])
    folder.add("slip", [[0, 77, 200, 200]])
    message = folder.refusal()
    assert "77 and 200 occur in few masks only, as 200 in 2 pixels of" in message and "slip.png" in message


@pytest.mark.parametrize(
    ("numbers", "expected"), [([0, 1], 2), ([0, 2], 3), ([1], 2), ([0, 3], 4), ([0, 1, 5], 6), ([3, 1, 0], 4)]
)
def test_half_of_the_classes_are_enough(folder: Folder, numbers: list[int], expected: int) -> None:
    folder.add("a", [numbers])
    assert folder.check().num_classes == expected


@pytest.mark.parametrize("numbers", [[0, 4], [7], [0, 1, 6], list(range(256))])
def test_fewer_than_half_of_the_classes_are_too_few(folder: Folder, numbers: list[int]) -> None:
    folder.add("a", [numbers])
    if len(numbers) < 100:
        assert "brightness" in folder.refusal()
    else:
        assert "255 classes" in folder.refusal() and "--num-classes" not in folder.refusal()


def test_a_single_class_is_refused_unless_it_was_asked_for(folder: Folder) -> None:
    folder.add("a", [[0, 0]])
    assert "at least two classes" in folder.refusal()
    assert folder.check(num_classes=2).absent_classes == (1,)


@pytest.mark.parametrize("label_map", [{"map": {"0": 255}}, {"map": {"0": [0, 1]}}])
def test_a_label_map_of_one_class_is_refused_with_the_cure(folder: Folder, label_map: dict[str, object]) -> None:
    folder.add("a", [[0, 1, 255]])
    message = folder.refusal(label_map)
    assert "make 1 class; there must be 2 to 254" in message
    assert "background" in message and '{"map": {"0": 0, "1": 255}}' in message


@pytest.mark.parametrize("num_classes", [-1, 0, 1, 255])
def test_numbers_of_classes_outside_the_contract_are_refused(folder: Folder, num_classes: int) -> None:
    folder.add("a", [[0, 0]])
    assert f"make {num_classes} class" in folder.refusal(num_classes=num_classes)
    assert folder.check(num_classes=254).num_classes == 254


def test_large_values_of_16_bits(folder: Folder) -> None:
    folder.add("a", np.array([[0, 300, 65535]], np.uint16))
    assert "300" in folder.refusal() and "65535 in 1 pixels" in folder.refusal(num_classes=3)
    report = folder.check({"map": {"0": 0, "1": 300, "2": 65535}})
    assert report.histogram.tolist() == [1, 1, 1]


def test_values_that_the_map_does_not_name_are_ignored_and_counted(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.add("a", [[0, 5, 5, 9], [255, 5, 0, 0]])
    report = folder.check({"map": {"0": 0, "1": 9}})
    assert report.unmapped == {5: 3} and report.ignored_pixels == 4 and report.histogram.tolist() == [3, 1]
    assert len(caplog.records) == 1 and "5 (3 pixels)" in caplog.text
    message = folder.refusal({"map": {"0": 0, "1": 9}}, strict=True)
    assert "5 (3 pixels)" in message and "--strict" in message


def test_a_map_that_names_nothing_in_the_masks_is_refused(folder: Folder) -> None:
    folder.add("a", [[3, 4]])
    message = folder.refusal({"map": {"0": 5, "1": 6}})
    assert "every pixel" in message and "3 and 4" in message


def test_a_map_to_classes_beyond_num_classes_is_refused(folder: Folder) -> None:
    folder.add("a", [[0, 1]])
    with pytest.raises(LabelError, match="num_classes"):
        folder.check({"map": {"0": 0, "4": 1}}, num_classes=3)


def test_the_map_gives_the_number_of_classes_and_absent_ones_are_reported(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.add("a", [[10, 20]])
    report = folder.check({"map": {"0": 10, "2": [20, 21]}})
    assert report.num_classes == 3 and report.absent_classes == (1,)
    assert "no pixel is labelled as class 1 of 3" in caplog.text


def test_the_fingerprint_knows_contents_and_names_but_neither_order_nor_place(tmp_path: Path) -> None:
    first, second, third = (Folder(tmp_path / name) for name in ("one", "two", "three"))
    for folder, order in ((first, "ab"), (second, "ba"), (third, "ab")):
        for name in order:
            folder.add(name, [[0, 1 if name == "a" else 0]])
    (third.masks / "b.png").rename(third.masks / "c.png")
    (third.images / "b.jpg").rename(third.images / "c.jpg")
    pairing = find_pairs(second.images, second.masks)
    turned = check_pairs(type(pairing)(pairing.pairs[::-1]), None, None, channel="train")
    assert first.check().fingerprint == second.check().fingerprint == turned.fingerprint
    assert third.check().fingerprint != first.check().fingerprint
    second.add("a", [[0, 1], [0, 1]])
    assert second.check().fingerprint != first.check().fingerprint


def test_the_palette_of_the_masks_becomes_that_of_the_classes(folder: Folder) -> None:
    folder.add("a", [[0, 1]])
    assert folder.check().palette is None
    colours = default_palette(8)
    numbers = np.array([[0, 5, 7]], np.uint8)
    folder.add("a", numbers.tolist())
    (folder.masks / "a.png").write_bytes(encode_mask(numbers, colours))
    palette = folder.check({"map": {"0": 7, "1": [5, 6]}}).palette
    assert palette is not None and palette.tolist() == [colours[7].tolist(), colours[5].tolist()]


@pytest.mark.parametrize("colours", [[0, 0, 0] * 8, [value // 3 for value in range(24)]])
def test_palettes_of_equal_or_grey_colours_are_no_use(folder: Folder, colours: list[int]) -> None:
    folder.add("a", [[0, 1]])
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette(colours)
    image.save(folder.masks / "a.png")
    assert folder.check().palette is None


def test_an_interruption_ends_the_reading(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(40):
        folder.add(f"p{index:02}", [[0, 1]])
    started: list[str] = []

    def slow(pair: Pair, wish: RequestedFormat) -> str:
        started.append(pair.key)
        time.sleep(0.02)
        return "not read"

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(readings, "scan_pair", slow)
    monkeypatch.setattr(readings, "available_cores", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        folder.check(progress=stop)
    assert len(started) < 20


@pytest.fixture(autouse=True)
def _warnings_are_captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "segwright")


def test_copies_of_images_are_no_masks(folder: Folder) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for where in (folder.images, folder.masks):
        Image.fromarray(pixels).save(where / "copy.png")
    with pytest.raises(DataError, match=r"copy\.png would be its own image: it holds the same bytes as"):
        check_pairs(find_pairs(folder.images, folder.masks), None, None, channel="train")


@pytest.mark.parametrize("size", [(30, 40), (30, 41)])
def test_images_saved_anew_in_grey_are_no_masks(tmp_path: Path, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 200, (*size, 3), dtype=np.uint8)
    for where in ("images", "masks"):
        (tmp_path / where).mkdir()
    photo = Image.fromarray(noise)
    photo.save(tmp_path / "images" / "a.jpg", quality=90)
    photo.convert("L").save(tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match=r"a\.png would be its own image: it holds the same picture as .*a\.jpg"):
        check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), None, 200, channel="train")
    Image.fromarray(np.random.default_rng(1).integers(0, 200, size, dtype=np.uint8)).save(tmp_path / "masks" / "a.png")
    assert len(check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), None, 200, channel="train").pairs) == 1


def test_a_mask_whose_brightness_goes_with_the_image_is_not_its_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, (60, 80), dtype=np.uint8)
    for where, picture in (("images", np.dstack([pixels + 100] * 3)), ("masks", pixels)):
        (tmp_path / where).mkdir()
        Image.fromarray(picture).save(tmp_path / where / "a.png")
    assert len(check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), None, 100, channel="train").pairs) == 1


def test_an_empty_tile_may_be_equal_to_its_mask(tmp_path: Path) -> None:
    for where in ("images", "masks"):
        (tmp_path / where).mkdir()
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / where / "empty.png")
        Image.fromarray(np.eye(8, dtype=np.uint8) * (90 if where == "images" else 1)).save(
            tmp_path / where / "full.png"
        )
    assert len(check_pairs(find_pairs(tmp_path / "images", tmp_path / "masks"), None, 2, channel="train").pairs) == 2


def test_assumptions_and_unread_files_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        Image.fromarray(np.full((6, 8, 3), 40 * number, np.uint8)).save(tmp_path / f"{number}.jpg")
        Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(tmp_path / f"{number}_mask.png")
    (tmp_path / "x.heic").touch()
    with caplog.at_level("INFO", "segwright"):
        check_pairs(find_pairs(tmp_path, tmp_path), None, 2, channel="train")
    assert (
        'train: masks are named as their images plus "_mask" (3 pairs, for example 0.jpg with 0_mask.png)'
        in caplog.text
    )
    assert "train: 1 file is not read: .heic (1), for example" in caplog.text
