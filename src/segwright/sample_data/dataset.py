"""Writes drawn street scenes into SageMaker's folders, ready to train on.

Pixel values in the masks are not class indices, so that the label map matters, and some pixels are to be ignored.
"""

from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from segwright.console import progress
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
training nor in evaluation: kerbs, lamps, and a thin border around everything that stands in the street.

A program drew the images; they show no real person or street. Use them for whatever you like.
"""


def write_sample(directory: Path, images: int, width: int, height: int, seed: int, overwrite: bool) -> None:
    """Draw a data set of so many pairs in `directory`: 70 % to train on, 15 % to validate, 15 % to test.

    Image i depends on the size, the seed and i alone. Raises UserError for numbers and sizes that make no data set,
    OutputExistsError when `directory` exists and is not to be overwritten, or holds anything but an earlier sample.
    """
    _check(images, width, height, seed)
    held_out = max(1, round(0.15 * images))
    splits = ["train"] * (images - 2 * held_out) + ["validation"] * held_out + ["test"] * held_out
    with atomic_directory(directory, overwrite, _MARKER) as folder, progress("drawing", images) as advance:
        for split in ("train", "validation", "test"):
            (folder / split).mkdir()
            (folder / f"{split}_annotation").mkdir()
        with ThreadPoolExecutor(available_cores()) as pool:
            try:
                write = partial(_write_pair, folder, width, height, seed)
                for written in as_completed([pool.submit(write, index, split) for index, split in enumerate(splits)]):
                    written.result()
                    advance(1, "images")
            except BaseException:  # Ctrl-C too: images that are not begun are not drawn
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        (folder / "label_map").mkdir()
        label_map = {"map": {str(index): value for index, value in enumerate(PIXEL_VALUES)}}
        for split in ("train", "validation"):
            write_json(folder / "label_map" / f"{split}_label_map.json", label_map)
        write_json(folder / "label_map" / "class_names.json", list(CLASS_NAMES))
        options = {"images": images, "width": width, "height": height, "seed": seed}
        write_json(folder / _MARKER, options)
        write_bytes(folder / "README.txt", _README.format(**options).encode())


def _check(images: int, width: int, height: int, seed: int) -> None:
    if images < FEWEST_IMAGES:
        raise UserError(
            f"A sample of {images} images cannot be split into train, validation and test. Ask for {FEWEST_IMAGES} or "
            "more."
        )
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (width, height)):
        raise UserError(
            f"Sample images of {width}x{height} pixels cannot be drawn: both sides must be from {SMALLEST_SIDE} to "
            f"{LARGEST_SIDE} pixels, for example 320x240."
        )
    if seed < 0:
        raise UserError(f"The seed must be 0 or a larger whole number, not {seed}.")


def _write_pair(folder: Path, width: int, height: int, seed: int, index: int, split: str) -> None:
    image, classes = draw_scene(np.random.default_rng([seed, index]), width, height)
    name = f"scene_{index:05d}"
    (folder / split / f"{name}.jpg").write_bytes(encode_jpeg(image))
    values = np.full(256, IGNORE, np.uint8)
    values[: len(PIXEL_VALUES)] = PIXEL_VALUES
    palette = np.zeros((max(PIXEL_VALUES) + 1, 3), np.uint8)
    palette[list(PIXEL_VALUES)] = _COLOURS
    (folder / f"{split}_annotation" / f"{name}.png").write_bytes(encode_mask(values[classes], palette))
