import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from segwright.networks import resize
from segwright.networks.pooling import adaptive_average_pool, pooling_matrix


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    bins=st.integers(1, 8),
    channels_last=st.booleans(),
)
def test_pooling_equals_pytorchs(height: int, width: int, bins: int, channels_last: bool) -> None:
    maps = torch.randn(2, 3, height, width, dtype=torch.float64)
    if channels_last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(adaptive_average_pool(maps, bins), F.adaptive_avg_pool2d(maps, bins))


def test_windows_reach_from_floor_to_ceiling() -> None:
    third = 1 / 3
    expected = [[third, third, third, 0, 0], [0, 0, third, third, third]]
    torch.testing.assert_close(pooling_matrix(5, 2, torch.empty(0)), torch.tensor(expected))


def test_pooling_keeps_half_precision() -> None:
    maps = torch.full((1, 1, 300, 300), 1000.0, dtype=torch.float16)
    pooled = adaptive_average_pool(maps, 2)
    assert pooled.dtype == torch.float16
    torch.testing.assert_close(pooled, torch.full((1, 1, 2, 2), 1000.0, dtype=torch.float16))


@given(st.integers(2, 20), st.integers(2, 20))
def test_resize_lays_corner_on_corner(before: int, after: int) -> None:
    ramp = torch.arange(before, dtype=torch.float64).view(1, 1, 1, before)
    position = torch.arange(after, dtype=torch.float64) * (before - 1) / (after - 1)
    torch.testing.assert_close(resize(ramp, (1, after)).flatten(), position)


@pytest.mark.parametrize("length", [1, 2, 9])
def test_resize_to_one_pixel_takes_the_first(length: int) -> None:
    ramp = torch.arange(3.0, 3 + length).view(1, 1, 1, length)
    assert resize(ramp, (1, 1)).item() == 3
