"""Names by which exports of other tools are known, and the command that reads each.

Knows patterns of names. Refuses to read the exports: `importers` do.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

_PATTERNS: Final = (
    (
        re.compile(r"task-\d+-annotation-\d+-by-\d+-tag-.+-\d+"),
        "These are the brush masks of Label Studio, one for each class and annotation: `segwright import-data "
        "label-studio` reads its export.",
    ),
    (
        re.compile(r".+_gt(Fine|Coarse)_\w+"),
        "These are Cityscapes' masks: `segwright import-data cityscapes` reads the data set.",
    ),
    (
        re.compile(r"instances?_\w+|.+[-_ ]instances?(_?ids?)?"),
        "Masks of instances do not tell classes: export masks of classes, or COCO for `segwright import-data coco`.",
    ),
)
_ENDINGS: Final = {
    ".json": "`segwright import-data labelme` or `coco` draws masks from .json files.",
    ".txt": "`segwright import-data yolo` draws masks from .txt files of polygons.",
    ".xml": "Boxes in .xml files are no masks: export masks, or polygons as COCO for `segwright import-data coco`.",
}


def known_names(masks: Sequence[str]) -> str:
    """A sentence on masks, by their names without ending, whose tool is known by them; else nothing."""
    for pattern, told in _PATTERNS:
        if masks and 2 * sum(bool(pattern.fullmatch(name)) for name in masks) > len(masks):
            return told
    return ""


def known_endings(endings: Counter[str]) -> str:
    """A sentence on files, by how many there are of each ending, that may be annotations; else nothing."""
    for ending, count in endings.most_common():
        if ending in _ENDINGS and count:
            return _ENDINGS[ending]
    return ""
