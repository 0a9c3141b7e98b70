"""Cityscapes: leftImg8bit and gtFine, their nineteen training classes, and everything else ignored.

Knows the folder tree, the label numbers, names and colours of cityscapesScripts. Refuses coarse annotations,
instances and polygons.

Source: cityscapesScripts, `helpers/labels.py`.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.importers.by_number import draw_by_number
from segwright.importers.dataset import Canvas, Drawn, ImportedData, ImportedPair, is_trace, mask_frame
from segwright.labels import IGNORE
from segwright.storage import Blob, open_blob
from segwright.wording import listed

logger = logging.getLogger(__name__)

_CLASSES: Final = (
    (7, "road", (128, 64, 128)), (8, "sidewalk", (244, 35, 232)), (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)), (13, "fence", (190, 153, 153)), (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)), (20, "traffic sign", (220, 220, 0)), (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)), (23, "sky", (70, 130, 180)), (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)), (26, "car", (0, 0, 142)), (27, "truck", (0, 0, 70)), (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)), (32, "motorcycle", (0, 0, 230)), (33, "bicycle", (119, 11, 32)),
)  # fmt: skip

_IMAGE: Final = "_leftImg8bit.png"
_SPLITS: Final[dict[str, Split]] = {"train": "train", "val": "validation"}
_OWN_CLASSES: Final = "label_colors.txt"  # CVAT writes it, and numbers the classes by it


def read_cityscapes(source: Path, images_folder: Path | None = None) -> ImportedData:
    """Read the folders train and val below leftImg8bit and gtFine; they divide the pairs where both exist. Where
    `images_folder` is given, it stands for leftImg8bit, or holds it.

    Masks are `*_gtFine_labelIds.png`, or `*_gtFine_labelTrainIds.png` where those are missing. Images without a mask
    are left out with a warning. Raises DataError where there is no pair.
    """
    if (source / _OWN_CLASSES).is_file():
        raise DataError(
            f"{source / _OWN_CLASSES} names classes of your own, but this format has those of Cityscapes only: export "
            "'Segmentation mask 1.1' from CVAT, and give it to import-data voc."
        )
    roots = [images_folder, images_folder / "leftImg8bit"] if images_folder else [source / "leftImg8bit"]
    images = {image: split for root in roots for folder, split in _SPLITS.items() for image in _images(root / folder)}
    if not images:
        raise DataError(
            f"{images_folder or source} holds no images leftImg8bit/train/CITY/*{_IMAGE}; unpack "
            "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into it, or give the folder of images with "
            "--images DIR."
        )
    masks = {image: _mask(source, image) for image in images}
    missing = [str(image) for image, mask in masks.items() if mask is None]
    if len(missing) == len(images):
        raise DataError(
            f"None of the {len(images)} images has a mask such as {_stem(source, next(iter(images)))}_labelIds.png."
        )
    if missing:
        logger.warning(f"{len(missing)} images have no mask and are left out: {listed(missing)}")
    pairs = [
        ImportedPair(
            f"{image.parent.name}/{image.name}",
            open_blob(image),
            partial(_draw, open_blob(mask)),
            images[image],
            partial(mask_frame, open_blob(mask)),
        )
        for image, mask in masks.items()
        if mask is not None
    ]
    both = len({pair.split for pair in pairs}) == len(_SPLITS)
    names = tuple(name for _, name, _ in _CLASSES)
    palette = np.array([colour for _, _, colour in _CLASSES], np.uint8)
    return ImportedData(tuple(pairs), names, palette, "the folders train and val" if both else None)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*/*{_IMAGE}") if not is_trace(path.relative_to(folder)))


def _mask(source: Path, image: Path) -> Path | None:
    stem = _stem(source, image)
    candidates = (Path(f"{stem}_{kind}.png") for kind in ("labelIds", "labelTrainIds"))
    return next((path for path in candidates if path.is_file()), None)


def _stem(source: Path, image: Path) -> Path:
    """What the names of an image's annotations begin with."""
    split, city = image.parts[-3:-1]
    return source / "gtFine" / split / city / f"{image.name.removesuffix(_IMAGE)}_gtFine"


def _draw(blob: Blob, canvas: Canvas) -> Drawn:
    if blob.name.endswith("TrainIds.png"):
        classes = {number: number for number in (*range(len(_CLASSES)), IGNORE)}
        cure = (
            "the train ids of Cityscapes are 0 to 18 and 255. Put labelIds beside it, or train with a label map of "
            "your own."
        )
    else:
        classes = dict.fromkeys(range(256), IGNORE) | {number: index for index, (number, _, _) in enumerate(_CLASSES)}
        cure = "labelIds are numbers of 8 bits: this may be another file."
    return draw_by_number(blob, canvas, classes, cure)
