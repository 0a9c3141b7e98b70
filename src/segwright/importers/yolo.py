"""YOLO: pictures, and for each a label file of outlines.

Knows that a picture without a label file shows background only, and that programs that write and train on these files
show pictures upright (EXIF). Refuses to know data.yaml (`yolo_dataset`), where pictures lie (`yolo_pictures`) and label
lines (`yolo_labels`), and refuses sets of boxes.

Source: https://docs.ultralytics.com/datasets/segment.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath

from segwright.errors import DataError
from segwright.importers.canvas import Canvas
from segwright.importers.dataset import ImportedData, ImportedPair, after_background
from segwright.importers.drawing import Drawing
from segwright.importers.images import strip_common_folder
from segwright.importers.yolo_dataset import YoloDataset, read_yolo_dataset
from segwright.importers.yolo_labels import draw_labels, label_lines
from segwright.importers.yolo_pictures import YoloPicture, find_pictures
from segwright.storage import open_blob

logger = logging.getLogger(__name__)


def read_yolo(source: Path, images: Path | None = None) -> ImportedData:
    """Read a data.yaml, or a folder with one or with none; `train` and `val` divide the pairs where both have pictures.

    Pictures are where the description says, or below `images`. Class 0 is background, the others are `names` in their
    order. Raises DataError for descriptions that cannot be read, where no picture is, and for sets without outlines.
    """
    dataset = read_yolo_dataset(source)
    pictures = find_pictures(dataset, images)
    files = [picture.labels for picture in pictures if picture.labels is not None]
    if not files:
        raise DataError(
            f"{dataset.place}: none of the {len(pictures)} pictures has a label file, for example {pictures[0].image}: "
            "it is looked for in a folder labels beside images, or beside the picture."
        )
    if len(files) < len(pictures):
        logger.warning(
            f"{len(pictures) - len(files)} of {len(pictures)} pictures have no label file and are all background, for "
            f"example {next(picture.image for picture in pictures if picture.labels is None)}"
        )
    _check_no_polygons(files, dataset)
    names = dataset.names or _numbered_names(files, dataset)
    classes = after_background(names.values(), f"{dataset.place}, names")
    values = {number: classes.numbers[name] for number, name in names.items()}
    pairs = [
        ImportedPair(name, open_blob(picture.image), partial(_draw, picture.labels, values), picture.split)
        for picture, name in zip(pictures, _names(pictures), strict=True)
    ]
    divided_by = "train and val" if len({picture.split for picture in pictures}) > 1 else None
    return ImportedData(tuple(pairs), classes.names, divided_by=divided_by, frame="shown")


def _check_no_polygons(files: Sequence[Path], dataset: YoloDataset) -> None:
    """Raise DataError where no label file has an outline, by what they have."""
    kinds: Counter[str] = Counter()
    for file in files:
        kinds.update(line.kind for line in label_lines(open_blob(file).read()))
        if kinds["polygon"]:
            return
    where = f"{dataset.place}: the {len(files)} label files hold"
    if not kinds:
        raise DataError(f"{where} no line: there is nothing to learn.")
    match kinds.most_common(1)[0][0]:
        case "box":
            raise DataError(
                f"{where} boxes (a class and four numbers) and no outlines: this is a data set for detection. Export "
                "it for segmentation, with polygons."
            )
        case "in pixels":
            raise DataError(
                f"{where} coordinates far outside of 0 to 1, for example {files[0]}: YOLO has fractions of width and "
                "height, so divide them by the picture's."
            )
        case _:
            raise DataError(
                f"{where} no outline, for example {files[0]}: a line is a class number and three points or more."
            )


def _numbered_names(files: Sequence[Path], dataset: YoloDataset) -> dict[int, str]:
    """Names for the numbers that occur, where nothing names them."""
    used = {
        line.class_number for file in files for line in label_lines(open_blob(file).read()) if line.points is not None
    }
    logger.warning(
        f"{dataset.place}: nothing names the classes (names in data.yaml, or classes.txt), so they are called by their "
        "numbers"
    )
    return {number: str(number) for number in sorted(used)}


def _names(pictures: Sequence[YoloPicture]) -> list[str]:
    """The name of each picture below the folder of its side, or below that of all where names occur on both."""
    paths = [picture.image.resolve().as_posix() for picture in pictures]
    named: dict[int, str] = {}
    for split in dict.fromkeys(picture.split for picture in pictures):
        places = [place for place, picture in enumerate(pictures) if picture.split == split]
        named |= zip(places, strip_common_folder([paths[place] for place in places]), strict=True)
    if len({PurePath(name).with_suffix("") for name in named.values()}) < len(named):
        return strip_common_folder(paths)
    return [named[place] for place in range(len(paths))]


def _draw(file: Path | None, values: Mapping[int, int], canvas: Canvas) -> Drawing:
    return draw_labels(open_blob(file).read() if file is not None else b"", values, canvas.size)
