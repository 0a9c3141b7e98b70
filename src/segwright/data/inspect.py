"""What `segwright inspect` shows: the data check by itself, as a table and as a picture of sample overlays."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.console import LOGGER, table
from segwright.data.check import DataReport
from segwright.data.folders import Channels
from segwright.data.pairs import read_pair
from segwright.data.preparation import PreparedData, prepare
from segwright.formats.images import encode_png
from segwright.formats.overlays import contact_sheet, overlay
from segwright.labels import LabelMap
from segwright.storage import refuse_existing, refuse_unwritable_file, write_bytes

_DEFAULT_PICTURE: Final = Path("segwright-inspect.png")
_SAMPLES: Final = 6
_TILE_WIDTH: Final = 360  # pixels


def inspect(
    channels: Channels,
    picture: Path | None = None,
    *,
    num_classes: int | None = None,
    class_names: Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> PreparedData:
    """Check both channels as a training would, print what they hold, and draw samples of them to `picture`.

    Without `picture`, `segwright-inspect.png` is drawn in the current directory and replaced each time. Raises
    DataError, LabelError or OutputExistsError, the same as a training, and UserError for a picture that cannot
    be written.
    """
    if picture:
        refuse_existing(picture, overwrite)
    picture = picture or _DEFAULT_PICTURE
    refuse_unwritable_file(picture)
    data = prepare(channels, num_classes=num_classes, class_names=class_names, strict=strict)
    _show_classes(data)
    for name, report in (("train", data.train), ("validation", data.validation)):
        _show_channel(name, report)
    write_bytes(picture, encode_png(_draw(data)))
    LOGGER.info(f"sample overlays: {picture}")
    return data


def _show_classes(data: PreparedData) -> None:
    rows = [
        (f"{index} {name}", *_share(data.train, index), *_share(data.validation, index))
        for index, name in enumerate(data.class_names)
    ]
    columns = ("class", "train pixels", "%", "validation pixels", "%")
    table("Labelled pixels", columns, rows)


def _share(report: DataReport, index: int) -> tuple[str, str]:
    pixels = int(report.histogram[index])
    return f"{pixels:,}", f"{100 * pixels / max(int(report.histogram.sum()), 1):.2f}"


def _show_channel(name: str, report: DataReport) -> None:
    (height, width), count = max(report.sizes, key=lambda entry: entry[1])
    others = len(report.sizes) - 1
    ignored = report.ignored_pixels / max(report.ignored_pixels + int(report.histogram.sum()), 1)
    print(
        f"{name}: {len(report.pairs)} pairs, {len(report.left_out)} left out; {count} of {width}x{height} pixels"
        + (f" and {others} other sizes" if others else "")
        + f"; {100 * ignored:.1f} % of pixels ignored"
    )


def _draw(data: PreparedData) -> NDArray[np.uint8]:
    half = _SAMPLES // 2
    tiles = _tiles(data.train, data.train_map, data.palette, half)
    tiles += _tiles(data.validation, data.validation_map, data.palette, half)
    legend = [
        (name, (int(red), int(green), int(blue)))
        for name, (red, green, blue) in zip(data.class_names, data.palette, strict=True)
    ]
    return contact_sheet(tiles, legend, columns=half)


def _tiles(report: DataReport, label_map: LabelMap, palette: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    chosen = np.linspace(0, len(report.pairs) - 1, min(count, len(report.pairs))).astype(int)
    return [_tile(*read_pair(report.pairs[index], label_map), palette) for index in chosen]


def _tile(image: NDArray[np.uint8], mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (_TILE_WIDTH, max(round(image.shape[0] * _TILE_WIDTH / image.shape[1]), 1))
    smaller = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    labels = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return overlay(smaller, labels, palette)
