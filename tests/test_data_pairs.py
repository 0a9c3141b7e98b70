import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.data.crops import fixed_crop
from segwright.data.pairs import Pair, read_crop, read_pair
from segwright.data.transforms import apply_crop
from segwright.errors import DataError
from segwright.formats.exif import transpose
from segwright.formats.images import encode_jpeg
from segwright.formats.pixels import RGB, PixelFormat
from segwright.labels import IGNORE, LabelMap
from segwright.storage import Blob, BytesBlob, FileBlob


def path_of(blob: Blob) -> Path:
    assert isinstance(blob, FileBlob)
    return blob.path


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    Image.new("RGB", (5, 4), (10, 20, 30)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[7, 9, 7, 255, 7]] * 4, np.uint8)).save(tmp_path / "a_mask.png")
    return Pair("a", FileBlob(tmp_path / "a.png"), FileBlob(tmp_path / "a_mask.png"))


def test_pixels_and_classes(pair: Pair) -> None:
    image, mask = read_pair(pair, LabelMap.from_json({"map": {"0": 9, "1": 7}}))
    assert image.shape == (4, 5, 3) and image[0, 0].tolist() == [10, 20, 30]
    assert mask[0].tolist() == [1, 0, 1, IGNORE, 1]


def test_sizes_that_differ_name_both_files(pair: Pair) -> None:
    Image.new("L", (5, 6)).save(path_of(pair.mask))
    with pytest.raises(DataError, match=r"5x4 .* 5x6"):
        read_pair(pair, LabelMap.identity())


@pytest.mark.parametrize("split", ["image", "mask"])
def test_a_file_that_went_away_is_named(pair: Pair, split: str) -> None:
    gone = path_of(pair.image if split == "image" else pair.mask)
    gone.unlink()
    with pytest.raises(DataError, match=gone.name):
        read_pair(pair, LabelMap.identity())


def test_a_class_that_nobody_checked_before_is_refused(pair: Pair) -> None:
    with pytest.raises(DataError, match=r"a_mask\.png holds a class outside 0 to 6"):
        read_pair(pair, LabelMap.identity(), num_classes=7)
    read_pair(pair, LabelMap.identity(), num_classes=10)


@pytest.mark.parametrize(("width", "height"), [(640, 400), (643, 397)])
def test_a_crop_of_a_reduced_jpeg_shows_what_the_whole_one_would(width: int, height: int) -> None:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (10, 16, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    mask = (np.arange(height)[:, None] * 3 // height + np.zeros((1, width))).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    pair = Pair("a", BytesBlob("a.jpg", encode_jpeg(image, 98)), BytesBlob("a.png", stream.getvalue()))
    whole, classes = read_pair(pair, LabelMap.identity())
    crop = fixed_crop(height, width, base_size=150, crop_size=96)
    assert crop.reduction == 4
    pixels, cut = read_crop(pair, LabelMap.identity(), RGB, lambda *_: crop)
    expected, expected_mask = apply_crop(crop, whole, classes)
    assert (cut == expected_mask).all()
    difference = np.abs(pixels.astype(int) - expected.astype(int))
    assert difference.mean() < 1.5 and difference.max() < 20


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("width", "height"), [(640, 400), (643, 397)])
def test_a_turned_image_lies_on_its_mask_at_any_reduction(width: int, height: int, orientation: int) -> None:
    """A picture whose grey is its class: crops of both agree, however the camera was held."""
    row = np.repeat(np.array([0, 1, 2, 3], np.uint8), -(-width // 4))[:width]
    stored = np.repeat(row[None], height, 0)
    exif = Image.Exif()
    exif[274] = orientation
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.repeat(stored[..., None] * 80, 3, 2)).save(picture, "JPEG", quality=98, exif=exif)
    upright = transpose(stored[..., None], orientation)[..., 0]
    Image.fromarray(upright).save(mask, "PNG")
    pair = Pair("a", BytesBlob("a.jpg", picture.getvalue()), BytesBlob("a.png", mask.getvalue()))
    crop = fixed_crop(upright.shape[0], upright.shape[1], base_size=150, crop_size=152)
    pixels, classes = read_crop(pair, LabelMap.identity(), PixelFormat(exif_transposed=True), lambda *_: crop)
    inside = classes != IGNORE
    wrong = np.abs(pixels[..., 0].astype(int) - 80 * classes.astype(int))[inside] > 40
    assert wrong.mean() < 0.012, "only where two classes meet"
