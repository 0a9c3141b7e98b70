"""Small pictures to import, and a look at what an import wrote, through the door by which training takes it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segwright.checks.classes import settle_classes
from segwright.checks.prepare import CheckedData, prepare
from segwright.data.channels import Channels
from segwright.data.pairs import read_mask_numbers

HEIGHT, WIDTH = 6, 8
Palette = Sequence[tuple[int, int, int]]


def save_image(path: Path, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> bytes:
    """Save a noisy picture, and return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


def halves(left: int, right: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A mask of two values side by side."""
    mask = np.full((height, width), left, np.uint8)
    mask[:, width // 2 :] = right
    return mask


def save_mask(path: Path, mask: NDArray[np.uint8], palette: Palette | None = None) -> None:
    """Save a mask: with a palette as palette PNG, else as grey or RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask)
    if palette is not None:
        picture.putpalette(np.array(palette, np.uint8).tobytes())
    picture.save(path)


def painted(mask: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """The RGB picture of a mask."""
    return np.array(palette, np.uint8)[mask]


def checked(output: Path) -> CheckedData:
    """What a training would make of an import."""
    channels = Channels.locate(output)
    return prepare(channels, settle_classes(channels))


def masks(output: Path) -> dict[str, NDArray[np.uint8]]:
    """The classes of every pixel of all imported pairs, by key, after the label map."""
    data = checked(output)
    return {
        pair.key: channel.label_map.apply(read_mask_numbers(pair))
        for channel in data.channels
        for pair in channel.pairs
    }


def names(folder: Path) -> set[str]:
    """The files below a folder, by relative path."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
