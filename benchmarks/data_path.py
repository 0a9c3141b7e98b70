"""Training crops a second and core, from JPEG and PNG bytes to integer arrays, beside other chains and decoding.

    python benchmarks/data_path.py CAMVID

CAMVID holds train and train_annotation. All contestants take the same bytes from memory, one after the other on one
core, and make crops of the same size at the same range of scales:

    segwright    `data.pairs.read_crop`, what a loader's worker does
    gluoncv      the chain of GluonCV's `_sync_transform`: PIL resizes the whole picture, then crops and blurs
    torchvision  transforms v2 on tensors: resize the whole picture, crop, flip, blur
    decoding     simplejpeg and Pillow, nothing else; for large pictures also at the reduced scale that the crop allows

Freed memory is kept, as every training does. Pictures of two megapixels are Segwright's own drawn street scenes, at
1920x1080. The figures are medians over rounds in which the contestants take turns.
"""

import argparse
import io
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from segwright.data.crops import Crop, random_crop
from segwright.data.folders import find_pairs
from segwright.data.pairs import Pair, read_crop
from segwright.formats.images import EncodedImage, encode_jpeg
from segwright.formats.masks import decode_mask, encode_mask
from segwright.formats.pixels import RGB
from segwright.labels import IGNORE, LabelMap
from segwright.networks.timm_import import timm  # declares what torchvision needs before it is imported
from segwright.palettes import default_palette
from segwright.resources import keep_freed_memory
from segwright.sample_data import draw_scene
from segwright.storage import BytesBlob

assert timm
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

ROUNDS = 5
IDENTITY = LabelMap.identity()


@dataclass(frozen=True)
class Task:
    """What is cut from what."""

    name: str
    pairs: Sequence[Pair]
    base_size: int
    crop_size: int


def segwright_crop(task: Task, number: int) -> object:
    """One crop by ours."""
    return read_crop(task.pairs[number], IDENTITY, RGB, partial(drawn, task, number))


def drawn(task: Task, number: int, mask: NDArray[np.uint8]) -> Crop:
    """The crop that the loader would draw."""
    return random_crop(np.random.default_rng([0, 0, number]), mask, task.base_size, task.crop_size)


def gluoncv_crop(task: Task, number: int) -> object:
    """GluonCV, gluoncv/data/segbase.py, `_sync_transform`, without its conversion to MXNet arrays."""
    pair = task.pairs[number]
    image = Image.open(io.BytesIO(pair.image.read())).convert("RGB")
    mask: Image.Image = Image.open(io.BytesIO(pair.mask.read()))
    chance = random.Random(number)
    if chance.random() < 0.5:
        image, mask = (each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in (image, mask))
    crop_size, (width, height) = task.crop_size, image.size
    long_side = chance.randint(int(task.base_size * 0.5), int(task.base_size * 2.0))
    size = scaled(width, height, long_side)
    image, mask = image.resize(size, Image.Resampling.BILINEAR), mask.resize(size, Image.Resampling.NEAREST)
    if min(size) < crop_size:
        padded = (max(size[0], crop_size), max(size[1], crop_size))
        image, mask = image.crop((0, 0, *padded)), mask.crop((0, 0, *padded))
    left, top = chance.randint(0, image.width - crop_size), chance.randint(0, image.height - crop_size)
    box = (left, top, left + crop_size, top + crop_size)
    image, mask = image.crop(box), mask.crop(box)
    if chance.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(radius=chance.random()))
    return np.array(image), np.array(mask)


def torchvision_crop(task: Task, number: int) -> object:
    """Torchvision's transforms v2, put together as its reference recipe for segmentation does."""
    pair = task.pairs[number]
    image = tv_tensors.Image(torch.from_numpy(np.array(Image.open(io.BytesIO(pair.image.read())))).permute(2, 0, 1))
    mask = tv_tensors.Mask(torch.from_numpy(np.array(Image.open(io.BytesIO(pair.mask.read())))))
    chance = random.Random(number)
    width, height = scaled(
        image.shape[2], image.shape[1], chance.randint(int(task.base_size * 0.5), int(task.base_size * 2.0))
    )
    chain = v2.Compose(
        [
            v2.Resize((height, width), antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomCrop(task.crop_size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}),
            v2.RandomApply([v2.GaussianBlur(7, (0.01, 1.0))], 0.5),
        ]
    )
    return chain(image, mask)


def decoded(task: Task, number: int) -> object:
    """Both files decoded whole."""
    pair = task.pairs[number]
    image = simplejpeg.decode_jpeg(pair.image.read(), colorspace="RGB")
    return image, np.array(Image.open(io.BytesIO(pair.mask.read())))


def decoded_reduced(task: Task, number: int) -> object:
    """Both files decoded, the image no larger than the crop needs."""
    pair = task.pairs[number]
    mask = decode_mask(pair.mask.read(), pair.mask.name).numbers
    return EncodedImage(pair.image.read(), pair.image.name).decode_reduced(
        RGB, drawn(task, number, *mask.shape).reduction
    ), mask


def scaled(width: int, height: int, long_side: int) -> tuple[int, int]:
    """The size of a picture whose long side becomes `long_side`."""
    factor = long_side / max(width, height)
    return max(int(width * factor + 0.5), 1), max(int(height * factor + 0.5), 1)


CONTESTANTS: dict[str, Callable[[Task, int], object]] = {
    "segwright": segwright_crop,
    "gluoncv": gluoncv_crop,
    "torchvision": torchvision_crop,
    "decoding": decoded,
    "decoding, reduced": decoded_reduced,
}


def measure(task: Task) -> dict[str, float]:
    """Medians of crops a second, by contestant; they take turns."""
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(ROUNDS):
        for name, make in CONTESTANTS.items():
            start = time.perf_counter()
            for number in range(len(task.pairs)):
                make(task, number)
            rates[name].append(len(task.pairs) / (time.perf_counter() - start))
    ratios = {
        name: statistics.median(ours / other for ours, other in zip(rates["segwright"], rates[name], strict=True))
        for name in rates
    }
    for name in rates:
        rate = statistics.median(rates[name])
        print(f"{task.name:28} {name:18} {rate:8.0f} crops/s   segwright / it {ratios[name]:.2f}")
    return ratios


def in_memory(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs with their bytes held."""
    return [
        Pair(pair.key, BytesBlob(pair.image.name, pair.image.read()), BytesBlob(pair.mask.name, pair.mask.read()))
        for pair in pairs
    ]


def large_pairs(count: int) -> list[Pair]:
    """Drawn scenes of two megapixels."""
    made = []
    for number in range(count):
        image, mask = draw_scene(np.random.default_rng(number), 1920, 1080)
        palette = default_palette(16)
        made.append(
            Pair(str(number), BytesBlob("image", encode_jpeg(image)), BytesBlob("mask", encode_mask(mask, palette)))
        )
    return made


def main() -> None:
    """Measure all tasks and print a line for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path)
    data = parser.parse_args().camvid
    keep_freed_memory()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    camvid = in_memory(find_pairs(data / "train", data / "train_annotation").pairs[:150])
    large = large_pairs(12)
    for task in (
        Task("CamVid 480x360, crop 240", camvid, 520, 240),
        Task("CamVid 480x360, crop 480", camvid, 520, 480),
        Task("1920x1080, crop 240", large, 520, 240),
        Task("1920x1080, crop 480", large, 1040, 480),
    ):
        measure(task)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
