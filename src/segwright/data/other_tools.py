"""Recognises exports of other tools by file names, suffixes or content, and names the command that reads each."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

_NAMES: Final = {
    r"task-\d+-annotation-\d+-by-\d+-tag-.+-\d+": "These are the brush masks of Label Studio, one for each class and "
    "annotation: `segwright import-data label-studio` reads its export.",
    r".+_gt(Fine|Coarse)_\w+": "These are Cityscapes' masks: `segwright import-data cityscapes` reads the data set.",
    r"instances?_\w+|.+[-_ ]instances?(_?ids?)?": "Masks of instances do not tell classes: export masks of classes, or "
    "COCO for `segwright import-data coco`.",
}
_ENDINGS: Final = {
    ".json": "`segwright import-data labelme` or `coco` draws masks from .json files.",
    ".txt": "`segwright import-data yolo` draws masks from .txt files of polygons.",
    ".xml": "Boxes in .xml files are no masks: export masks, or polygons as COCO for `segwright import-data coco`.",
}

_CONTENTS: Final[tuple[tuple[str, tuple[bytes, ...], str], ...]] = (
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


def known_names(masks: Sequence[str]) -> str:
    """A sentence on masks, by their names without ending, whose tool is known by them; else nothing."""
    for pattern, hint in _NAMES.items():
        if 2 * sum(bool(re.fullmatch(pattern, name)) for name in masks) > len(masks):
            return hint
    return ""


def known_endings(endings: Counter[str]) -> str:
    """A sentence on files, by how many there are of each ending, that may be annotations; else nothing."""
    return next((_ENDINGS[ending] for ending, _ in endings.most_common() if ending in _ENDINGS), "")


def known_content(data: bytes) -> tuple[str, str]:
    """The format under which `import-data` reads a file, if any, and a sentence without subject on the tool that wrote
    it; nothing for files of no such tool.
    """
    found = ((kind, hint) for kind, words, hint in _CONTENTS if all(word in data for word in words))
    return next(found, ("", ""))
