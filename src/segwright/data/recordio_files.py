"""The pairs of a RecordIO file: image, mask, image, mask, ..., or image, mask, metadata, ...

Source: SageMaker's contract, section 2.2.
"""

from pathlib import Path
from typing import Final

from segwright.data.manifests import parse_palette_classes
from segwright.data.pairs import Pair, Pairing
from segwright.errors import DataError
from segwright.formats.manifest import is_json
from segwright.formats.recordio import index_records, join_parts
from segwright.storage import FileRangesBlob, Location

RECORD_SUFFIX: Final = ".rec"


def record_pairs(file: Location) -> Pairing:
    """List the pairs of a RecordIO file on this machine; a pair's key is its number, from 0. Only frames are read.

    Raises DataError for a file that is damaged, empty, or holds no whole pairs.
    """
    if not isinstance(file, Path):
        raise DataError(f"{file}: a RecordIO file is read from this machine only; download it, or give its manifest.")
    try:
        with file.open("rb") as stream:
            records = index_records(stream, str(file), file.stat().st_size)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    if not records:
        raise DataError(f"{file} holds no records; it should hold images and masks in turns.")
    blobs = [
        FileRangesBlob(file, f"{file} record {number}", tuple(parts), join_parts)
        for number, parts in enumerate(records)
    ]
    width = 3 if len(blobs) > 2 and is_json(blobs[2].read()) else 2
    if len(blobs) % width:
        raise DataError(
            f"{file} holds {len(blobs)} records, which are no whole pairs: image, mask"
            f"{', metadata' if width == 3 else ''} must follow one another."
        )
    digits = len(str(len(blobs) // width))
    pairs = []
    for number in range(len(blobs) // width):
        image, mask, *rest = blobs[number * width : (number + 1) * width]
        palette_classes = parse_palette_classes(rest[0].read(), rest[0].name) if rest else ()
        pairs.append(Pair(f"pair {number:0{digits}}", image, mask, palette_classes))
    return Pairing(tuple(pairs))
