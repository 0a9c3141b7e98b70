"""Reads the server's answers with NumPy and the standard library only: for a Lambda, a robot, a notebook.

Knows every form of an answer: PNG with and without palette, RecordIO protobuf, NumPy arrays with and without gzip, and
JSON of run lengths. Neither torch nor Pillow nor OpenCV is imported, so that an installation without dependencies
(`pip install --no-deps`) beside NumPy is enough. Refuses to know how answers travel. A Lambda behind a URL that is sent
a JPEG, with `runtime = boto3.client("sagemaker-runtime")`::

    def handler(event, context):
        jpeg = base64.b64decode(event["body"])
        answer = runtime.invoke_endpoint(EndpointName="city", Body=jpeg, Accept="image/png;palette=1")
        mask = read_mask(answer["Body"].read(), answer["ContentType"])
        return {"share of class 2": float((mask == 2).mean())}

Source: SageMaker's contract, section 5.2; PNG specification (third edition).
"""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import DataError
from segwright.formats.file_types import check_size
from segwright.formats.record_protobuf import decode_record
from segwright.formats.recordio import read_records
from segwright.formats.rle import decompress_counts, expand_counts

_GZIP: Final = b"\x1f\x8b"
_SIGNATURES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\x0a\x23\xd7\xce": "application/x-recordio-protobuf",
    b"\x93NUMPY": "application/x-npy",
    _GZIP: "application/x-npy",
    b"{": "application/json",
}
_SAME: Final = {"application/x-protobuf": "application/x-recordio-protobuf"}
_UNSPECIFIC: Final = frozenset(("", "application/octet-stream", "binary/octet-stream"))
_IGNORE: Final = 255
_SHOWN: Final = 200  # characters of what is no answer


def read_mask(body: bytes, content_type: str | None = None) -> NDArray[np.uint8]:
    """The class of every pixel, uint8 [H, W], from any form of an answer; of probabilities, the most likely class.

    Without a content type, as for files that batch transform wrote, the first bytes tell the form. Raises ValueError
    for anything that is no answer.
    """
    match _form(body, content_type):
        case "image/png":
            return _read_png(body)
        case "application/json":
            return _paint(_read_json(body))
        case "application/x-npy" if (array := _read_npy(body)).ndim == 2 and array.dtype == np.uint8:
            return np.asarray(array, np.uint8)
    return np.asarray(read_probabilities(body, content_type).argmax(axis=0), np.uint8)


def read_probabilities(body: bytes, content_type: str | None = None) -> NDArray[np.float32]:
    """The probability of every class at every pixel, float32 [C, H, W], from RecordIO or a NumPy array.

    `content_type` and errors as in `read_mask`; ValueError as well for forms that hold class numbers only.
    """
    match form := _form(body, content_type):
        case "application/x-recordio-protobuf":
            return _read_record(body)
        case "application/x-npy" if (array := _read_npy(body)).ndim == 3 and array.dtype.kind == "f":
            return array.astype(np.float32, copy=False)
    raise ValueError(
        f"this {form} holds class numbers, no probabilities: ask for application/x-npy;output=probabilities or "
        "application/x-recordio-protobuf"
    )


def read_class_names(body: bytes, content_type: str | None = None) -> tuple[str, ...]:
    """The names of the classes by index, from JSON, the one form that carries them; else ValueError."""
    form = _form(body, content_type)
    if form != "application/json":
        raise ValueError(f"{form} carries no names of classes: ask for application/json")
    try:
        return tuple(str(entry["name"]) for entry in _read_json(body)["classes"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"this JSON is no answer with classes: {error!r}") from error


def _form(body: bytes, content_type: str | None) -> str:
    """The media type of an answer. Raises ValueError, with the sentence of the server, for what is none."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in _UNSPECIFIC:
        kind = next((found for start, found in _SIGNATURES.items() if body.startswith(start)), kind)
    kind = _SAME.get(kind, kind)
    if kind not in _SIGNATURES.values():
        text = body[:_SHOWN].decode("utf-8", "replace")
        raise ValueError(f"this is no answer with a mask (content type {kind or 'missing'}): {text}")
    return kind


# RecordIO protobuf and NumPy arrays


def _read_record(body: bytes) -> NDArray[np.float32]:
    try:
        (frame,) = read_records(io.BytesIO(body), "the answer")
        features = decode_record(frame.payload, "the answer")
        target, shape = features["target"], features["shape"]
    except DataError as error:
        raise ValueError(str(error)) from error
    except (ValueError, KeyError) as error:
        raise ValueError("the answer is not one record with target and shape") from error
    if target.dtype != np.float32:
        raise ValueError("the answer has no numbers as its target and shape")
    if shape.shape != (4,) or shape[0] != 1:
        raise ValueError(f"the shape of the answer is {shape.tolist()}, where [1, classes, height, width] is expected")
    return np.asarray(target.reshape([int(split) for split in shape[1:]]), np.float32)


def _read_npy(body: bytes) -> NDArray[Any]:
    try:
        plain = gzip.decompress(body) if body.startswith(_GZIP) else body
        return np.asarray(np.lib.format.read_array(io.BytesIO(plain), allow_pickle=False))
    except Exception as error:  # NumPy reads a damaged header as Python, which fails in many ways
        raise ValueError(f"the answer is a damaged NumPy array: {error}") from error


# JSON of run lengths


def _read_json(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("this JSON is no answer: it is no object")
    return document


def _paint(document: dict[str, Any]) -> NDArray[np.uint8]:
    """The mask that all segments make; 255 where there is none."""
    try:
        height, width = int(document["height"]), int(document["width"])
        check_size(height, width, "the answer")
        mask = np.full((width, height), _IGNORE, np.uint8)  # columns first, as the run lengths go
        for segment in document["segments"]:
            inside = expand_counts(decompress_counts(segment["counts"]), mask.size)
            mask.reshape(-1)[inside] = segment["class"]
    except DataError as error:
        raise ValueError(str(error)) from error
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"this JSON is no answer with segments: {error!r}") from error
    return np.ascontiguousarray(mask.T)


# PNG


def _read_png(body: bytes) -> NDArray[np.uint8]:
    """The numbers of a PNG of one channel of 8 bits, grey or palette indices, uint8 [H, W]."""
    try:
        chunks = list(_chunks(body))
        width, height, bits, colours, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
        if bits != 8 or colours not in (0, 3) or interlaced:
            raise ValueError("it has other than one plain channel of 8 bits")
        data = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
        return _unfiltered(np.frombuffer(data, np.uint8).reshape(height, width + 1))
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"this PNG cannot be read as a mask: {error}") from error


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the chunks of a PNG."""
    position = 8
    while position < len(body):
        length, kind = struct.unpack_from(">I4s", body, position)
        yield kind, body[position + 8 : position + 8 + length]
        position += length + 12  # with a checksum behind; zlib has one of its own


def _unfiltered(lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the filter of each line, which its first byte names."""
    mask = np.empty((len(lines), lines.shape[1] - 1), np.uint8)
    above = np.zeros(mask.shape[1], np.uint8)
    for row, line in zip(mask, lines, strict=True):
        kind, values = line[0], line[1:]
        if kind == 0:
            row[:] = values
        elif kind == 1:
            np.cumsum(values, dtype=np.uint8, out=row)
        elif kind == 2:
            np.add(values, above, out=row)
        elif kind in (3, 4):
            row[:] = _average(values, above) if kind == 3 else _paeth(values, above)
        else:
            raise ValueError(f"a line has the filter {kind}")
        above = row
    return mask


def _average(values: NDArray[np.uint8], above: NDArray[np.uint8]) -> list[int]:
    line, left = [], 0
    for value, up in zip(values.tolist(), above.tolist(), strict=True):
        left = (value + (left + up) // 2) & 255
        line.append(left)
    return line


def _paeth(values: NDArray[np.uint8], above: NDArray[np.uint8]) -> list[int]:
    """Section 9.4: each value is told as the difference to its left, upper or upper left neighbour, whichever is
    nearest to left + upper - upper left.
    """
    line, left, corner = [], 0, 0
    for value, up in zip(values.tolist(), above.tolist(), strict=True):
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        upper = up if to_up <= to_corner else corner
        near = left if to_left <= to_up and to_left <= to_corner else upper
        left, corner = (value + near) & 255, up
        line.append(left)
    return line
