import logging
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.checks.channel import Expected, check_pairs
from segwright.checks.image_orientation import Evidence, fits_either_way, orientations_fit
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.checks.prepare import examine
from segwright.checks.report.command import to_json
from segwright.checks.report.page import render
from segwright.checks.report.samples import draw_samples
from segwright.checks.scan import PairScan, scan_pairs
from segwright.data.channels import Channels
from segwright.data.folders import find_pairs
from segwright.findings import Finding
from segwright.formats.pixels import RGB
from segwright.hyperparameters import Hyperparameters
from tests.helpers.scans import scanned

STORED = {  # how upright pixels lie in the file
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
COLOURS = np.array([[40, 40, 40], [200, 60, 60], [60, 200, 60]], np.uint8)


def scene(seed: int, height: int = 64, width: int = 64) -> tuple[Image.Image, Image.Image]:
    """An upright image with a box of each class, off its middle, and the mask of it."""
    generator = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    mask[4:20, generator.integers(2, 12) :][:, :18] = 1
    mask[14:30, generator.integers(24, 34) :][:, :16] = 2
    noise = generator.integers(-25, 26, (*mask.shape, 3))
    return Image.fromarray(np.clip(COLOURS[mask] + noise, 0, 255).astype(np.uint8)), Image.fromarray(mask)


def save(
    root: Path, orientations: list[int], *, drawn: str = "upright", channel: str = "train", kind: str = "jpg"
) -> Path:
    """Pairs whose images have these orientations and whose masks were drawn on the images upright or as stored."""
    images, masks = root / channel, root / f"{channel}_annotation"
    images.mkdir(parents=True)
    masks.mkdir()
    for index, orientation in enumerate(orientations):
        image, mask = scene(index)
        turn = STORED[orientation]
        if turn is not None:
            image = image.transpose(turn)
            mask = mask.transpose(turn) if drawn == "stored" else mask
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(images / f"{index:02}.{kind}", exif=exif)
        mask.save(masks / f"{index:02}.png")
    return root


def read(root: Path, upright: bool = False) -> list[PairScan]:
    pairs = find_pairs(root / "train", root / "train_annotation").pairs
    return [one for one in scan_pairs(pairs, RequestedFormat(upright=upright)) if isinstance(one, PairScan)]


def found_in(root: Path, upright: bool = False, channel: str = "train") -> Finding:
    (finding,) = orientations_fit(scanned(read(root, upright), channel=channel), upright=upright)
    assert finding.rule == "orientations_fit"
    return finding


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_masks_that_were_drawn_on_the_upright_images_are_found(tmp_path: Path, orientation: int, kind: str) -> None:
    found = found_in(save(tmp_path, [1] * 3 + [orientation] * 6, kind=kind))
    assert found.severity == "warning" and found.count == 6
    assert found.what.startswith("6 of 9 images carry an EXIF orientation other than 1 (for example ")
    assert f"03.{kind}: {orientation}): they are read as stored; their masks fit either way" in found.what
    assert "drawn on the images turned upright" in found.what and "in the upright images" in found.what
    assert "so in 6 of 6 compared" in found.what and found.cure == "Set apply_exif_orientation to True."


def test_masks_that_fit_what_is_done_are_a_note(tmp_path: Path) -> None:
    stored = found_in(save(tmp_path / "stored", [3] * 6, drawn="stored"))
    assert stored.severity == "note" and "fit best so" in stored.what and "in the stored images" in stored.what
    upright = found_in(save(tmp_path / "upright", [3] * 6), upright=True)
    assert upright.severity == "note" and "6 of 6 images" in upright.what and "are turned upright" in upright.what


def test_the_setting_is_questioned_where_masks_fit_as_stored(tmp_path: Path) -> None:
    found = found_in(save(tmp_path, [8] * 6, drawn="stored"), upright=True)
    assert found.severity == "warning" and "drawn on the images as stored" in found.what
    assert found.cure == "Set apply_exif_orientation to False."


def test_evaluation_speaks_of_the_model(tmp_path: Path) -> None:
    root = save(tmp_path, [3] * 6)
    assert "take a model that was trained with apply_exif_orientation True" in found_in(root, channel="evaluation").cure


def test_one_image_proves_nothing(tmp_path: Path) -> None:
    found = found_in(save(tmp_path, [1, 1, 3]))
    assert found.severity == "warning" and "1 of 3 images carries" in found.what
    assert "so look" in found.what and found.cure == "Set apply_exif_orientation to True, if they were."


def test_masks_of_both_kinds_and_masks_of_one_class_are_left_to_the_eye(tmp_path: Path) -> None:
    save(tmp_path, [3] * 8)
    masks = sorted((tmp_path / "train_annotation").iterdir())
    for path in masks[::2]:
        Image.open(path).transpose(Image.Transpose.ROTATE_180).save(path)
    found = found_in(tmp_path)
    assert "so look (along class borders" in found.what and "so in 4 of 8 compared" in found.what
    for path in masks:
        Image.new("L", (64, 64)).save(path)
    assert "fit either way, so look: they may" in found_in(tmp_path).what


def test_sizes_that_agree_one_way_only_need_no_look(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train_annotation").mkdir()
    for index in range(3):
        image, mask = scene(index, 64, 80)
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "train" / f"{index}.jpg", exif=exif)
        mask.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "train_annotation" / f"{index}.png")
    found = found_in(tmp_path)
    assert found.severity == "note" and "3 of 3 images" in found.what and "sizes of their masks agree" in found.what
    assert not any(map(fits_either_way, read(tmp_path)))


def test_upright_images_need_no_word(tmp_path: Path) -> None:
    assert list(orientations_fit(scanned(read(save(tmp_path, [1] * 3))), upright=False)) == []


def test_few_pairs_have_to_be_clearer() -> None:
    assert Evidence(20, 18, 1.25).upright is True and Evidence(20, 2, 0.8).upright is False
    assert Evidence(20, 12, 1.25).upright is None and Evidence(20, 18, 1.1).upright is None
    assert Evidence(3, 3, 1.25).upright is None and Evidence(3, 3, 1.6).upright is True
    assert Evidence(1, 1, 9.0).upright is None


def test_the_data_check_warns_and_keeps_to_the_setting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, [3] * 6)
    pairing = find_pairs(tmp_path / "train", tmp_path / "train_annotation")
    with caplog.at_level(logging.INFO, "segwright"):
        report = check_pairs(pairing, Expected("train"))
        check_pairs(pairing, Expected("train", requested=RequestedFormat(upright=True)))
    assert report.pixel_format == RGB
    warning, info = caplog.records
    assert warning.levelno == logging.WARNING and warning.getMessage().startswith("train: 6 of 6 images carry an EXIF")
    assert info.levelno == logging.INFO and "turned upright" in info.getMessage()


def test_the_page_shows_such_an_image_both_ways(tmp_path: Path) -> None:
    save(tmp_path, [1] + [3] * 5)
    save(tmp_path, [1] * 3, channel="validation")
    settings = Hyperparameters(base_size=64, crop_size=32)
    found = examine(Channels.locate(tmp_path), settings)
    assert not any(one.severity == "error" for one in found.findings)
    assert [one.channel for one in found.findings if one.rule == "orientations_fit"] == ["train"]
    assert to_json(found, "data", settings)["channels"]["train"]["exif_orientations"] == {"1": 1, "3": 5}
    samples, mentioned = draw_samples(found)
    turned = mentioned[str(tmp_path / "train" / "01.jpg")]
    assert turned.other_way.startswith("data:image/jpeg") and turned.other_way != turned.overlay and not turned.upright
    assert _mean_difference(turned.other_way, turned.overlay) > 1
    assert [bool(one.other_way) for one in samples if one.channel == "validation"] == [False] * 3
    page = render(found, "data", settings)
    assert turned.other_way in page and "Which of them fits the mask?" in page


def _mean_difference(one: str, other: str) -> float:
    pixels = [np.asarray(Image.open(BytesIO(b64decode(uri.split(",")[1]))), np.float64) for uri in (one, other)]
    return float(np.abs(pixels[0] - pixels[1]).mean())
