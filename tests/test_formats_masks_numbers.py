import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.masks import decode_mask, is_colour_image
from segwright.formats.palettes import mask_palette
from segwright.formats.pixels import Note
from segwright.labels import LabelMap

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]


def tiff(numbers: NDArray[Any], tag: str | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    extra = [(42113, "s", 0, tag, True)] if tag is not None else []
    tifffile.imwrite(stream, numbers, photometric="minisblack", metadata=None, extratags=extra, **options)
    return stream.getvalue()


@settings(max_examples=150, deadline=None)
@given(
    numbers=arrays(np.uint8, st.tuples(st.integers(17, 40), st.integers(17, 40)), elements=st.integers(0, 100)),
    dtype=st.sampled_from(TYPES),
    compression=st.sampled_from([None, "lzw", "deflate", "zstd", "packbits"]),
    layout=st.sampled_from(["strips", "tiles", "rows", "planar", "bigtiff"]),
    order=st.sampled_from("<>"),
    predictor=st.booleans(),
    gap=st.sampled_from([None, "-9999", "-1", "101", "nan", "-3.4028234663852886e+38", "untagged"]),
)
def test_whole_numbers_of_any_type_in_any_layout(
    numbers: NDArray[np.uint8],
    dtype: str,
    compression: str | None,
    layout: str,
    order: str,
    predictor: bool,
    gap: str | None,
) -> None:
    stored = numbers.astype(dtype)
    expected = numbers.astype(np.int64)
    tag = None if gap == "untagged" else gap
    kind = stored.dtype.kind
    if gap is not None:
        number = float(tag) if tag else -1.0 if kind == "i" else np.nan
        limits = None if kind == "f" else np.iinfo(stored.dtype)
        if limits is None or limits.min <= number <= limits.max:
            with np.errstate(over="ignore"):
                stored[2:5, 3:] = number
            expected[2:5, 3:] = -1
    layouts: dict[str, dict[str, Any]] = {
        "strips": {}, "tiles": {"tile": (16, 16)}, "rows": {"rowsperstrip": 3}, "bigtiff": {"bigtiff": True},
        "planar": {"planarconfig": "separate"},
    }  # fmt: skip
    options = layouts[layout]
    written = np.stack([stored, stored]) if layout == "planar" else stored
    if predictor and compression in ("lzw", "deflate", "zstd") and stored.dtype.itemsize < 8:
        options["predictor"] = True
    decoded, notes = decode_mask(tiff(written, tag, byteorder=order, compression=compression, **options), "x")[:2]
    assert decoded.astype(np.int64).tolist() == expected.tolist()
    assert [(note.kind, note.count) for note in notes] == (
        [("no-data", int((expected < 0).sum()))] if (expected < 0).any() else []
    )


@pytest.mark.parametrize("gap", [-1, -9999, -32768, -(2**31), np.nan, -3.4e38, -np.inf, np.inf, -999, -99999])
def test_usual_numbers_for_no_data_need_no_tag(gap: float) -> None:
    decoded, notes = decode_mask(tiff(np.array([[0, 255, gap]], np.float64)), "x")[:2]
    assert decoded.tolist() == [[0, 255, -1]]
    assert notes[0].kind == "no-data" and notes[0].detail.lower().startswith(f"{gap:g}"[:3])
    assert LabelMap.identity().apply(decoded).tolist() == [[0, 255, 255]]
    both = LabelMap(values=((0, 0), (255, 1)))
    assert both.apply(decoded).tolist() == [[0, 1, 255]], "255 is a class here, no data is not"


def test_zero_stays_a_class_whatever_the_tag_says() -> None:
    for dtype in ("uint8", "int16", "float32"):
        decoded, notes = decode_mask(tiff(np.array([[0, 0, 2]], dtype), "0"), "x")[:2]
        assert decoded.tolist() == [[0, 0, 2]] and notes == (Note("zero", 2),)


def test_other_tags_are_believed() -> None:
    assert decode_mask(tiff(np.array([[0, 7, 9]], np.uint8), "9"), "x").numbers.tolist() == [[0, 7, -1]]
    assert decode_mask(tiff(np.array([[0, 255]], np.uint8), "255"), "x")[:2][0].tolist() == [[0, 255]]
    assert decode_mask(tiff(np.array([[0, 65535]], np.uint16), "65535"), "x").numbers.tolist() == [[0, -1]]
    assert decode_mask(tiff(np.array([[0, 2**32 - 1]], np.uint32), "4294967295"), "x").numbers.tolist() == [[0, -1]]
    for odd in ("", "none", "1,5"):
        assert decode_mask(tiff(np.array([[0, 7]], np.uint8), odd), "x").numbers.tolist() == [[0, 7]]


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        (np.array([[0, 1.5]], np.float32), r"number 1\.5 of type float32 at row 0, column 1; .*gdalwarp -r near"),
        (np.array([[0], [-7]], np.int16), r"number -7 of type int16 at row 1, column 0"),
        (np.array([[70000]], np.int64), r"number 70000 of type int64.*gdal_edit\.py -a_nodata 70000 m\.tif"),
        (np.array([[2**32 - 1]], np.uint32), r"number 4294967295 of type uint32"),
        (np.array([[2**63]], np.uint64), r"number 9223372036854775808 of type uint64"),
        (np.array([[1j]], np.complex64), r"complex numbers of 64 bits.*save it as"),
    ],
)
def test_other_numbers_are_refused_by_type_value_and_place(numbers: NDArray[Any], sentence: str) -> None:
    with pytest.raises(DataError, match=rf"m\.tif hol?ds? .*{sentence}"):
        decode_mask(tiff(numbers), "m.tif")


@pytest.mark.parametrize("compression", ["jpeg", "webp", "jpegxl", "jpeg2000", "lerc"])
def test_lossy_compression_inside_a_tiff_is_refused(compression: str) -> None:
    pytest.importorskip("imagecodecs")
    mask = np.zeros((32, 32, 3) if compression == "webp" else (32, 32), np.uint8)
    stream = io.BytesIO()
    tifffile.imwrite(stream, mask, compression=compression, photometric="rgb" if mask.ndim == 3 else "minisblack")
    for function in (decode_mask, is_colour_image):
        with pytest.raises(DataError, match=r"m\.tif is compressed with (JPEG|WebP|LERC).*COMPRESS=DEFLATE"):
            function(stream.getvalue(), "m.tif")


def test_pages_that_differ_are_refused_and_alike_ones_noted() -> None:
    mask = np.arange(200, dtype=np.uint8).reshape(10, 20) % 3
    assert decode_mask(tiff(np.stack([mask] * 5)), "x")[:2][1] == (Note("pages", 5),)
    with pytest.raises(DataError, match=r"x has 4 pages, of which page 2 differs from the first"):
        decode_mask(tiff(np.stack([mask, mask + 1, mask, mask])), "x")
    for bands in (np.stack([mask, mask + 1]), np.stack([mask, mask, mask * 2])):
        with pytest.raises(DataError, match="several bands"):
            decode_mask(tiff(bands, planarconfig="separate"), "x")


def test_files_of_many_bits_have_no_palette() -> None:
    for dtype in TYPES:
        data = tiff(np.array([[0, 1]], dtype))
        assert mask_palette(data) is None and not is_colour_image(data, "x")


def test_bits_of_odd_number_are_named_and_not_called_damage() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((8, 8), np.uint8), photometric="minisblack")
    data = stream.getvalue().replace(struct.pack("<HHII", 258, 3, 1, 8), struct.pack("<HHII", 258, 3, 1, 3))
    with pytest.raises(DataError, match=r"a.tif holds an image of unsigned whole numbers of 3 bits"):
        decode_mask(data, "a.tif")


def test_numbers_that_were_divided_get_the_cure() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.array([[0, 0.5, 1]], np.float32))
    with pytest.raises(DataError, match=r"holds the number 0.5 of type float32 .* if they were divided, as by 255"):
        decode_mask(stream.getvalue(), "a.tif")
