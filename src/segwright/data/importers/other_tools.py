"""JSON files of tools whose own format is not read under the name that was given: what they are, and what to do.

Knows words that only one tool writes. Refuses to read more of a file than whether it holds them.
"""

from typing import Final

_KINDS: Final[tuple[tuple[tuple[bytes, ...], str], ...]] = (
    ((b'"segments_info"',), "holds panoptic annotations, which are not read: give the instances_*.json of the set."),
    ((b'"shapes"', b'"imagePath"'), "is a file of LabelMe: give its folder to import-data labelme."),
    ((b'"shape_attributes"',), "is a project of VIA: export its annotations in COCO format and import those."),
    ((b'"from_name"', b'"to_name"'), "is Label Studio's JSON: give it to import-data label-studio."),
    ((b'"brushlabels"',), "is Label Studio's JSON: give it to import-data label-studio."),
    ((b'"data_row"', b'"projects"'), "is Labelbox's own export: convert it to COCO with Labelbox's SDK."),
    ((b'"classTitle"', b'"geometryType"'), "is of Supervisely: export the project as COCO or Pascal VOC."),
    ((b'"items"', b'"label"', b'"labels"'), "is of Datumaro: convert it with `datum convert -f coco`."),
)


def described(data: bytes) -> str | None:
    """What some JSON is, and what to do with it; None for what no word gives away."""
    return next((what for words, what in _KINDS if all(word in data for word in words)), None)
