"""Reads the server's responses with NumPy and the standard library only: for a Lambda, a robot, a notebook.

`pip install --no-deps` beside NumPy is enough. A Lambda behind a URL that is sent a JPEG, with
`runtime = boto3.client("sagemaker-runtime")`::

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
    """The class of every pixel, uint8 [H, W], from any response; of probabilities, the most likely class.

    Without a content type, as for files that batch transform wrote, the first bytes decide. Raises ValueError for
    anything that is no response.
    """
    match _media_type(body, content_type):
        case "image/png":
            return _read_png(body)
        case "application/json":
            return _paint(_read_json(body))
        case "application/x-npy" if (array := _read_npy(body)).dtype == np.uint8 and array.shape[:-2] in ((), (2,)):
            return np.asarray(array if array.ndim == 2 else array[0], np.uint8)
    return np.asarray(read_probabilities(body, content_type).argmax(axis=0), np.uint8)


def read_probabilities(body: bytes, content_type: str | None = None) -> NDArray[np.float32]:
    """The probability of every class at every pixel, float32 [C, H, W], from RecordIO or a NumPy array.

    `content_type` and errors as in `read_mask`; ValueError as well for responses that hold class numbers only.
    """
    match media_type := _media_type(body, content_type):
        case "application/x-recordio-protobuf":
            return _read_record(body)
        case "application/x-npy" if (array := _read_npy(body)).ndim == 3 and array.dtype.kind == "f":
            return array.astype(np.float32, copy=False)
    raise ValueError(
        f"this {media_type} holds class numbers, no probabilities: ask for application/x-npy;output=probabilities or "
        "application/x-recordio-protobuf"
    )


def read_confidence(body: bytes, content_type: str | None = None) -> NDArray[np.float32]:
    """How probable the mask's class is at every pixel, float32 [H, W] from 0 to 1, from a NumPy array with
    `output=confidence`, in steps of 1/255, or from probabilities. `content_type` and errors as in `read_probabilities`.
    """
    if _media_type(body, content_type) == "application/x-npy":
        array = _read_npy(body)
        if array.dtype == np.uint8 and array.shape[:-2] == (2,):
            confidence: NDArray[np.float32] = array[1] / np.float32(255)
            return confidence
    return np.asarray(read_probabilities(body, content_type).max(axis=0), np.float32)


def read_class_names(body: bytes, content_type: str | None = None) -> tuple[str, ...]:
    """The names of the classes by index, from JSON; ValueError for other responses, which carry none."""
    media_type = _media_type(body, content_type)
    if media_type != "application/json":
        raise ValueError(f"{media_type} carries no names of classes: ask for application/json")
    try:
        return tuple(str(entry["name"]) for entry in _read_json(body)["classes"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"this JSON is no answer with classes: {error!r}") from error


def _media_type(body: bytes, content_type: str | None) -> str:
    """The media type of a response. Raises ValueError, with the server's sentence, for an error."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in _UNSPECIFIC:
        kind = next((found for start, found in _SIGNATURES.items() if body.startswith(start)), kind)
    kind = _SAME.get(kind, kind)
    if kind not in _SIGNATURES.values():
        text = body[:_SHOWN].decode("utf-8", "replace")
        raise ValueError(f"this is no answer with a mask (content type {kind or 'missing'}): {text}")
    return kind


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
    return np.asarray(target.reshape([int(size) for size in shape[1:]]), np.float32)


def _read_npy(body: bytes) -> NDArray[Any]:
    try:
        body = gzip.decompress(body) if body.startswith(_GZIP) else body
        return np.asarray(np.lib.format.read_array(io.BytesIO(body), allow_pickle=False))
    except Exception as error:  # NumPy reads a damaged header as Python, which fails in many ways
        raise ValueError(f"the answer is a damaged NumPy array: {error}") from error


def _read_json(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("this JSON is no answer: it is no object")
    return document


def _paint(document: dict[str, Any]) -> NDArray[np.uint8]:
    """The mask of all segments; 255 where there is none."""
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


def _read_png(body: bytes) -> NDArray[np.uint8]:
    """The numbers of a PNG of one channel of 8 bits, grey or palette indices, uint8 [H, W]."""
    try:
        chunks, position = [], 8
        while position < len(body):
            length, kind = struct.unpack_from(">I4s", body, position)
            chunks.append((kind, body[position + 8 : position + 8 + length]))
            position += length + 12  # with a checksum at its end; zlib has one of its own
        width, height, bits, colours, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
        if bits != 8 or colours not in (0, 3) or interlaced:
            raise ValueError("it has other than one plain channel of 8 bits")
        data = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
        return _unfilter(np.frombuffer(data, np.uint8).reshape(height, width + 1))
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"this PNG cannot be read as a mask: {error}") from error


def _unfilter(lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
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
            predict, numbers, left, corner = _average if kind == 3 else _paeth, [], 0, 0
            for value, up in zip(values.tolist(), above.tolist(), strict=True):
                left, corner = (value + predict(left, up, corner)) & 255, up
                numbers.append(left)
            row[:] = numbers
        else:
            raise ValueError(f"a line has the filter {kind}")
        above = row
    return mask


def _average(left: int, up: int, _corner: int) -> int:
    return (left + up) // 2


def _paeth(left: int, up: int, corner: int) -> int:
    """Section 9.4: whichever neighbour is nearest to left + up - corner."""
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner
