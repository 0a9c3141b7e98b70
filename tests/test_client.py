import base64
import contextlib
import io
import json
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from segwright import client
from segwright.client import read_class_names, read_confidence, read_mask, read_probabilities
from segwright.serving.accept import ResponseFormat, negotiate
from segwright.serving.encoding import encode
from tests.helpers.served import CLASSES

GENERATOR = np.random.default_rng(0)
PROBABILITIES = GENERATOR.dirichlet(np.ones(3), (19, 31)).transpose(2, 0, 1).astype(np.float32)
MASK = PROBABILITIES.argmax(0).astype(np.uint8)
MASKS = ["image/png", "image/png;palette=1", "application/x-npy", "application/x-npy;gzip=1", "application/json"]
CONFIDENT = ["application/x-npy;output=confidence", "application/x-npy;output=confidence;gzip=1"]
TENSORS = [
    "application/x-recordio-protobuf",
    "application/x-protobuf",
    "application/x-npy;output=probabilities",
    "application/x-npy;output=probabilities;dtype=float16;gzip=1",
]

WITHOUT_OTHERS = """
import sys
from pathlib import Path

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy", "segwright"}:
            raise ModuleNotFoundError(f"the client must not import {name}")

sys.meta_path.insert(0, Refuse())
from segwright.client import read_mask
import numpy as np

folder = Path(sys.argv[1])
expected = np.load(folder / "expected.npy")
for file in sorted(folder.glob("*.out")):
    assert (read_mask(file.read_bytes()) == expected).all(), file
    print(file.name)
for module in ("torch", "PIL", "cv2"):
    assert module not in sys.modules
"""


def answer(accept: str, mask: NDArray[np.uint8] = MASK) -> tuple[bytes, str]:
    pixel_format = negotiate(accept, ResponseFormat())
    result = PROBABILITIES.astype(pixel_format.dtype) if pixel_format.probabilities else mask
    if pixel_format.confidence:
        result = np.stack([mask, np.rint(255 * PROBABILITIES.max(0)).astype(np.uint8)])
    return encode(result, pixel_format, CLASSES), pixel_format.content_type


@pytest.mark.parametrize("accept", [*MASKS, *CONFIDENT, *TENSORS])
def test_a_mask_comes_out_of_every_form(accept: str) -> None:
    body, content_type = answer(accept)
    for named in (content_type, content_type.upper() + "; charset=utf-8", "binary/octet-stream", None):
        mask = read_mask(body, named)
        assert mask.dtype == np.uint8 and (mask == MASK).all()


@pytest.mark.parametrize("accept", [*CONFIDENT, *TENSORS])
def test_confidence_comes_out_of_the_forms_that_tell_it(accept: str) -> None:
    confidence = read_confidence(*answer(accept))
    assert confidence.dtype == np.float32 and confidence.shape == (19, 31)
    assert np.abs(confidence - PROBABILITIES.max(0)).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("accept", TENSORS)
def test_probabilities_come_out_of_the_forms_that_hold_them(accept: str) -> None:
    probabilities = read_probabilities(*answer(accept))
    assert probabilities.dtype == np.float32 and probabilities.shape == (3, 19, 31)
    assert np.abs(probabilities - PROBABILITIES).max() < (1e-3 if "float16" in accept else 1e-9)


@pytest.mark.parametrize("accept", MASKS)
def test_class_numbers_are_no_probabilities(accept: str) -> None:
    with pytest.raises(ValueError, match="no probabilities: ask for application/x-npy;output=probabilities"):
        read_probabilities(*answer(accept))


def test_only_json_names_the_classes() -> None:
    assert read_class_names(*answer("application/json")) == ("class 0", "class 1", "class 2")
    with pytest.raises(ValueError, match="ask for application/json"):
        read_class_names(*answer("image/png"))


def test_numpy_is_all_it_needs(tmp_path: Path) -> None:
    np.save(tmp_path / "expected.npy", MASK)
    for index, accept in enumerate([*MASKS, *TENSORS]):
        (tmp_path / f"{index}.out").write_bytes(answer(accept)[0])
    done = subprocess.run([sys.executable, "-c", WITHOUT_OTHERS, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len([*MASKS, *TENSORS])


class Runtime:
    """The one call of boto3's client that the docstring makes."""

    def invoke_endpoint(self, **given: Any) -> dict[str, Any]:
        assert given == {"EndpointName": "city", "Body": b"a JPEG", "Accept": "image/png;palette=1"}
        body, content_type = answer(given["Accept"])
        return {"Body": io.BytesIO(body), "ContentType": content_type}


def test_the_lambda_of_the_docstring_runs() -> None:
    code = textwrap.dedent(str(client.__doc__).split("::\n\n")[1].split("\n\n")[0])
    names: dict[str, Any] = {"base64": base64, "runtime": Runtime(), "read_mask": read_mask}
    exec(code, names)
    shares = names["handler"]({"body": base64.b64encode(b"a JPEG").decode()}, None)
    assert shares == {"share of class 2": pytest.approx((MASK == 2).mean())}


@settings(max_examples=50)
@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_run_lengths_of_any_mask(height: int, width: int, random: object) -> None:
    values = [random.choice((0, 0, 0, 1, 2)) for _ in range(height * width)]  # type: ignore[attr-defined]
    mask = np.array(values, np.uint8).reshape(height, width)
    assert (read_mask(*answer("application/json", mask)) == mask).all()


def png(lines: bytes, width: int, height: int, bits: int = 8, colours: int = 0, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced)
    chunks = ((b"IHDR", header), (b"tEXt", b"a\0b"), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def test_every_filter_of_a_png_is_undone_as_pillow_does() -> None:
    lines = GENERATOR.integers(0, 256, (40, 24), dtype=np.uint8)
    lines[:, 0] = np.arange(40) % 5
    body = png(lines.tobytes(), 23, 40)
    with Image.open(io.BytesIO(body)) as picture:
        assert (read_mask(body) == np.asarray(picture)).all()


@pytest.mark.parametrize(
    "body",
    [
        png(bytes(33), 4, 3, colours=2),  # colours
        png(bytes(6), 4, 3, bits=2),
        png(bytes(15), 4, 3, interlaced=1),
        png(bytes(14), 4, 3),  # a pixel is missing
        png(b"\5" + bytes(14), 4, 3),  # no such filter
        b"\x89PNG\r\n\x1a\n",
        b"\x93NUMPY",
        b"\x0a\x23\xd7\xce" + bytes(4),
        b"\x1f\x8b hello",
        b"{}",
        b'{"height": 2, "width": 2, "segments": [{"class": 0, "counts": "5"}]}',
        b'{"height": 2, "width": 2, "segments": [{"class": 999, "counts": "04"}]}',
        b'{"height": 2, "width": 2, "segments": [{"class": 0, "counts": 4}]}',
        b'{"height": 2, "width": 2, "segments": [{"class": 0, "counts": "T"}]}',
        b'{"height": 100000000000, "width": 100000000000, "segments": []}',
        b'{"height": 0, "width": 2, "segments": []}',
        b"[1]",
        b"",
        b"hello",
    ],
)
def test_what_is_no_answer_is_a_clear_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"answer|PNG|run lengths"):
        read_mask(body)


def test_a_refusal_of_the_server_is_quoted() -> None:
    with pytest.raises(ValueError, match=r"text/plain.*Accept is text/html, but answers come as"):
        read_mask(b"Accept is text/html, but answers come as ...", "text/plain; charset=utf-8")


@settings(max_examples=300)
@given(st.sampled_from([*MASKS, *TENSORS]), st.data())
def test_damaged_answers_give_an_array_or_a_clear_error(accept: str, data: st.DataObject) -> None:
    body = bytearray(answer(accept)[0])
    del body[data.draw(st.integers(0, len(body))) :]
    for position in data.draw(st.lists(st.integers(0, max(len(body) - 1, 0)), max_size=3)):
        if body:
            body[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ValueError):
        read_mask(bytes(body), negotiate(accept, ResponseFormat()).content_type)


def test_json_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no answer with classes"):
        read_class_names(json.dumps({"classes": [1]}).encode(), "application/json")
