import numpy as np
import pytest

from segwright.data.photometric import jitter_light
from segwright.formats.pixels import Pixels


def image(dtype: type, bands: int = 3, highest: int = 255) -> Pixels:
    return np.random.default_rng(0).integers(0, highest, (32, 32, bands)).astype(dtype)


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("dtype, highest", [(np.uint8, 255), (np.uint16, 65535), (np.float32, 255)])
def test_type_and_shape_stay_and_pixels_change(dtype: type, highest: int, bands: int) -> None:
    before = image(dtype, bands, highest)
    after = jitter_light(np.random.default_rng(1), before, 1.0)
    assert after.dtype == before.dtype and after.shape == before.shape
    assert np.abs(after.astype(float) - before).mean() > highest / 100


def test_strength_0_changes_nothing_and_more_strength_more() -> None:
    before = image(np.uint8)
    changes = [
        np.mean([np.abs(jitter_light(np.random.default_rng(seed), before, strength).astype(int) - before).mean()
                 for seed in range(30)])
        for strength in (0.0, 0.3, 1.0)
    ]  # fmt: skip
    assert changes[0] == 0 < changes[1] < changes[2]


def test_contrast_and_light_go_both_ways() -> None:
    before = image(np.float32, 1)
    after = [jitter_light(np.random.default_rng(seed), before, 1.0) for seed in range(200)]
    means = np.array([one.mean() for one in after]) - before.mean()
    deviations = np.array([one.std() for one in after]) / before.std()
    assert abs(means.mean()) < 10 and means.min() < -20 and means.max() > 20
    assert deviations.min() < 0.7 and deviations.max() > 1.4


def test_each_band_changes_by_its_own_measure() -> None:
    before = np.concatenate([image(np.float32, 1) / 255, image(np.float32, 1, 3000)], axis=2)
    for seed in range(20):
        after = jitter_light(np.random.default_rng(seed), before, 1.0)
        assert (np.abs(after.mean((0, 1)) - before.mean((0, 1))) < before.std((0, 1))).all()


def test_grey_stays_grey() -> None:
    grey = np.repeat(np.asarray(image(np.uint8, 1), np.uint8), 3, axis=2)
    after = jitter_light(np.random.default_rng(2), grey, 1.0)
    assert np.ptp(after.astype(int), axis=2).max() <= 1  # OpenCV's fixed point


def test_gaps_stay_gaps() -> None:
    before = image(np.float32)
    before[:5] = np.nan
    after = jitter_light(np.random.default_rng(2), before, 1.0)
    assert np.isnan(after[:5]).all() and np.isfinite(after[5:]).all()
    assert np.isnan(jitter_light(np.random.default_rng(2), np.full((4, 4, 3), np.nan, np.float32), 1.0)).all()
