from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segwright.data.folders import Pair
from segwright.data.pairs import read_pair
from segwright.errors import DataError
from segwright.labels import IGNORE, LabelMap


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    Image.new("RGB", (5, 4), (10, 20, 30)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[7, 9, 7, 255, 7]] * 4, np.uint8)).save(tmp_path / "a_mask.png")
    return Pair("a", tmp_path / "a.png", tmp_path / "a_mask.png")


def test_pixels_and_classes(pair: Pair) -> None:
    image, mask = read_pair(pair, LabelMap.from_json({"map": {"0": 9, "1": 7}}))
    assert image.shape == (4, 5, 3) and image[0, 0].tolist() == [10, 20, 30]
    assert mask[0].tolist() == [1, 0, 1, IGNORE, 1]


def test_sizes_that_differ_name_both_files(pair: Pair) -> None:
    Image.new("L", (5, 6)).save(pair.mask)
    with pytest.raises(DataError, match=r"5x4 .* 5x6"):
        read_pair(pair, LabelMap.identity())


@pytest.mark.parametrize("side", ["image", "mask"])
def test_a_file_that_went_away_is_named(pair: Pair, side: str) -> None:
    gone = pair.image if side == "image" else pair.mask
    gone.unlink()
    with pytest.raises(DataError, match=gone.name):
        read_pair(pair, LabelMap.identity())
