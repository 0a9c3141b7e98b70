import base64
import io
import json
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segwright.errors import DataError
from segwright.formats.disguises import has_changed_line_ends, recognise
from segwright.formats.images import EncodedImage
from segwright.formats.masks import decode_mask
from tests.helpers.images import decode, size, verify
from tests.helpers.served import picture

KINDS = ("JPEG", "PNG", "TIFF", "BMP", "WebP")
JPEG, PNG = picture("JPEG"), picture("PNG")
BASE64 = base64.b64encode(JPEG)
LINE_ENDS = "but its line ends are"
AS_TEXT = "binary data that a program took for text"


def what(data: bytes) -> str:
    found = recognise(data)
    assert found and found.cure and found.cure_of_body
    return found.what


def pixel_format(data: bytes) -> bytes:
    head = b'--b0\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head + data + b"\r\n--b0--\r\n"


@pytest.mark.parametrize(
    "data",
    [
        BASE64,
        base64.b64encode(PNG) + b"\n",
        base64.encodebytes(JPEG),
        BASE64[:76] + b"\r\n" + BASE64[76:],
        base64.urlsafe_b64encode(PNG).rstrip(b"="),
        urllib.parse.quote_plus(BASE64).encode(),
        b'"' + BASE64 + b'"',
        json.dumps(base64.encodebytes(JPEG).decode()).replace("/", "\\/").encode(),
        str(BASE64).encode(),
        json.dumps(str(BASE64)).encode(),
        b"\xef\xbb\xbf" + BASE64,
        BASE64[:24],
        *(base64.b64encode(picture(kind)) for kind in KINDS),
        base64.b64encode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        base64.b64encode(np.random.default_rng(0).bytes(300)),
    ],
)
def test_base64_is_known_in_every_dress(data: bytes) -> None:
    assert what(data) == "base64 text"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data:image/jpeg;base64," + BASE64, "a data URL, which is base64 text"),
        (b'"data:image/png;base64,' + BASE64 + b'"', "a data URL, which is base64 text"),
        (pixel_format(JPEG), "a form"),
        (b"image=" + urllib.parse.quote_plus(JPEG).encode(), "a form"),
        (b"image=" + BASE64, "a form"),
        (b"image=@photo.jpg", "a form"),
        (urllib.parse.quote(JPEG).encode(), "a form"),
        (json.dumps({"body": BASE64.decode(), "isBase64Encoded": True}).encode(), "JSON text with base64 in it"),
        (json.dumps({"instances": [{"b64": BASE64.decode()}]}).encode(), "JSON text with base64 in it"),
        (json.dumps({"image": "data:image/jpeg;base64," + BASE64.decode()}).encode(), "JSON text with base64 in it"),
        (json.dumps([BASE64.decode()]).encode(), "JSON text with base64 in it"),
        (b'{"instances": [[[0.1, 0.2]]]}', "JSON text"),
        (b"[[1, 2], [3, 4]]", "JSON text"),
        (json.dumps({str(place): value for place, value in enumerate(JPEG)}).encode(), "JSON text"),
        (json.dumps({"type": "Buffer", "data": list(JPEG)}).encode(), "JSON text"),
        (json.dumps(list(JPEG)).encode(), "JSON text"),
        (f"image={JPEG!r}".encode(), "a form"),
        (b"\r\n--b0\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG, "a form"),
        (urllib.parse.quote("data:image/png;base64," + BASE64.decode()).encode(), "a data URL, which is base64 text"),
        (b"image/jpeg;base64," + BASE64, "a data URL, which is base64 text"),
        (json.dumps(JPEG.decode("latin-1")).encode(), AS_TEXT),
        (json.dumps(PNG.decode("latin-1"), ensure_ascii=False).encode(), AS_TEXT),
        (json.dumps(JPEG.decode("utf-8", "replace")).encode(), AS_TEXT),
        (b"\n<!DOCTYPE html>\n<html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a pointer of Git LFS"),
        (bytes(1000), "nothing but zero bytes"),
        (b"GIF89a", "a GIF image, which is not read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, which is not read"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC image, which is not read"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf", "an AVIF image, which is not read"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF image, which is not read"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "a video (MP4 or MOV), which is not read"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image, which is not read"),
        (b"%PDF-1.7\n", "a PDF document, which is not read"),
        (b"PK\x03\x04", "a ZIP archive, which is not read"),
        (b"\x93NUMPY\x01\0", "a NumPy array (.npy), which is not read"),
        (bytes(128) + b"DICM", "a DICOM image, which is not read"),
        (b"\x1f\x8b\x08\0\0", "gzip data"),
        (b"\x0a\x23\xd7\xce\x08\0\0\0", "a RecordIO stream, which is not read"),
    ],
)
def test_what_people_send_is_called_by_name(data: bytes, expected: str) -> None:
    assert what(data) == expected


def as_curl_sends(data: bytes) -> bytes:
    """What `curl -d @file` makes of a file: older ones cut each line at its first zero byte, newer ones drop those."""
    return b"".join(line.partition(b"\0")[0] for line in data.replace(b"\r", b"\n").split(b"\n"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_image_whose_line_ends_are_gone_is_known(kind: str) -> None:
    sent = picture(kind, 200, 200)
    for body in (as_curl_sends(sent), sent.translate(None, b"\r\n\0")):
        with pytest.raises(DataError):
            EncodedImage(body, "body").decode()
        assert LINE_ENDS in what(body)


def test_a_png_tells_what_has_happened_to_its_line_ends() -> None:
    assert what(PNG.translate(None, b"\r\n")) == f"a PNG image, {LINE_ENDS} gone"
    assert what(PNG.replace(b"\r\n", b"\n")) == f"a PNG image, {LINE_ENDS} changed"
    assert what(PNG.replace(b"\n", b"\r\n")) == f"a PNG image, {LINE_ENDS} changed"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read_as", ["utf-8", "latin-1", "cp1252", "ascii"])
def test_a_image_that_was_taken_for_text_is_known(kind: str, read_as: str) -> None:
    damaged = picture(kind, 64, 96).decode(read_as, "replace").encode()
    assert what(damaged) == AS_TEXT
    with pytest.raises(DataError, match="damaged" if kind == "TIFF" else "took for text"):
        EncodedImage(damaged, "body").decode()


def test_question_marks_in_place_of_bytes_are_known() -> None:
    for data in (JPEG, PNG):
        assert what(data.decode("ascii", "replace").encode("ascii", "replace")) == AS_TEXT


def test_a_bmp_that_is_text_by_chance_is_read(tmp_path: Path) -> None:
    flat = np.full((12, 20, 3), (0xBD, 0xBF, 0xEF), np.uint8)  # stored as EF BF BD, which is U+FFFD
    Image.fromarray(flat).save(tmp_path / "flat.bmp")
    assert (EncodedImage((tmp_path / "flat.bmp").read_bytes(), "flat.bmp").decode() == flat).all()


def test_carriage_returns_that_a_transfer_has_added_to_a_jpeg_are_an_error() -> None:
    whole = picture("JPEG", 300, 300)
    damaged = whole.replace(b"\n", b"\r\n")
    assert damaged.count(b"\n") > 20 and not has_changed_line_ends(whole)
    for read in (decode, verify, size):
        with pytest.raises(DataError, match="each line feed has got a carriage return"):
            read(damaged, "a.jpg")
    lines = b"x\r\n" * 20
    noted = whole[:2] + b"\xff\xfe" + (len(lines) + 2).to_bytes(2) + lines + whole[2:]  # a comment may have them
    assert (EncodedImage(noted, "a.jpg").decode() == EncodedImage(whole, "a.jpg").decode()).all()
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "JPEG")  # its scan has no line feed
    assert (EncodedImage(stream.getvalue() + lines, "a.jpg").decode() == 0).all()


@pytest.mark.parametrize(
    "data", [b"", b"poison", b"hello world, this is text", b"a,b\n1,2\n", b"\x01\x02\x03" * 999, JPEG[:4]]
)
def test_what_nobody_knows_is_not_guessed(data: bytes) -> None:
    assert recognise(data) is None


def test_whole_images_are_no_disguise() -> None:
    assert [recognise(picture(kind, 64, 96)) for kind in KINDS] == [None] * len(KINDS)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_nothing_makes_it_fail(data: bytes) -> None:
    for start in (b"", b"data:", b'{"a": "', b"/9j/", b"\xff\xd8\xff", b"BM", b"<", b"b'"):
        recognise(start + data)


def test_files_are_called_by_name_as_well() -> None:
    with pytest.raises(DataError) as caught:
        EncodedImage(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "IMG_1.HEIC").decode()
    assert str(caught.value) == "IMG_1.HEIC is a HEIC image, which is not read: convert it to JPEG."
    with pytest.raises(DataError) as caught:
        decode_mask(BASE64, "m.png")
    assert str(caught.value) == "m.png is base64 text: decode it and save the bytes."
    with pytest.raises(DataError) as caught:
        verify(b"version https://git-lfs.github.com/spec/v1\n", "a.jpg")
    assert str(caught.value) == "a.jpg is a pointer of Git LFS: fetch the file itself with git lfs pull."
