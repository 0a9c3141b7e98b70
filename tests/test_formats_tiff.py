import io
import itertools
import logging
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffWriter, imwrite

from segwright.errors import DataError, TooLargeError
from segwright.formats import file_types as signatures
from segwright.formats import tiff as tiff_module
from segwright.formats.images import EncodedImage, encode_jpeg, encode_png
from segwright.formats.masks import decode_mask
from segwright.formats.pixels import Note, PixelFormat
from tests.helpers.deep_images import HEIGHT, WIDTH, natural, numbers, png16, tiff
from tests.helpers.images import verify

pytestmark = pytest.mark.usefixtures("quiet_decoders")


def pages(*written: tuple[NDArray[Any], dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    with TiffWriter(stream) as writer:
        for pixels, options in written:
            writer.write(pixels, photometric="minisblack", metadata=None, **options)
    return stream.getvalue()


def test_of_pages_only_the_first_counts_and_the_number_is_noted() -> None:
    first = numbers(1, 16)
    data = pages((first[..., 0], {}), (numbers(5, 8, 9, 50), {"planarconfig": "contig"}), (first[..., 0] // 2, {}))
    assert natural(data) == PixelFormat(1, 16)
    assert (EncodedImage(data, "x").decode(PixelFormat(1, 16)) == first).all()
    assert verify(data, "x").notes == (Note("pages", 3),)
    grey = numbers(1, 8)[..., 0]
    assert verify(pages((grey, {}), (grey, {})), "x").notes == (Note("pages", 2),)


def test_pyramids_and_masks_are_no_pages() -> None:
    for bits in (8, 16):
        pixels = numbers(1, bits, 64, 96)[..., 0]
        data = pages(
            (pixels, {}),
            (pixels[::2, ::2], {"subfiletype": 1}),
            (pixels[::4, ::4], {}),
            (np.ones((64, 96), np.bool_), {"subfiletype": 4}),
        )
        assert verify(data, "x").notes == ()


CHANNELS = numbers(4, 16).transpose(2, 0, 1)


def stacked(stack: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    imwrite(stream, stack, photometric="minisblack", **options)
    return stream.getvalue()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("writer", [{"imagej": True}, {"ome": True}, {}], ids=["ImageJ", "OME", "tifffile"])
def test_channels_of_microscopy_programs_are_bands(writer: dict[str, bool], compression: str | None) -> None:
    data = stacked(CHANNELS, metadata={"axes": "CYX"}, compression=compression, **writer)
    assert natural(data) == PixelFormat(4, 16) and verify(data, "x").notes == ()
    assert (EncodedImage(data, "x").decode(PixelFormat(4, 16)) == numbers(4, 16)).all()
    eight = stacked((CHANNELS[:3] >> 8).astype(np.uint8), metadata={"axes": "CYX"}, compression=compression, **writer)
    assert natural(eight) == PixelFormat(3, 8)
    assert (EncodedImage(eight, "x").decode() == numbers(4, 16)[..., :3] >> 8).all()
    floats = stacked(CHANNELS.astype(np.float32), metadata={"axes": "CYX"}, compression=compression, **writer)
    assert natural(floats) == PixelFormat(4, 32, numbers="float")


@pytest.mark.parametrize(
    ("axes", "writer"),
    [
        ("ZCYX", {"imagej": True}), ("ZCYX", {"ome": True}), ("TCYX", {"ome": True}), ("CZYX", {"ome": True}),
        ("TZCYX", {}), ("CZYX", {}),
    ],
)  # fmt: skip
def test_of_slices_the_first_counts_with_all_its_channels(axes: str, writer: dict[str, bool]) -> None:
    shape = tuple({"C": 4, "Z": 3, "T": 2, "Y": HEIGHT, "X": WIDTH}[axis] for axis in axes)
    stack = np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)
    data = stacked(stack, metadata={"axes": axes}, **writer)
    first = stack[tuple(slice(None) if axis in "CYX" else 0 for axis in axes)]
    assert natural(data) == PixelFormat(4, 16)
    assert (EncodedImage(data, "x").decode(PixelFormat(4, 16)) == first.transpose(1, 2, 0)).all()
    assert verify(data, "x").notes == (Note("pages", int(np.prod(shape[:-2])) // 4),)


def test_imagej_stacks_of_one_page_only() -> None:
    """As ImageJ writes them beyond 4 GB: the planes follow one another, big ones first."""
    whole = stacked(CHANNELS, imagej=True, metadata={"axes": "CYX"}, byteorder=">")
    with TiffFile(io.BytesIO(whole)) as file:
        page = file.pages.first
        entries = struct.unpack_from(">H", whole, page.offset)[0]
    data = bytearray(whole)
    struct.pack_into(">I", data, page.offset + 2 + 12 * entries, 0)
    with TiffFile(io.BytesIO(data)) as file:
        assert len(file.pages) == 1
    assert (EncodedImage(bytes(data), "x").decode(PixelFormat(4, 16)) == numbers(4, 16)).all()
    cut = bytes(data[: page.dataoffsets[0] + 3 * HEIGHT * WIDTH * 2])
    if page.offset < page.dataoffsets[0]:
        assert verify(cut, "x").pixel_format == PixelFormat(1, 16), "what is not there is no band"


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "i8"])
@pytest.mark.parametrize("bands", [2, 5, 13])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"metadata": {"axes": "YXC"}}])
def test_rows_of_which_tifffile_made_pages_are_one_image(dtype: str, bands: int, options: dict[str, Any]) -> None:
    pixels = numbers(bands, 8, 40, 50).astype(dtype)
    stream = io.BytesIO()
    imwrite(stream, pixels, **options)  # nobody says that the last axis holds bands
    with TiffFile(io.BytesIO(stream.getvalue())) as file:
        assert len(file.pages) == 40
    facts = verify(stream.getvalue(), "a.tif")
    assert (facts.height, facts.width, facts.pixel_format.bands, facts.notes) == (40, 50, bands, ())
    assert (EncodedImage(stream.getvalue(), "a.tif").decode(facts.pixel_format) == pixels).all()
    with pytest.raises(DataError):
        EncodedImage(stream.getvalue()[:1000], "a.tif").decode(facts.pixel_format)


@pytest.mark.parametrize("shape", [(6, 40, 50), (40, 50, 25), (40, 50, 40)])
def test_pages_that_may_be_slices_are_no_rows(shape: tuple[int, int, int]) -> None:
    stream = io.BytesIO()
    imwrite(stream, np.zeros(shape, np.uint8))
    facts = verify(stream.getvalue(), "a.tif")
    assert (facts.height, facts.width, facts.notes) == (*shape[1:], (Note("pages", shape[0]),))


def test_slices_without_channels_are_counted() -> None:
    for writer in ({"imagej": True}, {"ome": True}):
        data = stacked(CHANNELS, metadata={"axes": "ZYX"}, **writer)
        assert natural(data) == PixelFormat(1, 16)
        assert verify(data, "x").notes == (Note("pages", 4),)


def test_a_volume_is_refused() -> None:
    stream = io.BytesIO()
    imwrite(stream, np.zeros((16, 16, 16), np.uint16), photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    with pytest.raises(DataError, match=r"x holds a volume"):
        verify(stream.getvalue(), "x")


def test_a_compression_that_is_not_read_is_named() -> None:
    data = tiff(numbers(4, 8), compression="lzma")
    with pytest.raises(DataError, match=r"x is compressed \(TIFF's number 34925\).*not read.*save it with LZW"):
        verify(data, "x")


@pytest.mark.parametrize(("number", "kind"), [(50001, "WebP"), (34887, "LERC"), (34712, "JPEG 2000")])
def test_lossy_compressions_of_colours_are_named_and_not_called_damage(number: int, kind: str) -> None:
    data = tiff(numbers(3, 8), "rgb").replace(
        struct.pack("<HHII", 259, 3, 1, 1), struct.pack("<HHII", 259, 3, 1, number)
    )
    with pytest.raises(DataError, match=f"a.tif is compressed .{kind}, .* gdal_translate -co COMPRESS=DEFLATE"):
        verify(data, "a.tif")


def test_without_imagecodecs_deflate_is_read_and_the_cure_for_others_is_named(tmp_path: Any) -> None:
    pixels = numbers(4, 16)
    for compression in (None, "deflate", "lzw"):
        (tmp_path / f"{compression}.tif").write_bytes(tiff(pixels, compression=compression, predictor=False))
    code = """
import sys
sys.modules["imagecodecs"] = None
from pathlib import Path
from segwright.errors import DataError
from segwright.formats.images import EncodedImage
from segwright.formats.pixels import PixelFormat
def decode(name): return EncodedImage(Path(name).read_bytes(), name).decode(PixelFormat(4, 16))
print(*(decode(name).sum() for name in ("None.tif", "deflate.tif")))
try:
    decode("lzw.tif")
except DataError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    sums, sentence = result.stdout.splitlines()
    assert sums == f"{pixels.sum()} {pixels.sum()}"
    assert sentence.startswith("lzw.tif is compressed") and "pip install 'segwright[decoders]'" in sentence
    assert result.stderr == ""


@pytest.mark.parametrize("has_imagecodecs", [False, True])
def test_a_bomb_is_not_inflated(has_imagecodecs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "_HAS_IMAGECODECS", has_imagecodecs)
    data = tiff(np.zeros((8, 8, 4), np.uint16), compression="deflate")
    bomb = zlib.compress(bytes(1 << 27), 9)
    page = TiffFile(io.BytesIO(data)).pages.first
    mutated = bytearray(data[: page.dataoffsets[0]] + bomb)
    struct.pack_into("<HHII", mutated, page.tags["StripByteCounts"].offset, 279, 4, 1, len(bomb))
    sentence = "" if has_imagecodecs else "a strip or tile is larger than the 512 bytes"
    with pytest.raises(DataError, match=rf"bomb\.tif is truncated or damaged: .*{sentence}"):
        EncodedImage(bytes(mutated), "bomb.tif").decode(PixelFormat(4, 16))


def test_numbers_in_all_bands_are_bounded() -> None:
    EncodedImage(tiff(numbers(3, 16)), "x", HEIGHT * WIDTH)
    with pytest.raises(TooLargeError, match=r"x has 34 x 21 pixels of 4 bands, more than the 2,142 numbers"):
        EncodedImage(tiff(numbers(4, 16)), "x", HEIGHT * WIDTH)
    for data in (tiff(numbers(1, 16)), png16(0, numbers(1, 16))):
        with pytest.raises(TooLargeError, match=r"x has 34 x 21 pixels, more than"):
            EncodedImage(data, "x", HEIGHT * WIDTH - 1)


@pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts"])
def test_a_missing_strip_is_not_filled_with_zeros(tag: str) -> None:
    data = bytearray(tiff(numbers(4, 16), compression="lzw", rowsperstrip=5))
    place = TiffFile(io.BytesIO(data)).pages.first.tags[tag]
    data[place.valueoffset : place.valueoffset + 2] = bytes(2)
    with pytest.raises(DataError, match=r"x is truncated or damaged: a strip or tile of \d+ bytes at \d+ is not"):
        verify(bytes(data), "x")


@pytest.mark.parametrize("tag", [322, 323])
def test_a_huge_tile_is_refused(tag: int) -> None:
    data = bytearray(tiff(numbers(4, 16), tile=(16, 16), compression="lzw"))
    places = [at for at in range(len(data) - 12) if struct.unpack_from("<H", data, at)[0] == tag]
    struct.pack_into("<HHII", data, places[0], tag, 4, 1, 0x7FFFFFF0)
    with pytest.raises(
        DataError, match=r"x is truncated or damaged: .* strips or tiles of .* are far more than the image"
    ):
        verify(bytes(data), "x")


SAMPLES: dict[str, bytes] = {
    **{f"PNG {kind}": png16(kind, numbers(samples, 16)) for kind, samples in ((0, 1), (2, 3), (4, 2), (6, 4))},
    **{
        f"TIFF {bands} {bits} {planar} {compression}": tiff(
            numbers(bands, bits), planar=planar, compression=compression, rowsperstrip=5
        )
        for bands, bits, planar, compression in itertools.product(
            (2, 4), (8, 16), ("contig", "separate"), (None, "lzw", "deflate")
        )
    },
    "TIFF tiles": tiff(numbers(5, 16), tile=(16, 16), compression="zstd"),
    "TIFF colour": tiff(numbers(3, 8), "rgb"),
    "TIFF opacity": tiff(numbers(4, 16), "rgb", extrasamples=["unassalpha"]),
}


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES.keys())
def test_truncation_is_found(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    pixel_format = natural(data)
    ends = [1, 30, len(data) // 4, len(data) // 2, len(data) * 3 // 4, len(data) - 60]
    for end in ends if data.startswith(b"\x89PNG") else [*ends, len(data) - 1]:
        for function in (lambda data, name: EncodedImage(data, name).decode(pixel_format), verify):
            with pytest.raises(DataError, match=r"cut\.tif"):
                function(data[:end], "cut.tif")
    assert capfd.readouterr() == ("", "")


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The same bytes with up to six others, half of the time in the header, or with a piece cut out."""
    result = np.frombuffer(data, np.uint8).copy()
    limit = len(result) if random.random() < 0.5 else min(len(result), 300)
    places = random.integers(0, limit, random.integers(1, 7))
    result[places] = random.choice([0, 1, 2, 3, 8, 16, 127, 255, int(random.integers(256))], len(places))
    if random.random() < 0.15:
        start, stop = sorted(random.integers(0, len(result), 2))
        result = np.delete(result, slice(start, stop))
    return result.tobytes()


def test_masks_of_many_bands_are_refused_in_silence(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=r"x is a colour image or one of several bands \(its 8 bands = "):
        decode_mask(tiff(numbers(8, 8)), "x")
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_a_process_of_segwright_does_not_warn_of_odd_tags(tmp_path: Any) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(stream, "TIFF", dpi=(72, 72))
    data = bytearray(stream.getvalue())
    struct.pack_into("<I", data, TiffFile(io.BytesIO(data)).pages.first.tags["XResolution"].offset + 4, 2)
    (tmp_path / "odd.tif").write_bytes(data)
    code = """
from pathlib import Path
from segwright.formats.images import EncodedImage
from segwright.formats.quiet import silence_decoders
silence_decoders()
print(EncodedImage(Path("odd.tif").read_bytes(), "odd.tif").decode().sum())
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("126\n", "")


def test_damaged_bytes_give_a_image_or_a_data_error_in_silence(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    soft = np.stack([np.indices((24, 40)).sum(axis=0)] * 3, axis=-1).astype(np.uint8)
    others = {"JPEG": encode_jpeg(soft), "PNG": encode_png(soft)}
    for container, mode, options in (
        ("BMP", "RGB", {}), ("WebP", "RGB", {}), ("TIFF", "RGB", {}), ("TIFF", "L", {"compression": "tiff_lzw"}),
        ("TIFF", "1", {"compression": "group4"}), ("TIFF", "YCbCr", {"compression": "jpeg"}),
    ):  # fmt: skip
        stream = io.BytesIO()
        Image.fromarray(soft).convert(mode).save(stream, container, **options)
        others[f"{container} {mode}"] = stream.getvalue()
    random = np.random.default_rng(0)
    outcomes = {True: 0, False: 0}
    for whole in (SAMPLES | others).values():
        for _ in range(25):
            data = damaged(whole, random)
            try:
                facts = verify(data, "damaged", exif_transposed=True)
                assert EncodedImage(data, "damaged").size(exif_transposed=True) == (facts.height, facts.width)
                pixels, _ = EncodedImage(data, "damaged").decode_reduced(facts.pixel_format, 2)
                assert pixels.dtype == facts.pixel_format.dtype and pixels.shape[2] == facts.pixel_format.bands
                if signatures.sniff(data) != "JPEG":
                    assert pixels.shape[:2] == (facts.height, facts.width)
                outcomes[True] += 1
            except DataError as error:
                assert "damaged" in str(error)
                outcomes[False] += 1
    assert min(outcomes.values()) > 50
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage() for record in caplog.records] == []
