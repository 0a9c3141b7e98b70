"""Cityscapes: leftImg8bit and gtFine with its nineteen training classes; everything else is ignored.

Source: cityscapesScripts, `helpers/labels.py`.
"""

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.importers.dataset import ImportedData, ImportedPair
from segwright.importers.drawing import Drawing, draw_by_number
from segwright.importers.files import warn_left_out
from segwright.importers.geometry import ImageGeometry, mask_frame
from segwright.labels import IGNORE
from segwright.storage import Blob, open_blob

_CLASSES: Final = (
    (7, "road", (128, 64, 128)), (8, "sidewalk", (244, 35, 232)), (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)), (13, "fence", (190, 153, 153)), (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)), (20, "traffic sign", (220, 220, 0)), (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)), (23, "sky", (70, 130, 180)), (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)), (26, "car", (0, 0, 142)), (27, "truck", (0, 0, 70)), (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)), (32, "motorcycle", (0, 0, 230)), (33, "bicycle", (119, 11, 32)),
)  # fmt: skip
_LABEL_IDS: Final = dict.fromkeys(range(256), IGNORE) | {number: i for i, (number, _, _) in enumerate(_CLASSES)}
_TRAIN_IDS: Final = {number: number for number in (*range(len(_CLASSES)), IGNORE)}
_IMAGE: Final = "_leftImg8bit.png"
_SPLITS: Final[dict[str, Split]] = {"train": "train", "val": "validation"}
_OWN_CLASSES: Final = "label_colors.txt"  # CVAT writes it, and numbers the classes by it


def read_cityscapes(source: Path, images: Path | None = None) -> ImportedData:
    """Read the folders train and val below leftImg8bit and gtFine; they divide the pairs where both exist. `images`
    stands for leftImg8bit, or holds it.

    Masks are `*_gtFine_labelIds.png`, or `*_gtFine_labelTrainIds.png` where those are missing. Images without a mask
    are left out with a warning. Raises DataError where there is no pair.
    """
    if (source / _OWN_CLASSES).is_file():
        raise DataError(
            f"{source / _OWN_CLASSES} names classes of your own, but this format has those of Cityscapes only: export "
            "'Segmentation mask 1.1' from CVAT, and give it to import-data voc."
        )
    roots = [images, images / "leftImg8bit"] if images else [source / "leftImg8bit"]
    folders = [(root / name, split) for root in roots for name, split in _SPLITS.items()]
    found = {path: split for folder, split in folders for path in sorted(folder.glob(f"[!.]*/[!.]*{_IMAGE}"))}
    if not found:
        raise DataError(
            f"{images or source} holds no images leftImg8bit/train/CITY/*{_IMAGE}; unpack "
            "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into it, or give the folder of images with "
            "--images DIR."
        )
    pairs, missing = [], []
    for image, split in found.items():
        folder, city = image.parts[-3:-1]
        stem = source / "gtFine" / folder / city / f"{image.name.removesuffix(_IMAGE)}_gtFine"
        candidates = (stem.with_name(f"{stem.name}_{kind}.png") for kind in ("labelIds", "labelTrainIds"))
        mask = next((open_blob(path) for path in candidates if path.is_file()), None)
        if mask is None:
            missing.append(f"{stem}_labelIds.png")
        else:
            name = f"{city}/{image.name}"
            pairs.append(ImportedPair(name, open_blob(image), partial(_draw, mask), split, partial(mask_frame, mask)))
    if not pairs:
        raise DataError(f"None of the {len(found)} images has a mask such as {missing[0]}.")
    warn_left_out(source, "image", missing, "as their masks are not there", len(found))
    both = len({pair.split for pair in pairs}) == len(_SPLITS)
    names = tuple(name for _, name, _ in _CLASSES)
    palette = np.array([colour for _, _, colour in _CLASSES], np.uint8)
    return ImportedData(tuple(pairs), names, palette, "the folders train and val" if both else None)


def _draw(mask: Blob, geometry: ImageGeometry) -> Drawing:
    if not mask.name.endswith("TrainIds.png"):
        return draw_by_number(mask, geometry, _LABEL_IDS, "labelIds are numbers of 8 bits: this may be another file.")
    cure = "the train ids of Cityscapes are 0 to 18 and 255. Put labelIds beside it, or train with your own label map."
    return draw_by_number(mask, geometry, _TRAIN_IDS, cure)
