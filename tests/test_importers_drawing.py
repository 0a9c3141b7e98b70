import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.importers.drawing import area, ellipse, fill_polygon, outline, rectangle

# Sixteenths keep away from rounding; centres of pixels lie on them, so the rule for borders is tested too.
COORDINATES = st.integers(-64, 320).map(lambda number: number / 16)
OUTLINES = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9)


def filled(points: list[tuple[float, float]], height: int = 14, width: int = 16) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    fill_polygon(mask, outline(points), 1)
    return mask


def inside(x: float, y: float, points: list[tuple[float, float]]) -> bool:
    """Whether a ray from a point to the left crosses an outline an odd number of times."""
    crossed = 0
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 <= y) != (y1 <= y):
            crossed += x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
    return crossed % 2 == 1


@given(OUTLINES)
def test_a_pixel_belongs_to_a_shape_when_its_centre_lies_inside(points: list[tuple[float, float]]) -> None:
    mask = filled(points)
    for row, column in np.ndindex(mask.shape):
        # a centre within rounding of a slanted edge may fall on either side
        near = {inside(column + 0.5 + shift, row + 0.5, points) for shift in (-1e-9, 0, 1e-9)}
        assert bool(mask[row, column]) in near


def test_neighbours_share_no_pixel_and_leave_none() -> None:
    corners: list[tuple[float, float]] = [(0, 0), (16, 0), (16, 14), (0, 14)]
    middle = (6.5, 5.5)
    total = sum(filled([*pair, middle]).astype(int) for pair in zip(corners, corners[1:] + corners[:1], strict=True))
    np.testing.assert_array_equal(total, 1)


def test_a_rectangle_of_whole_pixels_is_just_these() -> None:
    mask = np.zeros((6, 8), np.uint8)
    fill_polygon(mask, rectangle((5, 4), (2, 1)), 7)
    expected = np.zeros((6, 8), np.uint8)
    expected[1:4, 2:5] = 7
    np.testing.assert_array_equal(mask, expected)


def test_a_circle_is_round() -> None:
    mask = np.zeros((60, 60), np.uint8)
    fill_polygon(mask, ellipse((30, 30), 20, 20), 1)
    rows, columns = np.mgrid[:60, :60] + 0.5
    distance = np.hypot(rows - 30, columns - 30)
    assert mask[distance < 19.9].all()
    assert not mask[distance > 20].any()


def test_what_lies_outside_the_image_is_cut_off() -> None:
    np.testing.assert_array_equal(filled([(-50, -9), (99, -9), (99, 90), (-50, 90)]), 1)
    assert not filled([(20, 0), (40, 0), (40, 10)]).any()
    assert not filled([(0, -20), (9, -20), (9, -1)]).any()


def test_the_area_of_an_outline() -> None:
    assert area(rectangle((1, 1), (4, 3))) == 6
    assert area(outline([(0, 0), (0, 4), (4, 0)])) == 8


@pytest.mark.parametrize("points", [[(0, 0), (1e7, 0), (3, 3)], [(0, 0), (float("nan"), 0), (3, 3)]])
def test_points_that_lie_nowhere_are_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(DataError, match="million pixels away"):
        outline(points)


def test_two_points_are_no_outline() -> None:
    with pytest.raises(DataError, match="fewer than three points"):
        outline([(0, 0), (1, 1)])


def test_an_outline_that_crosses_a_image_countless_times_is_refused() -> None:
    points = np.zeros((10_000, 2))
    points[::2, 1] = 1000
    with pytest.raises(DataError, match="cross more than four million rows"):
        fill_polygon(np.zeros((1000, 4), np.uint8), points, 1)
