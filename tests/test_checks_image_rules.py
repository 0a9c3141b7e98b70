from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segwright.checks.channel import Expected, check_pairs
from segwright.checks.image_rules import dropped_or_assumed
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.data.folders import find_pairs
from segwright.errors import DataError
from segwright.labels import LabelMap
from tests.conftest import blocks

Write = Callable[[Path, NDArray[np.uint8]], None]


def channel(root: Path, write_image: Write, write_mask: Write, count: int = 4) -> tuple[Path, Path]:
    images, masks = root / "train", root / "train_annotation"
    images.mkdir()
    masks.mkdir()
    for index in range(count):
        image, mask = blocks(index)
        write_image(images / f"s{index:03}", image)
        write_mask(masks / f"s{index:03}", mask)
    return images, masks


def plain_image(path: Path, image: NDArray[np.uint8]) -> None:
    Image.fromarray(image).save(path.with_suffix(".png"))


def plain_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    Image.fromarray(mask).save(path.with_suffix(".png"))


def with_band(path: Path, image: NDArray[np.uint8]) -> None:
    Image.fromarray(np.dstack([image, image[..., 0] // 2 + 20])).save(path.with_suffix(".png"))


def with_soft_opacity(path: Path, image: NDArray[np.uint8]) -> None:
    opacity = np.full(image.shape[:2], 255, np.uint8)
    opacity[:5] = np.linspace(0, 255, image.shape[1])
    Image.fromarray(np.dstack([image, opacity])).save(path.with_suffix(".png"))


def with_pages(path: Path, mask: NDArray[np.uint8]) -> None:
    tifffile.imwrite(path.with_suffix(".tif"), np.stack([mask] * 5), photometric="minisblack")


def frames(path: Path, image: NDArray[np.uint8]) -> None:
    first, *others = (Image.fromarray(np.roll(image, step)) for step in range(3))
    first.save(path.with_suffix(".webp"), save_all=True, append_images=others, lossless=True)


def tagged(dtype: str, tag: str, rows: int = 6) -> Write:
    def write(path: Path, mask: NDArray[np.uint8]) -> None:
        numbers = mask.astype(dtype)
        numbers[:rows] = float(tag)
        tifffile.imwrite(path.with_suffix(".tif"), numbers, extratags=[(42113, "s", 0, tag, True)])

    return write


@pytest.mark.parametrize(
    ("image", "mask", "severity", "rule", "sentence"),
    [
        (
            with_band,
            plain_mask,
            "warning",
            "image_band",
            "band 4 of 4 images looks like a band, not opacity, and is dropped",
        ),
        (
            plain_image,
            with_pages,
            "warning",
            "mask_pages",
            "4 masks have several pages, slices or frames (s000.tif has 5)",
        ),
        (
            frames,
            plain_mask,
            "warning",
            "image_pages",
            "4 images have several pages, slices or frames (s000.webp has 3)",
        ),
        (
            plain_image,
            tagged("float32", "-9999"),
            "note",
            "mask_no_data",
            "1,152 pixels in 4 masks hold no data (-9999; s000.tif) and",
        ),
        (
            plain_image,
            tagged("uint8", "0"),
            "note",
            "mask_zero",
            "the no-data tag (GDAL_NODATA) of 4 masks is 0 (s000.tif), but 0 is",
        ),
    ],
)
def test_each_kind_of_note_is_one_finding_with_count_and_example(
    image: Write, mask: Write, severity: str, rule: str, sentence: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    images, masks = channel(tmp_path, image, mask)
    report = check_pairs(find_pairs(images, masks), Expected("train"))
    (finding,) = dropped_or_assumed(report)
    shown = finding.what.replace(f"{images}/", "").replace(f"{masks}/", "")
    assert shown.startswith(sentence) and (finding.rule, finding.severity, finding.count) == (rule, severity, 4)
    assert [record.getMessage() for record in caplog.records].count(str(finding)) == 1


def test_nothing_is_shown_of_ordinary_opacity_or_of_bands_that_are_kept(tmp_path: Path) -> None:
    images, masks = channel(tmp_path, with_soft_opacity, plain_mask)
    report = check_pairs(find_pairs(images, masks), Expected("train"))
    assert not list(dropped_or_assumed(report))
    for file in images.iterdir():
        file.unlink()
    for index in range(4):
        with_band(images / f"s{index:03}", blocks(index)[0])
    report = check_pairs(find_pairs(images, masks), Expected("train", requested=RequestedFormat(bands=4)))
    assert report.pixel_format.bands == 4 and not list(dropped_or_assumed(report))


@pytest.mark.parametrize(
    ("dtype", "tag"), [("float32", "-9999"), ("float64", "nan"), ("int16", "-32768"), ("uint8", "7")]
)
def test_no_data_is_ignored_whatever_the_label_map(dtype: str, tag: str, tmp_path: Path) -> None:
    images, masks = channel(tmp_path, plain_image, tagged(dtype, tag))
    pairing = find_pairs(images, masks)
    labelled = sum((blocks(index)[1][6:] == 2).sum() for index in range(4))
    for label_map in (LabelMap.identity(), LabelMap(values=((0, 0), (1, 1), (2, 2), (255, 2)))):
        report = check_pairs(pairing, Expected("train", label_map, strict=True))
        assert report.num_classes == 3 and report.ignored_pixels == 4 * 6 * 48 and report.unmapped == {}
        assert report.histogram[2] == labelled


def test_masks_without_any_data_are_refused(tmp_path: Path) -> None:
    images, masks = channel(tmp_path, plain_image, tagged("float32", "-9999", rows=40))
    with pytest.raises(DataError, match="every pixel of the masks is no data"):
        check_pairs(find_pairs(images, masks), Expected("train"))


def test_zero_is_ignored_where_a_label_map_leaves_it_out(tmp_path: Path) -> None:
    images, masks = channel(tmp_path, plain_image, tagged("uint8", "0"))
    pairing = find_pairs(images, masks)
    assert check_pairs(pairing, Expected("train")).ignored_pixels == 0
    zeros = sum(int((np.asarray(tifffile.imread(file)) == 0).sum()) for file in masks.iterdir())
    report = check_pairs(pairing, Expected("train", LabelMap(values=((1, 0), (2, 1)))))
    assert report.ignored_pixels == zeros > 0
