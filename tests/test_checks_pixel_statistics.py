import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tifffile import imwrite

from segwright.checks.channel_statistics import ChannelStatistics, ScannedChannel
from segwright.checks.image_rules import one_format
from segwright.checks.pixel_statistics import BandStatistics, BandSums, RequestedFormat, read_form
from segwright.checks.scan import PairScan
from segwright.data.pairs import Pair
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import PixelFormat
from segwright.labels import LabelMap
from segwright.storage import BytesBlob


def scan(name: str, pixels: NDArray[Any], tag: str | None = None) -> PairScan:
    stream = io.BytesIO()
    extra = [(42113, "s", 0, tag, True)] if tag else []
    imwrite(stream, pixels, photometric="minisblack", planarconfig="contig", metadata=None, extratags=extra)
    data = stream.getvalue()
    pixel_format, sums = read_form(EncodedImage(data, name), RequestedFormat())
    nothing = np.zeros(0, np.int64)
    pair = Pair(name, BytesBlob(name, data), BytesBlob(name, b""))
    return PairScan(pair, (1, 1), (1, 1), nothing, nothing, b"", b"", b"", pixel_format, sums=sums)


def band_statistics(*scans: PairScan) -> BandStatistics | None:
    return ChannelStatistics.of(ScannedChannel("train", LabelMap.identity(), scans), 0).bands


def noise(seed: int, height: int, low: float, high: float) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(low, high, (height, 30, 2))


@pytest.mark.parametrize(
    ("dtype", "low", "high", "scale"),
    [
        (np.uint16, 100, 3000, 65535), (np.int16, -400, 9000, 1), (np.float32, -0.1, 0.9, 1),
        (np.float64, 1e6, 1e6 + 3, 1), (np.float32, 1e-9, 4e-9, 1), (np.uint32, 7, 100000, 1),
    ],
)  # fmt: skip
def test_statistics_are_those_of_all_pixels(dtype: type[np.generic], low: float, high: float, scale: float) -> None:
    images = [noise(seed, 5 + 40 * seed, low, high).astype(dtype) for seed in range(3)]
    statistics = band_statistics(*(scan(str(index), image) for index, image in enumerate(images)))
    pixels = np.concatenate([image.astype(np.float32).reshape(-1, 2) for image in images]).astype(float) / scale
    assert statistics is not None
    np.testing.assert_allclose(statistics.mean, pixels.mean(0), rtol=1e-9)
    np.testing.assert_allclose(statistics.std, pixels.std(0), rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "gap", "tag"),
    [
        (np.float32, np.nan, None), (np.float32, np.inf, None), (np.float32, -3.4e38, None), (np.int16, -9999, None),
        (np.float32, -1, "-1"), (np.uint16, 65535, "65535"), (np.uint16, 0, "0"),
    ],
)  # fmt: skip
def test_what_has_no_data_does_not_count(dtype: type[np.generic], gap: float, tag: str | None) -> None:
    image = noise(1, 20, 100, 900).astype(dtype)
    known = image.reshape(-1, 2).astype(float)
    image[:4, :, 0] = gap
    statistics = band_statistics(scan("a", image, tag))
    scale = 65535 if dtype == np.uint16 else 1
    assert statistics is not None
    np.testing.assert_allclose(statistics.mean, [known[120:, 0].mean() / scale, known[:, 1].mean() / scale])
    np.testing.assert_allclose(statistics.std, [known[120:, 0].std() / scale, known[:, 1].std() / scale])


def test_bands_that_never_change_or_have_no_data_can_be_divided_by() -> None:
    image = np.full((4, 5, 2), 273.25, np.float32)
    image[..., 1] = np.nan
    statistics = band_statistics(scan("a", image))
    assert statistics is not None and statistics.std == (1, 1) and statistics.mean == (273.25, 0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_sums_may_be_joined_in_any_parts(heights: list[int]) -> None:
    image = np.random.default_rng(0).normal(50, 3, (sum(heights), 7, 1)).astype(np.float32)
    parts = np.split(image, np.cumsum(heights)[:-1])
    joined = BandSums.over(parts[0])
    for part in parts[1:]:
        joined = joined.joined(BandSums.over(part))
    whole = BandSums.over(image)
    np.testing.assert_allclose([joined.mean[0], joined.squares[0]], [whole.mean[0], whole.squares[0]], rtol=1e-9)


def test_kinds_of_numbers_are_not_mixed() -> None:
    image = noise(0, 4, 0, 100)
    one, other = scan("a.tif", image.astype(np.int16)), scan("b.tif", image.astype(np.float32))
    (finding,) = one_format(ScannedChannel("train", LabelMap.identity(), [one, other]))
    assert (finding.rule, finding.severity, finding.files) == ("one_format", "error", ("a.tif", "b.tif"))
    assert "1 has 2 bands of 16 bits (signed) (a.tif); 1 has 2 bands of 32 bits (floating-point)" in finding.what
    alike = [scan(name, image.astype(name)) for name in ("float16", "float32", "float64")]
    assert {one.pixel_format for one in alike} == {PixelFormat(2, 32, numbers="float")}
