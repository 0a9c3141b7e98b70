"""Annotation files of COCO: two categories, and boxes in images of one size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.formats.rle import encode_regions
from segwright.importers import import_data
from tests.helpers.imported import HEIGHT, WIDTH, masks, save_image

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 90, "name": "cat"}]
DOG, CAT = 1, 2


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    """The polygon of whole pixels."""
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(inside: NDArray[np.bool_]) -> list[int]:
    counts: list[int] = dict(encode_regions(inside.astype(np.uint8)))[1].tolist()
    return counts


def region(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def document(*annotations: dict[str, Any], images: int = 2) -> dict[str, Any]:
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH} for number in range(images)
        ],
        "annotations": [
            {"id": 100 + index, "image_id": 0, "category_id": 7, "iscrowd": 0, **annotation}
            for index, annotation in enumerate(annotations)
        ],
        "categories": CATEGORIES,
    }


def write(folder: Path, content: Any, name: str = "annotations.json", images: int = 2) -> str:
    for number in range(images):
        save_image(folder / "images" / f"{number}.png", seed=number)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder / name)


def first_mask(folder: Path, *annotations: dict[str, Any]) -> NDArray[np.uint8]:
    """The mask of image 0 with these annotations."""
    import_data("coco", write(folder, document(*annotations)), folder / "out", overwrite=True)
    return masks(folder / "out")["0"]


GOOD = {"segmentation": [box(0, 0, 4, 4)]}
