"""The sample data set: street scenes in SageMaker's folders, ready to train on.

Knows folders, files and label maps; the pictures come from `segwright.sample_data`. The masks are made to
show what real data need: their pixel values are not class indices, so the label map matters, and some pixels
are to be ignored.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.errors import UserError
from segwright.formats.images import encode_jpeg
from segwright.formats.masks import encode_mask
from segwright.labels import IGNORE
from segwright.resources import available_cores
from segwright.sample_data import CLASS_NAMES, draw_scene
from segwright.storage import atomic_directory, write_bytes, write_json

FEWEST_IMAGES: Final = 3
SMALLEST_SIDE: Final = 64
LARGEST_SIDE: Final = 4096

PIXEL_VALUES: Final = (23, 11, 21, 7, 8, 26, 24)
"""What stands in the masks for each class: not its index, so that the label map is needed."""

_MARKER: Final = "sample.json"  # what the sample was drawn from; marks the folder as one that may be replaced

_COLOURS: Final = (
    (70, 130, 180), (150, 90, 80), (107, 162, 55), (128, 110, 140),
    (250, 210, 80), (40, 70, 200), (220, 30, 70),
)  # fmt: skip

_README: Final = """\
Sample data of Segwright: {images} drawn street scenes of {width} x {height} pixels, seed {seed}.

train, validation, test           the images, JPEG
train_annotation, ...             their masks, palette PNG: one number for every pixel
label_map/train_label_map.json    which number stands for which class; the same for all masks here
label_map/class_names.json        the names of classes 0, 1, 2, ...
sample.json                       number and size of the images and the seed, to draw the same again

"Road" is all paved ground, pavements included. 255 in a mask marks pixels that count neither in
training nor in evaluation: kerbs, lamps, signs, the bonnet of the camera's car, and a thin border
around everything that stands in the street.

The pictures come from a program; they show nobody and no place. Use them for whatever you like.
"""


def write_sample(
    directory: Path,
    images: int,
    width: int,
    height: int,
    seed: int,
    overwrite: bool,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw a data set of so many pairs in `directory`: 70 % to train on, 15 % to validate, 15 % to test.

    Picture number i depends on the size, the seed and i alone. `progress` is called with the numbers of
    pictures drawn and wanted. Raises UserError for numbers and sizes that make no data set, OutputExistsError
    when `directory` exists and is not to be overwritten, or holds anything but an earlier sample.
    """
    _check_bad_wishes(images, width, height, seed)
    with atomic_directory(directory, overwrite, _MARKER) as folder:
        splits = _split(images)
        for split in dict.fromkeys(splits):
            (folder / split).mkdir()
            (folder / f"{split}_annotation").mkdir()
        _draw_all(partial(_write_pair, folder, width, height, seed), splits, progress)
        _write_label_maps(folder / "label_map")
        wishes = {"images": images, "width": width, "height": height, "seed": seed}
        write_json(folder / _MARKER, wishes)
        write_bytes(folder / "README.txt", _README.format(**wishes).encode())


def _check_bad_wishes(images: int, width: int, height: int, seed: int) -> None:
    if images < FEWEST_IMAGES:
        raise UserError(
            f"A sample of {images} images cannot be split into train, validation and test. "
            f"Ask for {FEWEST_IMAGES} or more."
        )
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (width, height)):
        raise UserError(
            f"Sample images of {width}x{height} pixels cannot be drawn: both sides must be from "
            f"{SMALLEST_SIDE} to {LARGEST_SIDE} pixels, for example 320x240."
        )
    if seed < 0:
        raise UserError(f"The seed must be 0 or a larger whole number, not {seed}.")


def _split(images: int) -> list[str]:
    """The folder of each picture."""
    held_out = max(1, round(0.15 * images))
    return ["train"] * (images - 2 * held_out) + ["validation"] * held_out + ["test"] * held_out


def _draw_all(draw: Callable[[int, str], None], splits: list[str], progress: Callable[[int, int], None] | None) -> None:
    """Draw every picture, on all processors; after a failure or Ctrl-C, those not begun are not."""
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            drawing = [pool.submit(draw, index, split) for index, split in enumerate(splits)]
            for done, pair in enumerate(as_completed(drawing), start=1):
                pair.result()
                if progress:
                    progress(done, len(splits))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_pair(folder: Path, width: int, height: int, seed: int, index: int, split: str) -> None:
    image, classes = draw_scene(np.random.default_rng([seed, index]), width, height)
    name = f"scene_{index:05d}"
    (folder / split / f"{name}.jpg").write_bytes(encode_jpeg(image))
    mask = encode_mask(_PIXEL_OF_CLASS[classes], _PALETTE)
    (folder / f"{split}_annotation" / f"{name}.png").write_bytes(mask)


def _write_label_maps(folder: Path) -> None:
    folder.mkdir()
    label_map = {"map": {str(index): value for index, value in enumerate(PIXEL_VALUES)}}
    write_json(folder / "train_label_map.json", label_map)
    write_json(folder / "validation_label_map.json", label_map)
    write_json(folder / "class_names.json", list(CLASS_NAMES))


def _pixel_of_class() -> NDArray[np.uint8]:
    table = np.full(256, IGNORE, np.uint8)
    table[: len(PIXEL_VALUES)] = PIXEL_VALUES
    return table


def _palette() -> NDArray[np.uint8]:
    palette = np.zeros((max(PIXEL_VALUES) + 1, 3), np.uint8)
    palette[list(PIXEL_VALUES)] = _COLOURS
    return palette


_PIXEL_OF_CLASS: Final = _pixel_of_class()
_PALETTE: Final = _palette()
