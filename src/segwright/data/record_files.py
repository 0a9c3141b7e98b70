"""The pairs of a RecordIO file: image, mask, image, mask, ...

Knows that records alternate. Refuses to read their payloads before they are wanted: only the frames are walked through.

Source: SageMaker's contract, section 2.2.
"""

from pathlib import Path
from typing import Final

from segwright.data.pairs import Pair, Pairing
from segwright.errors import DataError
from segwright.formats.recordio import index_records, join_parts
from segwright.storage import Cache, Place
from segwright.storage.blobs import PartsBlob

RECORD_SUFFIX: Final = ".rec"


def record_pairs(file: Place, kept_masks: Cache | None = None) -> Pairing:
    """List the pairs of a RecordIO file on this machine; a pair's key is its number, from 0.

    Raises DataError for a file that is damaged, empty, or holds an odd number of records.
    """
    if not isinstance(file, Path):
        raise DataError(f"{file}: a RecordIO file is read from this machine only; download it, or give its manifest.")
    try:
        with file.open("rb") as stream:
            records = index_records(stream, str(file), file.stat().st_size)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    if not records or len(records) % 2:
        raise DataError(
            f"{file} holds {len(records)} records; images and masks alternate, so there must be an even number of them."
        )
    blobs = [
        PartsBlob(file, f"{file} record {number}", tuple(parts), join_parts) for number, parts in enumerate(records)
    ]
    width = len(str(len(blobs) // 2))
    pairs = [
        Pair(f"pair {number:0{width}}", image, mask, kept_masks)
        for number, (image, mask) in enumerate(zip(blobs[::2], blobs[1::2], strict=True))
    ]
    return Pairing(tuple(pairs))
