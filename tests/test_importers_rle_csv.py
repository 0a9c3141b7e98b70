import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.importers import FormatOptions, import_data
from segwright.importers.dataset import NumberedClasses
from segwright.importers.geometry import ImageGeometry
from segwright.importers.rle_csv import Row, draw_rows, parse_runs
from tests.helpers.imported import HEIGHT, WIDTH, checked, masks, names, save_image


def encode(mask: NDArray[Any], *, order: Literal["C", "F"] = "F", first: int = 1) -> str:
    """Run lengths as Kaggle's own notebooks make them: start, length, ... of the pixels that are not 0."""
    pixels = np.concatenate([[0], (mask > 0).ravel(order=order).astype(int), [0]])
    edges = np.flatnonzero(pixels[1:] != pixels[:-1])
    starts, ends = edges[::2], edges[1::2]
    return " ".join(f"{start + first} {end - start}" for start, end in zip(starts, ends, strict=True))


def block(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.uint8]:
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


A, B = block(1, 1, 4, 3), block(2, 4, 6, 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        save_image(tmp_path / "images" / f"{name}.png")
    return tmp_path


def run(folder: Path, table: str, **options: Any) -> dict[str, NDArray[np.uint8]]:
    (folder / "train.csv").write_text(table)
    chosen = FormatOptions(**options)
    import_data("rle-csv", str(folder / "train.csv"), folder / "out", options=chosen, overwrite=True)
    return masks(folder / "out")


def test_objects_of_one_class_one_in_each_row(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = f"ImageId,EncodedPixels\na.png,{encode(A)}\na.png,{encode(B)}\nb.png,{encode(B)}\nc.png,\n"
    with caplog.at_level(logging.INFO):
        found = run(folder, table)
    assert checked(folder / "out").class_names == ("background", "object")
    np.testing.assert_array_equal(found["a"], A | B)
    np.testing.assert_array_equal(found["b"], B)
    assert not found["c"].any()
    assert "runs go down the columns" in caplog.text
    assert "pixels count from 1" in caplog.text
    assert "images without an object, all background: 1 of 3" in caplog.text


@pytest.mark.parametrize(
    ("header", "rows", "classes"),
    [
        ("ImageId,ClassId,EncodedPixels", ("a.png,2,{A}", "b.png,10,{B}", "c.png,2,{B}"), ("2", "10")),
        ("ImageId_ClassId,EncodedPixels", ("a.png_2,{A}", "a.png_10,", "b.png_10,{B}", "c.png_2,{B}"), ("2", "10")),
        ("Image_Label,EncodedPixels", ("a.png_Fish,{A}", "b.png_Gravel,{B}", "c.png_Fish,{B}"), ("Fish", "Gravel")),
        (" ImageId, EncodedPixels", ("a.png_Fish,{A}", "b.png_Sugar,{B}", "c.png_Fish, -1"), ("Fish", "Sugar")),
        (",id,class,rle", ("0,a,x,{A}", "1,b,y,{B}", "2,c,x,nan"), ("x", "y")),
        ("id;label;rle", ("a;x;{A}", "b;y;{B}", 'c;x;"[]"'), ("x", "y")),
        ("image,category,rle_mask", ("a.tif,x,{A}", "some/where/b.png,y,{B}", "c,x,{A}"), ("x", "y")),
    ],
)
def test_columns_of_many_competitions(
    folder: Path, header: str, rows: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    table = "\n".join([header, *rows]).replace("{A}", encode(A)).replace("{B}", encode(B))
    found = run(folder, table)
    assert checked(folder / "out").class_names == ("background", *classes)
    np.testing.assert_array_equal(found["a"], A)
    np.testing.assert_array_equal(found["b"], B * 2)
    assert set(found) == {"a", "b", "c"}


def test_smaller_objects_lie_over_larger_ones(folder: Path) -> None:
    large = block(0, 0, HEIGHT, WIDTH)
    found = run(folder, f"id,class,rle\na,s,{encode(A)}\na,t,{encode(large)}\nb,s,{encode(A)}\n")
    np.testing.assert_array_equal(found["a"], np.where(A, 1, 2))


@pytest.mark.parametrize("rows", [True, False])
def test_which_way_runs_go_is_seen_where_sides_differ(
    folder: Path, rows: bool, caplog: pytest.LogCaptureFixture
) -> None:
    size = (30, 50)
    mask = block(4, 7, 20, 15, size)
    for name in ("a", "b"):
        save_image(folder / "images" / f"{name}.png", *size)
    text = encode(mask, order="C" if rows else "F")
    with caplog.at_level(logging.INFO):
        found = run(folder, f"ImageId,EncodedPixels\na.png,{text}\nb.png,{text}\n")
    np.testing.assert_array_equal(found["a"], mask)
    assert f"runs go {'along the rows' if rows else 'down the columns'}" in caplog.text
    assert f"--rle-order {'columns' if rows else 'rows'}" in caplog.text


@pytest.mark.parametrize(
    ("column", "order", "expected"),
    [("segmentation", None, "C"), ("rle", None, "F"), ("rle", "rows", "C"), ("segmentation", "columns", "F")],
)
def test_images_with_equal_sides_go_by_the_columns_name_and_the_option(
    folder: Path, column: str, order: str | None, expected: Literal["C", "F"]
) -> None:
    mask = block(1, 2, 9, 5, (10, 10))
    for name in ("a", "b"):
        save_image(folder / "images" / f"{name}.png", 10, 10)
    text = encode(mask, order=expected)
    found = run(folder, f"id,class,{column}\na,x,{text}\nb,x,{text}\n", rle_order=order)
    np.testing.assert_array_equal(found["a"], mask)


def test_pixels_that_count_from_0(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    corner = block(0, 0, 2, 2)
    with caplog.at_level(logging.INFO):
        found = run(folder, f"id,rle\na,{encode(corner, first=0)}\nb,{encode(B, first=0)}\n")
    np.testing.assert_array_equal(found["a"], corner)
    np.testing.assert_array_equal(found["b"], B)
    assert "pixels count from 0" in caplog.text


def test_keys_of_folder_and_first_words(tmp_path: Path) -> None:
    scans = "case1/case1_day20/scans"
    for number in (1, 2, 10):
        save_image(tmp_path / "train" / scans / f"slice_{number:04}_266_266_1.50_1.50.png", 10, 10, seed=number)
    text = encode(block(1, 2, 9, 5, (10, 10)), order="C")
    table = "id,class,segmentation\n" + "".join(
        f"case1_day20_slice_{number:04},stomach,{text}\n" for number in (1, 2, 10)
    )
    found = run(tmp_path, table, images=tmp_path / "train")
    assert set(found) == {f"slice_{number:04}_266_266_1.50_1.50" for number in (1, 2, 10)}
    assert all((mask == block(1, 2, 9, 5, (10, 10))).all() for mask in found.values())


def test_rows_that_cannot_be_read_and_images_without_rows(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_image(folder / "images" / "extra.png")
    rows = (f"a,{encode(A)}", "a,1 2 3", "a,x y", "a,-5 2", "a,1 9 3 4", f"b,{encode(B)}", f"gone,{encode(B)}", ",1 1")
    with caplog.at_level(logging.WARNING):
        found = run(folder, "id,rle\n" + "\n".join(rows))
    np.testing.assert_array_equal(found["a"], A)
    assert "5 of 8 rows left out, which cannot be read: line 3: '1 2 3' has 3 numbers" in caplog.text
    assert "1 of 3 images left out" in caplog.text and "gone" in caplog.text
    assert "2 images left out, without a row" in caplog.text and "images/c.png" in caplog.text
    assert names(folder / "out").isdisjoint({"train/extra.png", "validation/extra.png"})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("id,rle\n", "holds no rows"),
        ("name_of,rle\na,1 1\n", "none is that of images"),
        ("id,value\na,1 1\n", "none is that of run lengths"),
        ("id,rle\na,40 20\nb,1 1\n", "line 2: a run ends at pixel 59, but the image has 48"),
        ("id,rle\na,1\nb,x\n", "2 of its 2 rows cannot be read"),
        ("id,rle\nx,1 1\ny,1 1\n", "--images DIR"),
        ("id,rle\na,99999999999999999999999 1\nb,5 99999999999999\n", "2 of its 2 rows cannot be read"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(folder: Path, table: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        run(folder, table)


def test_distances_in_place_of_starts_are_refused(folder: Path) -> None:
    """As in SIIM-ACR: each start is counted from the end of the run before."""
    rows = ("a,1 2 4 2 4 2", "b,8 3 3 3 3 3", "c,-1")
    with pytest.raises(DataError, match=r"2 of its 3 rows cannot be read. line 2: .*not distances"):
        run(folder, "ImageId, EncodedPixels\n" + "\n".join(rows))


def test_sizes_of_the_table(folder: Path) -> None:
    """They tell that a photograph was labelled upright, and that an image was made smaller since."""
    upright = block(1, 1, 7, 4, (10, 6))
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = Image.fromarray(upright * np.uint8(200))
    shown.transpose(Image.Transpose.ROTATE_90).save(folder / "images" / "a.png", exif=exif)
    table = f"id,rle,height,width\na,{encode(upright)},10,6\nb,{encode(B)},{HEIGHT},{WIDTH}.0\n"
    found = run(folder, table)
    np.testing.assert_array_equal(found["a"], np.asarray(Image.open(folder / "images" / "a.png")) // 200)
    with pytest.raises(DataError, match="is of 80x60 pixels, but its image is of 8x6"):
        run(folder, f"id,rle,height,width\na,{encode(upright)},10,6\nb,{encode(B)},60,80\n")


def test_long_run_lengths_leave_the_setting_of_the_csv_module(folder: Path) -> None:
    import csv

    before = csv.field_size_limit()
    size = (700, 301)
    save_image(folder / "images" / "a.png", *size)
    mask = (np.add.outer(np.arange(size[0]), np.arange(size[1])) % 2).astype(np.uint8)
    assert len(encode(mask)) > before
    found = run(folder, f"id,rle\na,{encode(mask)}\nb,{encode(B)}\n", rle_order="columns")
    np.testing.assert_array_equal(found["a"], mask)
    assert csv.field_size_limit() == before


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)),
    st.booleans(),
    st.sampled_from((0, 1)),
)
def test_what_is_encoded_is_drawn(mask: NDArray[np.uint8], rows: bool, first: int) -> None:
    runs = parse_runs(encode(mask, order="C" if rows else "F", first=first))
    classes, row = NumberedClasses(("background", "x"), {"x": 1}), Row(2, "a.png", "x", runs, None)
    geometry = ImageGeometry((mask.shape[0], mask.shape[1]))
    drawn = draw_rows(classes, "rows" if rows else "columns", first, Path("t.csv"), [row], geometry)
    np.testing.assert_array_equal(drawn.mask, mask)


@given(st.text(alphabet="0123456789 -[],.e", max_size=40))
def test_any_text_is_runs_or_refused(text: str) -> None:
    try:
        runs = parse_runs(text)
    except DataError as error:
        assert str(error).endswith(".")
    else:
        assert runs.lengths.sum() >= 0


def test_hubmap_calls_its_run_lengths_encoding(folder: Path) -> None:
    np.testing.assert_array_equal(run(folder, f"id,encoding\na,{encode(A)}\nb,{encode(B)}\n")["a"], A)


def test_classes_are_sorted_numbers_by_size_and_words_by_letters(folder: Path) -> None:
    rows = "".join(f"a.png_{name},{encode(A)}\n" for name in ("Sugar", "Fish", "Flower", "10", "9"))
    run(folder, f"Image_Label,EncodedPixels\n{rows}b.png_Fish,\n")
    assert checked(folder / "out").class_names == ("background", "9", "10", "Fish", "Flower", "Sugar")


def test_a_row_of_nothing_without_a_class_makes_no_class_and_whole_numbers_may_have_a_point(folder: Path) -> None:
    found = run(folder, f"ImageId,ClassId,EncodedPixels\na.png,1.0,{encode(A)}\nb.png,,\nc.png,nan,nan\n")
    assert checked(folder / "out").class_names == ("background", "1")
    np.testing.assert_array_equal(found["a"], A)
    assert not found["b"].any()


def test_turned_photographs_do_not_tell_which_way_runs_go(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    table = "ImageId,EncodedPixels\n"
    for name in ("a", "b", "c"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / f"{name}.png", exif=exif)
        table += f"{name}.png,{encode(block(1, 1, 7, 5, (WIDTH, HEIGHT)))}\n"  # as shown
    (folder / "train.csv").write_text(table)
    import_data("rle-csv", str(folder / "train.csv"), folder / "out", labelled="shown")
    for mask in masks(folder / "out").values():
        np.testing.assert_array_equal(np.rot90(mask, -1), block(1, 1, 7, 5, (WIDTH, HEIGHT)))


def test_a_folder_is_no_table(folder: Path) -> None:
    with pytest.raises(DataError, match="is a folder: give the path of its table"):
        import_data("rle-csv", str(folder), folder / "out")
