"""Small pictures with something to learn, and the smallest network that can learn it."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from segwright.console import PACKAGE_LOGGER
from segwright.formats.quiet import silence_decoders

TINY_BACKBONE = "test_resnet"

# The suite runs in several processes: one thread each keeps them from fighting over the cores.
torch.set_num_threads(1)
cv2.setNumThreads(0)
os.environ["OMP_NUM_THREADS"] = "1"

# A busy machine is no reason to fail.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

Draw = Callable[..., Path]


@pytest.fixture
def quiet_decoders() -> Iterator[None]:
    """A process that entry points have silenced."""
    loggers = [logging.getLogger(name) for name in ("PIL", "tifffile")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        silence_decoders()
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@contextmanager
def restored_logging() -> Iterator[None]:
    """Commands that are run in this process set up the package's log, which others must not see."""
    before = (PACKAGE_LOGGER.handlers[:], PACKAGE_LOGGER.level, PACKAGE_LOGGER.propagate)
    yield
    PACKAGE_LOGGER.handlers[:], PACKAGE_LOGGER.level, PACKAGE_LOGGER.propagate = before


@pytest.fixture(autouse=True)
def undisturbed_logging() -> Iterator[None]:
    with restored_logging():
        yield


def blocks(seed: int, height: int = 40, width: int = 48) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A noisy picture of three colours, and the mask, of classes 0, 1, 2, that says which is where."""
    generator = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 :] = 1
    top, left = generator.integers(4, height // 2), generator.integers(4, width // 2)
    mask[top : top + height // 3, left : left + width // 3] = 2
    colours = np.array([[40, 60, 200], [60, 180, 60], [220, 60, 40]])
    image = colours[mask] + generator.normal(0, 12, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), mask


@pytest.fixture
def channels_folder(tmp_path: Path) -> Draw:
    """A function that draws the four channels into a folder and returns it."""

    def draw(train: int = 8, validation: int = 3, height: int = 40, width: int = 48) -> Path:
        data = tmp_path / "data"
        for channel, count, first in (("train", train, 0), ("validation", validation, 1000)):
            images, masks = data / channel, data / f"{channel}_annotation"
            images.mkdir(parents=True)
            masks.mkdir()
            for index in range(count):
                image, mask = blocks(first + index, height, width)
                Image.fromarray(image).save(images / f"{index:03}.jpg", quality=95)
                Image.fromarray(mask).save(masks / f"{index:03}.png")
        return data

    return draw
