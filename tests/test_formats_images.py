from collections.abc import Callable

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError, TooLargeError
from segwright.formats.images import EncodedImage, encode_jpeg, encode_png
from segwright.formats.pixels import PixelFormat
from tests.helpers.images import Facts, decode, png, saved, size, soft_colours, verify


@pytest.mark.parametrize(
    ("container", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WebP", {"lossless": True}),
    ],
)
def test_lossless_formats_give_their_pixels_whatever_the_name_says(container: str, options: dict[str, object]) -> None:
    data = saved(Image.fromarray(soft_colours()), container, **options)
    decoded = EncodedImage(data, "misnamed.jpg").decode()
    assert decoded.dtype == np.uint8 and (decoded == soft_colours()).all()
    assert verify(data, "misnamed.jpg") == Facts(24, 40)
    assert EncodedImage(data, "misnamed.jpg").size() == (24, 40)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(progressive: bool) -> None:
    data = saved(Image.fromarray(soft_colours()), "JPEG", quality=95, subsampling=0, progressive=progressive)
    assert np.abs(EncodedImage(data, "a.jpg").decode().astype(int) - soft_colours()).max() <= 6
    assert verify(data, "a.jpg") == Facts(24, 40)
    assert EncodedImage(data, "a.jpg").size() == (24, 40)


def test_encoders_and_decoders_are_inverse() -> None:
    assert (EncodedImage(encode_png(soft_colours()), "a.png").decode() == soft_colours()).all()
    decoded = EncodedImage(encode_jpeg(soft_colours()), "a.jpg").decode().astype(int)
    assert np.abs(decoded - soft_colours()).max() <= 8
    mirrored = soft_colours()[:, ::-1]
    assert np.abs(EncodedImage(encode_jpeg(mirrored), "a.jpg").decode().astype(int) - mirrored).max() <= 8


@pytest.mark.parametrize(
    ("mode", "container", "expected"),
    [
        ("1", "PNG", (255, 255, 255)),
        ("L", "PNG", (201, 201, 201)),
        ("L", "JPEG", (201, 201, 201)),
        ("LA", "PNG", (201, 201, 201)),
        ("RGBA", "PNG", (200, 201, 202)),
        ("RGBA", "WebP", (200, 201, 202)),
        ("CMYK", "TIFF", (155, 54, 53)),
        ("CMYK", "JPEG", (155, 54, 53)),
    ],
)
def test_other_pixel_formats_become_rgb(mode: str, container: str, expected: tuple[int, int, int]) -> None:
    colours: dict[str, int | tuple[int, ...]] = {
        "1": 1, "L": 201, "LA": (201, 0), "RGBA": (200, 201, 202, 9), "CMYK": (100, 201, 202, 0),
    }  # fmt: skip
    options = {"lossless": True, "exact": True} if container == "WebP" else {}
    data = saved(Image.new(mode, (16, 8), colours[mode]), container, **options)
    decoded = EncodedImage(data, "x").decode()
    assert decoded.shape == (8, 16, 3)
    assert np.abs(decoded.astype(int) - expected).max() <= 2
    assert verify(data, "x") == Facts(8, 16)
    assert EncodedImage(data, "x").size() == (8, 16)


def test_palettes_become_colours_and_their_transparency_is_dropped() -> None:
    image = Image.new("P", (5, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    data = saved(image, "PNG", transparency=b"\x00\x80")
    assert (EncodedImage(data, "x").decode() == [10, 20, 30]).all()


@pytest.mark.parametrize(("depth", "value", "grey"), [(1, 1, 255), (2, 2, 170), (4, 3, 51), (8, 77, 77)])
def test_grey_of_few_bits_spans_the_whole_range(depth: int, value: int, grey: int) -> None:
    data = png(depth, 0, 1, [bytes([value << (8 - depth)])])
    assert EncodedImage(data, "x").decode().tolist() == [[[grey] * 3]]
    assert EncodedImage(data, "x").decode(PixelFormat(1, 8)).tolist() == [[[grey]]]
    assert verify(data, "x").pixel_format == PixelFormat(3, 8)


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "BMP", "WebP"])
def test_colours_become_grey_on_request(container: str) -> None:
    image = Image.fromarray(soft_colours())
    options = {"quality": 95, "subsampling": 0} if container == "JPEG" else {}
    data = saved(image, container, **({"lossless": True} if container == "WebP" else options))
    grey = EncodedImage(data, "x").decode(PixelFormat(1, 8))
    assert grey.shape == (24, 40, 1) and grey.dtype == np.uint8
    expected = np.asarray(image.convert("L"))[..., None].astype(int)
    assert np.abs(grey.astype(int) - expected).max() <= (3 if container == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_8_bit_mode_becomes_grey_and_colour(mode: str) -> None:
    data = saved(Image.fromarray(soft_colours()).convert("RGB" if mode == "LAB" else mode), "TIFF")
    if mode == "LAB":
        data = saved(Image.new("LAB", (40, 24), (128, 0, 0)), "TIFF")
    colours = EncodedImage(data, "x").decode()
    grey = EncodedImage(data, "x").decode(PixelFormat(1, 8))
    assert colours.shape == (24, 40, 3) and grey.shape == (24, 40, 1)
    assert np.abs(colours.mean(axis=-1, keepdims=True) - grey).max() < 80


def test_opacity_is_the_fourth_band_on_request() -> None:
    image = Image.fromarray(np.dstack([soft_colours(), np.arange(24 * 40, dtype=np.uint8).reshape(24, 40)]))
    for container, options in (("PNG", {}), ("TIFF", {}), ("WebP", {"lossless": True, "exact": True})):
        data = saved(image, container, **options)
        assert (EncodedImage(data, "x").decode(PixelFormat(4, 8)) == np.asarray(image)).all()
        assert (EncodedImage(data, "x").decode() == soft_colours()).all()
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    data = saved(palette, "PNG", transparency=b"\x00\x80")
    assert EncodedImage(data, "x").decode(PixelFormat(4, 8)).tolist() == [[[10, 20, 30, 128]] * 2]


@pytest.mark.parametrize(
    "pixel_format", [PixelFormat(*pixel_format) for pixel_format in ((2, 8), (4, 8), (5, 8), (3, 16), (1, 16))]
)
@pytest.mark.parametrize("data", [encode_png(soft_colours()), encode_jpeg(soft_colours())], ids=["PNG", "JPEG"])
def test_another_form_is_refused(data: bytes, pixel_format: PixelFormat) -> None:
    sentence = rf"a\.png has 3 bands of 8 bits instead of {pixel_format}\..*convert"
    with pytest.raises(DataError, match=sentence):
        EncodedImage(data, "a.png").decode(pixel_format)
    with pytest.raises(DataError, match=sentence):
        EncodedImage(data, "a.png").decode_reduced(pixel_format, largest=2)


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "BMP", "WebP"])
@pytest.mark.parametrize("function", [decode, verify])
def test_truncation_is_found(function: Callable[[bytes, str], object], container: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), container)
    function(data, "whole")
    with pytest.raises(DataError, match=r"half\.jpg"):
        function(data[: len(data) // 2], "half.jpg")


def test_a_jpeg_that_only_pillow_accepts_is_read() -> None:
    data = encode_jpeg(soft_colours())
    assert data[2:4] == b"\xff\xe0"
    after_first_segment = 4 + int.from_bytes(data[4:6], "big")
    odd = data[:after_first_segment] + b"\0\0" + data[after_first_segment:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(odd)
    assert (EncodedImage(odd, "x").decode() == EncodedImage(data, "x").decode()).all()
    assert verify(odd, "x") == verify(data, "x")
    assert EncodedImage(odd, "x").size() == (24, 40)
    reduced, factor = EncodedImage(odd, "x").decode_reduced(PixelFormat(), 4)
    assert factor == 1 and (reduced == EncodedImage(data, "x").decode()).all()


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"GIF89a"])
def test_what_is_no_image_is_refused_by_name(data: bytes) -> None:
    for function in (decode, verify, size):
        with pytest.raises(DataError, match=r"strange\.png"):
            function(data, "strange.png")


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    for data in (encode_png(soft_colours()), encode_jpeg(soft_colours())):
        EncodedImage(data, "big", 24 * 40)
        with pytest.raises(TooLargeError, match=r"big .*40 x 24"):
            EncodedImage(data, "big", 24 * 40 - 1)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000))
def test_png_returns_every_pixel(height: int, width: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert (EncodedImage(encode_png(noise), "x").decode() == noise).all()
    for function in (verify, size):
        assert function(encode_jpeg(noise), "x") in (Facts(height, width), (height, width))


def area_average(image: NDArray[np.uint8], factor: int) -> NDArray[np.float64]:
    """Means of blocks of `factor` pixels a side; blocks over the edge see the last pixel repeated."""
    height, width = image.shape[:2]
    image = np.pad(image, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    return np.asarray(image.reshape(rows, factor, columns, factor, -1).mean(axis=(1, 3)), np.float64)


@pytest.mark.parametrize("size", [(64, 48), (33, 51), (17, 130), (8, 3), (1, 100), (100, 1), (9, 9), (203, 97)])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize(("largest", "factor"), [(1, 1), (2, 2), (3, 2), (4, 4), (7, 4), (8, 8), (100, 8), (0, 1)])
def test_a_jpeg_at_a_fraction_of_its_size(size: tuple[int, int], bands: int, largest: int, factor: int) -> None:
    image = (
        soft_colours(*size) if size[0] < 40 else np.asarray(Image.fromarray(soft_colours(40, 60)).resize(size[::-1]))
    )
    for subsampling in (0, 2):
        data = saved(Image.fromarray(image), "JPEG", quality=95, subsampling=subsampling)
        reduced, found = EncodedImage(data, "x").decode_reduced(PixelFormat(bands, 8), largest)
        assert found == factor
        assert reduced.shape == (-(-size[0] // factor), -(-size[1] // factor), bands)
        expected = area_average(np.asarray(EncodedImage(data, "x").decode(PixelFormat(bands, 8)), np.uint8), factor)
        assert np.abs(reduced - expected).mean() < 3, subsampling


@pytest.mark.parametrize("size", [(height, width) for height in range(1, 8) for width in (1, 3, 7)])
def test_a_jpeg_smaller_than_a_block_is_not_reduced(size: tuple[int, int]) -> None:
    reduced, factor = EncodedImage(encode_jpeg(soft_colours(*size)), "x").decode_reduced(PixelFormat(), 8)
    assert factor == 1 and reduced.shape == (*size, 3)


def test_scales_of_jpegs_are_told_apart() -> None:
    """libjpeg-turbo knows eighths as scales and goes by the size that is asked for: these must be ours."""
    for split in range(8, 40):
        gradient = np.repeat(np.linspace(0, 255, split).astype(np.uint8)[None, :, None], 3, axis=0)
        data = encode_jpeg(np.repeat(gradient, 3, axis=2), quality=100)
        for factor in (2, 4, 8):
            reduced, _ = EncodedImage(data, "x").decode_reduced(PixelFormat(1, 8), factor)
            inside = split // factor
            expected = gradient[0, : inside * factor, 0].reshape(-1, factor).mean(axis=1)
            assert np.abs(reduced[0, :inside, 0] - expected).max() < 8, (split, factor)


def test_what_libjpeg_does_not_turn_into_rgb_is_not_reduced() -> None:
    cmyk = saved(Image.new("CMYK", (40, 24), (100, 201, 202, 0)), "JPEG")
    for data in (cmyk, encode_png(soft_colours()), saved(Image.fromarray(soft_colours()), "WebP")):
        reduced, factor = EncodedImage(data, "x").decode_reduced(PixelFormat(), 8)
        assert factor == 1 and (reduced == EncodedImage(data, "x").decode()).all()


def test_verifying_a_jpeg_decodes_less_than_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    decode = simplejpeg.decode_jpeg

    def watched(*arguments: object, **options: object) -> object:
        pixels = decode(*arguments, **options)
        shapes.append(pixels.shape)
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", watched)
    verify(encode_jpeg(soft_colours(80, 40)), "x")
    assert shapes == [(10, 5, 1)]


def test_forms_name_their_type() -> None:
    assert PixelFormat().dtype == np.uint8 and PixelFormat(1, 16).dtype == np.uint16
    assert str(PixelFormat(1, 16)) == "1 band of 16 bits" and str(PixelFormat()) == "3 bands of 8 bits"
