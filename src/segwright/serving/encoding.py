"""Class numbers or probabilities as the bytes of a response.

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
from starlette.exceptions import HTTPException

from segwright.bundle import ClassDescription
from segwright.formats.images import encode_png
from segwright.formats.masks import encode_mask
from segwright.formats.record_protobuf import encode_record
from segwright.formats.recordio import MAX_RECORD, write_whole_record
from segwright.formats.rle import compress_counts, encode_regions
from segwright.serving.accept import JSON, NPY, PNG, ResponseFormat

_MAX_ARRAY: Final = 1 << 30  # bytes of probabilities
_MAX_RECORD: Final = MAX_RECORD - 1024  # leaves room for the names around the numbers
_GZIP_LEVEL: Final = 1  # masks shrink nearly as far as with higher ones, in a fraction of the time


def check_result_size(wanted: ResponseFormat, shape: Sequence[int]) -> None:
    """Raise HTTPException 413 where an array [C, H, W] or [H, W] is larger than the format holds."""
    size = math.prod(shape) * np.dtype(wanted.dtype).itemsize
    largest = _MAX_ARRAY if wanted.content_type == NPY else _MAX_RECORD
    if wanted.probabilities and size > largest:
        cure = "ask for image/png, application/json, or application/x-npy;output=probabilities;dtype=float16."
        found = f"The answer would have {size:,} bytes of probabilities, but {largest:,} are sent at most"
        raise HTTPException(413, f"{found}: {cure}")


def encode(result: NDArray[Any], wanted: ResponseFormat, classes: Sequence[ClassDescription]) -> bytes:
    """The body of a response. `result` is float [C, H, W], uint8 [H, W] or uint8 [2, H, W], as the format says.

    RecordIO is one record in one part (flag 0), a Record of `target`, float32 of all probabilities, and `shape`, int32
    [1, C, H, W]. Compressed NumPy arrays are gzip in the body itself, without Content-Encoding, which proxies strip.
    """
    if wanted.content_type == PNG:
        palette = np.array([entry.colour for entry in classes], np.uint8)
        return encode_mask(result, palette) if wanted.palette else encode_png(result)
    if wanted.content_type == NPY:
        stream = io.BytesIO()
        np.save(stream, result, allow_pickle=False)
        return gzip.compress(stream.getbuffer(), _GZIP_LEVEL) if wanted.gzip else stream.getvalue()
    if wanted.content_type == JSON:
        return _encode_json(result, classes)
    shape = np.array([1, *result.shape], np.int32)
    return write_whole_record(encode_record({"shape": shape, "target": result.reshape(-1)}))


def _encode_json(mask: NDArray[np.uint8], classes: Sequence[ClassDescription]) -> bytes:
    """All classes, and the region of each one that is present as pycocotools takes it."""
    height, width = mask.shape
    names = {entry.index: entry.name for entry in classes}
    segments = []
    for index, counts in encode_regions(mask):
        if index in names:
            region = {"size": [height, width], "counts": compress_counts(counts), "area": int(counts[1::2].sum())}
            segments.append({"class": index, "name": names[index], **region})
    described = [{"index": entry.index, "name": entry.name, "colour": entry.colour} for entry in classes]
    return json.dumps({"height": height, "width": width, "classes": described, "segments": segments}).encode()
