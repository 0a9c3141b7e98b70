"""What a model takes as an image: pixels, files, and images of Pillow's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.errors import DataError
from segwright.inference import Model, load
from tests.conftest import blocks
from tests.helpers.served import write_bundle

MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_bundle(tmp_path_factory.mktemp("models") / "model"), "cpu")


def upright(model: Model) -> Model:
    """The same model, but for EXIF orientation, which it applies."""
    network = replace(model.description.network, upright=True)
    return Model(model.description.model_copy(update={"network": network}), model.runtime)


def test_a_temperature_scales_probabilities_and_leaves_masks(model: Model) -> None:
    description = model.description.model_copy(update={"temperature": 2.0})
    scaled, image = Model(description, model.runtime), blocks(1)[0]
    assert model.temperature == 1 and scaled.temperature == 2
    roots = np.sqrt(model.probabilities(image))
    assert np.allclose(scaled.probabilities(image), roots / roots.sum(0), atol=1e-5)
    assert (scaled.mask(image) == model.mask(image)).all()


def saved(path: Path, orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(blocks(1, 40, 57)[0]).save(path, exif=exif)
    return path


def test_a_file_is_read_as_its_pixels(model: Model, tmp_path: Path) -> None:
    file = saved(tmp_path / "image.png")
    mask = model.mask(blocks(1, 40, 57)[0])
    assert len(np.unique(mask)) > 1
    assert (model.mask(file) == mask).all() and (model.mask(str(file)) == mask).all()
    with Image.open(file) as image:
        assert (model.mask(image) == mask).all()
        assert (model.probabilities(image) == model.probabilities(file)).all()


def test_files_that_cannot_be_read_are_named(model: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jpg cannot be read: No such file"):
        model.mask("nowhere.jpg")
    broken = tmp_path / "broken.png"
    broken.write_bytes(saved(tmp_path / "image.png").read_bytes()[:-900])
    with pytest.raises(DataError, match=r"broken\.png is truncated"):
        model.mask(broken)
    with Image.open(broken) as image, pytest.raises(DataError, match="the image is truncated or damaged"):
        model.mask(image)


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_is_read_as_colour(model: Model, mode: str) -> None:
    image = Image.fromarray(blocks(2, 40, 57)[0]).convert({"La": "LA", "RGBa": "RGBA", "PA": "P"}.get(mode, mode))
    first = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)
    expected = np.asarray(image.convert(mode).convert(first).convert("RGB"))
    assert (model.mask(image.convert(mode)) == model.mask(expected)).all()


def test_a_transparent_palette_is_read_as_its_colours(model: Model) -> None:
    image = Image.fromarray(blocks(2, 40, 57)[0]).convert("P")
    expected = model.mask(np.asarray(image.convert("RGB")))
    image.info["transparency"] = 3
    assert (model.mask(image) == expected).all() and image.info["transparency"] == 3


@pytest.mark.parametrize("orientation", [1, 2, 6, 8])
def test_orientation_is_applied_as_the_model_does_with_files(model: Model, tmp_path: Path, orientation: int) -> None:
    file = saved(tmp_path / "image.png", orientation)
    for one, size in ((model, (40, 57)), (upright(model), (40, 57) if orientation < 5 else (57, 40))):
        with Image.open(file) as image:
            mask = one.mask(image)
        assert mask.shape == size
        assert (mask == one.mask(file)).all()


def test_numbers_of_another_kind_are_refused(model: Model) -> None:
    deep = Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(40, 50))
    with pytest.raises(DataError, match="the image has 1 band of 16 bits instead of 3 bands of 8 bits"):
        model.mask(deep)


def test_a_model_of_one_deep_band_takes_such_an_image(tmp_path: Path) -> None:
    model = load(write_bundle(tmp_path / "model", bands=1), "cpu")
    network = replace(model.description.network, bit_depth=16)
    deep = Model(model.description.model_copy(update={"network": network}), model.runtime)
    pixels = (np.arange(2000) * 32).astype(np.uint16).reshape(40, 50)
    assert (deep.mask(Image.fromarray(pixels)) == deep.mask(pixels[..., None])).all()
