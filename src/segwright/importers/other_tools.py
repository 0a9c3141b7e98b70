"""Files of tools whose format is another one than was named, or is not read: what they are, and what to do.

Knows words that only one tool writes. Refuses to read more of a file than whether it holds them.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from segwright.importers.files import files_below
from segwright.storage import open_blob

_KINDS: Final[tuple[tuple[str, tuple[bytes, ...], str], ...]] = (
    (
        "coco",
        (b'"images"', b'"annotations"', b'"categories"'),
        "is an annotation file of COCO: give it to import-data coco.",
    ),
    ("labelme", (b'"shapes"', b'"imagePath"'), "is a file of LabelMe: give its folder to import-data labelme."),
    ("label-studio", (b'"from_name"', b'"to_name"'), "is Label Studio's JSON: give it to import-data label-studio."),
    ("label-studio", (b'"brushlabels"',), "is Label Studio's JSON: give it to import-data label-studio."),
    ("", (b'"shape_attributes"',), "is a project of VIA: export its annotations in COCO format and import those."),
    ("", (b'"data_row"', b'"projects"'), "is Labelbox's own export: convert it to COCO with Labelbox's SDK."),
    ("", (b'"classTitle"', b'"geometryType"'), "is of Supervisely: export the project as COCO or Pascal VOC."),
    ("", (b'"items"', b'"label"', b'"labels"'), "is of Datumaro: convert it with `datum convert -f coco`."),
    ("", (b"<annotations>", b"<version>"), "is CVAT's XML: export 'Segmentation mask 1.1', for import-data voc."),
)
"""The format that reads them, the words that they have, and what they are."""

_ENDINGS: Final = (".json", ".ndjson", ".xml")
_ENOUGH: Final = 3  # files that tell what the others are


def what_it_is(source: Path, wanted: str) -> str:
    """A sentence on the first file at or below `source` that is of another format than the one that is `wanted`; empty
    where one is of that.
    """
    found = ""
    for name, data in islice(_documents(source), _ENOUGH):
        for kind, words, what in _KINDS:
            if all(word in data for word in words):
                if kind == wanted:
                    return ""
                found = found or f" {name} {what}"
    return found


def _documents(source: Path) -> Iterator[tuple[str, bytes]]:
    blobs = [(source, open_blob(source))] if source.is_file() else files_below(source).items()
    for path, blob in blobs:
        if path.suffix.lower() in _ENDINGS:
            yield blob.name, blob.read()
