import numpy as np
import pytest

from segwright.palettes import default_palette


@pytest.mark.parametrize("count", [0, 1, 2, 21, 254])
def test_palettes_are_distinct_and_do_not_depend_on_the_count(count: int) -> None:
    palette = default_palette(count)
    assert palette.shape == (count, 3)
    assert palette.dtype == np.uint8
    assert np.array_equal(palette, default_palette(254)[:count])
    assert len({tuple(colour) for colour in palette.tolist()}) == count


def test_the_first_twenty_colours_are_far_apart() -> None:
    colours = default_palette(20).astype(float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=2) + np.eye(20) * 1000
    assert distances.min() > 35
