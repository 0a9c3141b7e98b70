"""From class numbers or probabilities to the bytes of an answer.

Knows every form of an answer, to the byte, and how large one may get. Refuses to know who asks.

Source: SageMaker's contract, section 5.2; COCO's run lengths for JSON.
"""

import gzip
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.bundle import ClassDescription
from segwright.formats.images import encode_png
from segwright.formats.masks import encode_mask
from segwright.formats.record_protobuf import encode_record
from segwright.formats.recordio import MAX_RECORD, write_whole_record
from segwright.formats.rle import compress_counts, encode_regions
from segwright.serving.accept import JSON, NPY, PNG, ResponseFormat

LARGEST_ARRAY: Final = 1 << 30
"""Bytes of probabilities in one answer at most."""

_LARGEST_RECORD: Final = MAX_RECORD - 1024  # leaves room for the names around the numbers
_GZIP_LEVEL: Final = 1  # masks shrink nearly as far as with higher ones, in a fraction of the time


def excess(form: ResponseFormat, shape: Sequence[int]) -> tuple[int, int] | None:
    """Bytes of an array [C, H, W] or [H, W] and the most that the form holds, where it is too large; else None."""
    size = math.prod(shape) * np.dtype(form.dtype).itemsize
    largest = LARGEST_ARRAY if form.content_type == NPY else _LARGEST_RECORD
    return (size, largest) if form.probabilities and size > largest else None


def encode(result: NDArray[Any], form: ResponseFormat, classes: Sequence[ClassDescription]) -> bytes:
    """The body of an answer. `result` is float [C, H, W] or uint8 [H, W], as the form says.

    RecordIO is one record in one part (flag 0), a Record of `target`, float32 of all probabilities, and `shape`, int32
    [1, C, H, W]. Compressed NumPy arrays are gzip in the body itself, without Content-Encoding: proxies on the way
    strip that header, and clients tell gzip by its first bytes.
    """
    if form.content_type == PNG:
        palette = np.array([entry.colour for entry in classes], np.uint8)
        return encode_mask(result, palette) if form.palette else encode_png(result)
    if form.content_type == NPY:
        return _npy(result, form.gzip)
    if form.content_type == JSON:
        return _json(result, classes)
    shape = np.array([1, *result.shape], np.int32)
    return write_whole_record(encode_record({"shape": shape, "target": result.reshape(-1)}))


def _npy(result: NDArray[Any], compressed: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, result, allow_pickle=False)
    return gzip.compress(stream.getbuffer(), _GZIP_LEVEL) if compressed else stream.getvalue()


def _json(mask: NDArray[np.uint8], classes: Sequence[ClassDescription]) -> bytes:
    """A document that names all classes, and has the region of each one that is there as pycocotools takes it."""
    height, width = mask.shape
    by_index = {entry.index: entry for entry in classes}
    segments = [
        {
            "class": index,
            "name": by_index[index].name,
            "size": [height, width],
            "counts": compress_counts(counts),
            "area": int(counts[1::2].sum()),
        }
        for index, counts in encode_regions(mask)
        if index in by_index
    ]
    described = [{"index": entry.index, "name": entry.name, "colour": entry.colour} for entry in classes]
    return json.dumps({"height": height, "width": width, "classes": described, "segments": segments}).encode()
