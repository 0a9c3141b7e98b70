"""Images that are no 8-bit colour pictures, from files to masks; and pictures that their camera noted as turned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

import segwright
from segwright.bundle import read_description
from segwright.errors import DataError, HyperparameterError
from segwright.formats.pixels import PixelFormat
from tests.conftest import Draw, blocks
from tests.helpers.trainings import settings


def many_bands(
    image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], bands: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """A picture of `bands` bands of 16 bits, of which few values are used, as instruments give them."""
    chosen = np.arange(bands) % 3
    return (image[..., chosen].astype(np.uint16) * 4 + 1000 * np.arange(bands)).astype(np.uint16)


def rewrite(data: Path, bands: int) -> Path:
    for split, first in (("train", 0), ("validation", 1000)):
        for index, file in enumerate(sorted((data / split).iterdir())):
            image, _ = blocks(first + index)
            file.unlink()
            planes: dict[str, Any] = {"planarconfig": "contig"} if bands > 1 else {}
            tifffile.imwrite(file.with_suffix(".tif"), many_bands(image, bands), photometric="minisblack", **planes)
    return data


@pytest.mark.parametrize("bands", [1, 5])
def test_bands_of_16_bits_are_learnt_and_used(channels_folder: Draw, tmp_path: Path, bands: int) -> None:
    data = rewrite(channels_folder(train=12), bands)
    values = settings(epochs="12", precision_dtype="float32", _workers="1")
    segwright.train(segwright.Channels.locate(data), tmp_path / "model", values, device="cpu")
    description = read_description(tmp_path / "model")
    network = description.network
    assert (network.bands, network.bit_depth) == (bands, 16)
    assert network.mean is not None and len(network.mean) == bands and max(network.mean) < 0.1
    assert description.metrics["best"]["mean_iou"] > 0.5, "a range that is barely used is spread by its own statistics"
    scores = segwright.evaluate(tmp_path / "model", data / "validation", data / "validation_annotation", device="cpu")
    assert scores.mean_iou == pytest.approx(description.metrics["best"]["mean_iou"], abs=1e-9)
    segwright.predict_files(tmp_path / "model", [data / "validation"], tmp_path / "masks", overlay=True, device="cpu")
    with Image.open(tmp_path / "masks" / "000.overlay.png") as overlay:
        assert overlay.mode == "RGB" and overlay.size == (48, 40)
    Image.new("RGB", (48, 40)).save(tmp_path / "photo.jpg")
    with pytest.raises(DataError, match="1 of 1 images could not be predicted"):
        segwright.predict_files(tmp_path / "model", [tmp_path / "photo.jpg"], tmp_path / "more", device="cpu")
    with pytest.raises(DataError, match=r"3\] of uint16|5\] of uint16|1\] of uint16"):
        segwright.load(tmp_path / "model", "cpu").mask(np.zeros((8, 8, 3), np.uint8))


def as_numbers(image: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Two bands as instruments give them: reflectance around 0, or temperatures far away from it; some have no data."""
    bands = image[..., :2].astype(np.float64)
    pixels = (bands * 30 - 400 if dtype == "int16" else bands / 100 + 280).astype(dtype)
    pixels[:3, :, 0] = -9999 if dtype == "int16" else np.nan
    return pixels


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_other_numbers_are_learnt_and_used(
    channels_folder: Draw, tmp_path: Path, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = channels_folder(train=12)
    for split, first in (("train", 0), ("validation", 1000)):
        for index, file in enumerate(sorted((data / split).iterdir())):
            file.unlink()
            pixels = as_numbers(blocks(first + index)[0], dtype)
            tifffile.imwrite(file.with_suffix(".tif"), pixels, photometric="minisblack", planarconfig="contig")
    channels = segwright.Channels.locate(data)
    values = settings(epochs="12", precision_dtype="float32", _workers="1")
    segwright.train(channels, tmp_path / "model", values, device="cpu")
    description = read_description(tmp_path / "model")
    pixel_format = description.network.pixel_format
    assert (pixel_format.bands, pixel_format.numbers) == (
        2,
        dtype.rstrip("0123456789"),
    ) and pixel_format.dtype == np.float32
    whole = [as_numbers(blocks(index)[0], dtype).astype(float) for index in range(12)]
    known = np.stack([np.where(image == -9999, np.nan, image) for image in whole])
    assert description.network.mean == pytest.approx(np.nanmean(known, axis=(0, 1, 2)), rel=1e-6)
    assert description.network.std == pytest.approx(np.nanstd(known, axis=(0, 1, 2)), rel=1e-5)
    assert description.metrics["best"]["mean_iou"] > 0.5
    scores = segwright.evaluate(tmp_path / "model", data / "validation", data / "validation_annotation", device="cpu")
    assert scores.mean_iou == pytest.approx(description.metrics["best"]["mean_iou"], abs=1e-9)
    caplog.set_level("INFO")
    segwright.predict_files(tmp_path / "model", [data / "validation"], tmp_path / "masks", overlay=True, device="cpu")
    told = [record.getMessage() for record in caplog.records if "hold no data" in record.getMessage()]
    gap = "-9999" if dtype == "int16" else "NaN"
    assert told and f"432 pixels in 3 images hold no data ({gap}; " in told[-1]
    with Image.open(tmp_path / "masks" / "000.overlay.png") as overlay:
        assert overlay.mode == "RGB" and overlay.size == (48, 40)
    start = tmp_path / "model"
    segwright.train(channels, tmp_path / "more", settings(epochs="1"), device="cpu", start_from=start)
    assert read_description(tmp_path / "more").network.mean == description.network.mean
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((40, 48, 2), np.uint16), photometric="minisblack")
    with pytest.raises(DataError, match="1 of 1 images could not be predicted"):
        segwright.predict_files(tmp_path / "model", [tmp_path / "other.tif"], tmp_path / "none", device="cpu")


def test_bundles_from_before_say_nothing_of_the_kind_of_numbers(channels_folder: Draw, tmp_path: Path) -> None:
    data = rewrite(channels_folder(train=4), 1)
    segwright.train(segwright.Channels.locate(data), tmp_path / "model", settings(epochs="1"), device="cpu")
    file = tmp_path / "model" / "bundle.json"
    document = json.loads(file.read_text())
    assert document["network"].pop("numbers") == "uint" and document["data"]["train"].pop("numbers") == "uint"
    expected = segwright.load(tmp_path / "model", "cpu").mask(np.full((8, 8, 1), 900, np.uint16))
    file.write_text(json.dumps(document))
    assert read_description(tmp_path / "model").network.pixel_format == PixelFormat(1, 16)
    assert (segwright.load(tmp_path / "model", "cpu").mask(np.full((8, 8, 1), 900, np.uint16)) == expected).all()


def test_a_training_goes_on_with_the_bands_it_had(channels_folder: Draw, tmp_path: Path) -> None:
    data = rewrite(channels_folder(train=6), 5)
    channels = segwright.Channels.locate(data)
    segwright.train(channels, tmp_path / "model", settings(epochs="1"), device="cpu")
    start = tmp_path / "model"
    segwright.train(channels, tmp_path / "more", settings(epochs="1"), device="cpu", start_from=start)
    assert read_description(tmp_path / "more").network.mean == read_description(start).network.mean
    with pytest.raises(HyperparameterError, match="bands is 3, but the model to start from has 5"):
        segwright.train(channels, tmp_path / "x", settings(epochs="1", bands="3"), device="cpu", start_from=start)


def test_colour_images_are_read_as_grey_on_request(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder(train=4)
    segwright.train(segwright.Channels.locate(data), tmp_path / "model", settings(epochs="1", bands="1"), device="cpu")
    network = read_description(tmp_path / "model").network
    assert (network.bands, network.bit_depth) == (1, 8)


def test_an_orientation_is_honoured_in_training_and_prediction_alike(channels_folder: Draw, tmp_path: Path) -> None:
    data = channels_folder(train=6)
    exif = Image.Exif()
    exif[274] = 6  # shown after a turn by 90 degrees clockwise
    for split in ("train", "validation"):
        for file in (data / split).iterdir():
            with Image.open(file) as picture:
                picture.load()
            picture.transpose(Image.Transpose.ROTATE_90).save(file, quality=95, exif=exif)
    channels = segwright.Channels.locate(data)
    with pytest.raises(DataError, match="apply_exif_orientation"):
        segwright.train(channels, tmp_path / "model", settings(), device="cpu")
    segwright.train(channels, tmp_path / "model", settings(apply_exif_orientation="True"), device="cpu")
    assert read_description(tmp_path / "model").network.upright
    segwright.predict_files(tmp_path / "model", [data / "validation"], tmp_path / "masks", device="cpu")
    with Image.open(tmp_path / "masks" / "000.png") as mask:
        assert mask.size == (48, 40)
