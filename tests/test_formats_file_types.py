import io
import subprocess
import sys

import pytest
from PIL import Image

from segwright.errors import DataError, TooLargeError
from segwright.formats.file_types import MAX_PIXELS, check_size, sniff


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "BMP", "WebP"])
def test_the_first_bytes_tell_the_format(container: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2)).save(stream, container)
    data = stream.getvalue()
    assert sniff(data) == sniff(data[:12]) == container


@pytest.mark.parametrize("data", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_both_byte_orders_and_large_tiffs_are_known(data: bytes) -> None:
    assert sniff(data) == "TIFF"


@pytest.mark.parametrize(
    "data", [b"", b"B", b"\xff\xd8", b"\x89PNG", b"RIFF\0\0\0\0WAVE", b"II", b"GIF89a", b"%PDF", b"{}", b" BM"]
)
def test_anything_else_is_none_of_the_five(data: bytes) -> None:
    assert sniff(data) is None


@pytest.mark.parametrize(
    ("height", "width", "bands"), [(1, 1, 1), (1, MAX_PIXELS, 3), (MAX_PIXELS, 1, 1), (1, MAX_PIXELS // 4, 12)]
)
def test_the_largest_image_is_taken(height: int, width: int, bands: int) -> None:
    check_size(height, width, "x", bands, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize(
    ("height", "width", "bands", "sentence"),
    [
        (1, MAX_PIXELS + 1, 1, "x has 178956971 x 1 pixels, more than the 178,956,970 that are read at most: cut it"),
        (60_000, 60_000, 3, "x has 60000 x 60000 pixels, more than"),
        (1, MAX_PIXELS, 4, "pixels of 4 bands, more than the 536,870,910 numbers that are read at most: cut it"),
    ],
)
def test_a_larger_one_is_too_large(height: int, width: int, bands: int, sentence: str) -> None:
    with pytest.raises(TooLargeError, match=sentence):
        check_size(height, width, "x", bands, max_pixels=MAX_PIXELS)


def test_without_a_limit_an_image_is_read_where_memory_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.formats.file_types.available_memory", lambda: 3_000_000_000)
    check_size(10_000, 100_000, "x")
    with pytest.raises(
        TooLargeError, match=r"x has 100001 x 10000 pixels, 3\.0 GB, but only 3\.0 GB of memory are free"
    ):
        check_size(10_000, 100_001, "x")
    check_size(10_000, 100_000, "x", 1, 16)
    with pytest.raises(TooLargeError, match=r"32\.0 GB"):
        check_size(10_000, 100_000, "x", 4, 64)
    monkeypatch.setattr("segwright.formats.file_types.available_memory", lambda: None)
    check_size(10_000, 100_001, "x")


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, -1), (-MAX_PIXELS, -2)])
def test_a_image_without_pixels_is_not_too_large(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="x has no pixels") as caught:
        check_size(*size, "x")
    assert not isinstance(caught.value, TooLargeError)


def test_no_decoder_is_needed() -> None:
    code = "import sys, segwright.formats.file_types; sys.exit(bool({'PIL', 'numpy', 'cv2'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
