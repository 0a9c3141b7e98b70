from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.bundle import read_description
from segwright.errors import DataError
from segwright.export import quantization
from segwright.export.quantization import CalibrationImages
from tests.helpers.served import write_bundle


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(9):
        Image.new("RGB", (30, 20), (index, 0, 0)).save(folder / f"{index}.png")
    return folder


def test_calibration_takes_a_few_images_of_all(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    description = read_description(write_bundle(tmp_path / "model"))
    monkeypatch.setattr(quantization, "MOST_IMAGES", 3)
    found = CalibrationImages.read(description, str(images))
    assert len(found) == 3
    assert [image[0, 0, 0, 0] for image in found] == [0, 4, 8]


def test_calibration_images_are_as_the_network_sees_them(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = read_description(write_bundle(tmp_path / "model", inference_scale=2.0))
    monkeypatch.setattr(quantization, "LARGEST_SIDE", 50)
    image = next(iter(CalibrationImages.read(description, str(images))))
    assert image.shape == (1, 3, 40, 50) and image.dtype == np.uint8


def test_an_image_that_cannot_be_read_is_named(images: Path, tmp_path: Path) -> None:
    description = read_description(write_bundle(tmp_path / "model"))
    (images / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3\.png"):
        list(CalibrationImages.read(description, str(images)))
