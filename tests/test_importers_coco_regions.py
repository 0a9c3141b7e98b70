from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segwright.errors import DataError
from segwright.formats.rle import compress_counts
from tests.helpers.coco import CAT, DOG, GOOD, box, first_mask, region, run_lengths
from tests.helpers.imported import HEIGHT, WIDTH

NAN, INFINITE = float("nan"), float("inf")


def test_polygons_and_both_kinds_of_run_lengths_draw_the_same(tmp_path: Path) -> None:
    expected = region(2, 1, 7, 5) | region(0, 0, 1, 1)
    counts = run_lengths(expected)
    size = [HEIGHT, WIDTH]
    for segmentation in (
        [box(2, 1, 7, 5), box(0, 0, 1, 1)],
        {"size": size, "counts": counts},
        {"size": size, "counts": compress_counts(counts)},
    ):
        np.testing.assert_array_equal(first_mask(tmp_path, {"segmentation": segmentation, "iscrowd": 1}), expected)


def test_small_annotations_lie_over_large_ones_and_later_ones_over_equal_ones(tmp_path: Path) -> None:
    small = {"category_id": 90, "segmentation": [box(2, 2, 4, 4)]}
    large = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": run_lengths(region(0, 0, 6, 6))}}
    expected = region(0, 0, 6, 6) * DOG + region(2, 2, 4, 4)
    np.testing.assert_array_equal(first_mask(tmp_path, small, large), expected)
    np.testing.assert_array_equal(first_mask(tmp_path, large, small), expected)
    same = {"segmentation": [box(2, 2, 4, 4)]}
    np.testing.assert_array_equal(first_mask(tmp_path, small, same), region(2, 2, 4, 4) * DOG)
    np.testing.assert_array_equal(first_mask(tmp_path, same, small), region(2, 2, 4, 4) * CAT)


def test_boxes_and_stubs_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first_mask(
        tmp_path,
        {"segmentation": [box(0, 0, 4, 4), [1, 1, 2, 2]]},
        {"segmentation": [], "bbox": [0, 0, 3, 3]},
        {"bbox": [0, 0, 3, 3]},
    )
    assert "annotations without an outline, only a box, left out: 2 (in 0.png)" in caplog.text
    assert "polygons of fewer than three points, left out: 1 (in 0.png)" in caplog.text


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"segmentation": [[0, 0, 1, 1, 2]]}, "polygons of an odd number of coordinates, left out: 1 (in 0.png)"),
        ({"segmentation": [[0, 0, 1e9, 1, 2, 5]]}, "more than a million pixels away, left out: 1 (in 0.png)"),
        ({"segmentation": [[1, 1, 1, 5, 1, 3]]}, "shapes that cover no pixel, as they have no area or lie outside"),
        ({"segmentation": [box(90, 90, 95, 95)]}, "lie outside of the image, left out: 1 (in 0.png)"),
        ({"segmentation": [[]]}, "polygons of fewer than three points, left out: 1 (in 0.png)"),
        ({"segmentation": {"size": [6, 8], "counts": [40]}}, "run lengths that are damaged or do not fit their image"),
        ({"segmentation": {"size": [6, 8], "counts": "0P"}}, "run lengths that are damaged or do not fit their image"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "do not fit their image, left out: 1 (in 0.png)"),
        (
            {"segmentation": {"size": [6, 8]}},
            "1 of 3 annotations left out, not readable: annotations.1 is not in the form that was expected: "
            "segmentation is {'size': [6, 8]}",
        ),
        ({"segmentation": [["a"]]}, "1 of 3 annotations left out, not readable: annotations.1 is not in"),
        ({"segmentation": [[0, 0, None, 1, 2, 5]]}, "1 of 3 annotations left out, not readable"),
        ({"segmentation": [[0, 0, NAN, 1, 2, 5]]}, "1 of 3 annotations left out, not readable"),
        ({"segmentation": [[0, 0, INFINITE, 1, 2, 5]]}, "1 of 3 annotations left out, not readable"),
        ({"segmentation": "text"}, "1 of 3 annotations left out, not readable"),
        ({"category_id": None}, "1 of 3 annotations left out, not readable"),
        (
            {"category_id": 3},
            "1 of 3 annotations left out, as their image or category is not listed: image_id 0, category_id 3",
        ),
        ({"image_id": 33}, "1 of 3 annotations left out, as their image or category is not listed: image_id 33"),
    ],
)
def test_single_bad_annotations_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, annotation: dict[str, Any], words: str
) -> None:
    last = {"category_id": 90, "segmentation": [box(6, 0, 8, 2)]}
    found = first_mask(tmp_path, GOOD, {**GOOD, **annotation}, last)
    np.testing.assert_array_equal(found, region(0, 0, 4, 4) * DOG + region(6, 0, 8, 2) * CAT)
    assert words in caplog.text


def test_what_reaches_beyond_the_image_is_cut_off_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = first_mask(tmp_path, {"segmentation": [box(-3, 2, 4, 99)]}, {"segmentation": [box(6, 0, 8.5, 2)]})
    np.testing.assert_array_equal(found, region(0, 2, 4, 6) | region(6, 0, 8, 2))
    assert "shapes that reach beyond the image, cut off at its edge: 1 (in 0.png)" in caplog.text


def test_a_set_without_any_outline_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match="None of the 2 images has a shape that can be drawn"):
        first_mask(tmp_path, {"segmentation": [], "bbox": [0, 0, 3, 3], "attributes": {"rotation": 45.0}})
    assert "annotations without an outline, only a box, left out: 1 (in 0.png)" in caplog.text
    with pytest.raises(DataError, match="None of the 2 images has a shape"):
        first_mask(tmp_path)


@pytest.mark.parametrize("polygon", [box(1, 1, 4, 3), [[1, 1], [4, 1], [4, 3], [1, 3]]], ids=["flat", "points"])
def test_a_polygon_may_be_a_flat_list_or_one_of_points(tmp_path: Path, polygon: list[Any]) -> None:
    np.testing.assert_array_equal(first_mask(tmp_path, {"segmentation": polygon}), region(1, 1, 4, 3))
