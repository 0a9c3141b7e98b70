import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.errors import DataError
from segwright.formats.images import EncodedImage
from segwright.formats.masks import decode_mask
from segwright.formats.pixels import PixelFormat
from segwright.formats.png import without_texts
from tests.helpers.images import chunk, verify

PIXELS = np.random.default_rng(0).integers(0, 200, (20, 30, 3)).astype(np.uint8)
LARGE = bytes(3 << 20)  # Pillow refuses texts and profiles of more than one megabyte
VERY_LARGE = bytes(65 << 20)  # and texts of more than 64 in all


CHUNKS = {
    "zTXt": chunk(b"zTXt", b"key\0\0" + zlib.compress(LARGE)),
    "iTXt": chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(LARGE)),
    "tEXt": chunk(b"tEXt", b"key\0" + VERY_LARGE),
    "iCCP": chunk(b"iCCP", b"name\0\0" + zlib.compress(LARGE)),
    "eXIf": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0" + LARGE),
}


def png(pixels: NDArray[np.uint8], before: bytes = b"", after: bytes = b"") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    data = stream.getvalue()
    first, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:first] + before + data[first:end] + after + data[end:]


@pytest.mark.parametrize("kind", CHUNKS)
@pytest.mark.parametrize("after", [False, True])
def test_pixels_do_not_depend_on_texts_and_profiles(kind: str, after: bool) -> None:
    place = {"after" if after else "before": CHUNKS[kind]}
    data = png(PIXELS, **place)
    assert without_texts(data) == png(PIXELS)
    assert verify(data, "x").form == PixelFormat()
    assert (EncodedImage(data, "x").decode() == PIXELS).all()
    assert (decode_mask(png(PIXELS[..., 0], **place), "x").numbers == PIXELS[..., 0]).all()


def test_other_files_stay_the_same_objects() -> None:
    data = png(PIXELS, chunk(b"gAMA", struct.pack(">I", 45455)))
    assert without_texts(data) is data


def test_a_text_that_is_cut_off_is_damage() -> None:
    data = png(PIXELS, CHUNKS["zTXt"])
    with pytest.raises(DataError, match=r"x is (a PNG file that is damaged|truncated or damaged)"):
        EncodedImage(data[:80], "x").decode()
