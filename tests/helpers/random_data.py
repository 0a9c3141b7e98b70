"""Small data sets with random labels, settings and faults, and what the data check has to say of them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.uint8]

PALETTE = [0, 0, 0, 200, 60, 60, 60, 200, 60, 60, 60, 200, 200, 200, 60]
OTHER_PALETTE = [0, 0, 0, 60, 200, 60, 200, 60, 60, 60, 60, 200, 200, 200, 60]


@dataclass
class RandomData:
    """A data set on the disk, the settings to check it with, and the rules that have to refuse it."""

    root: Path
    num_classes: int | None = None
    bands: int | None = None
    upright: bool = False
    strict: bool = False
    is_right: bool = False
    """Whether nothing is wrong, so that it has to be accepted."""
    refusing: set[tuple[str, str]] = field(default_factory=set)
    """Rules and channels of errors that have to be found, among others."""
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Of right data: the training pixels of each class."""


def draw(root: Path, seed: int) -> RandomData:
    """Draw the data set of a seed below an empty folder."""
    rng = np.random.default_rng(seed)
    data = RandomData(root)
    classes = int(rng.integers(2, 5))
    _write_pairs(data, rng, classes)
    if rng.random() < 0.25:
        _settle_rightly(data, rng, classes)
        return data
    _spoil_values(data, rng, classes)
    _add_label_maps(data, rng, classes)
    data.num_classes = _pick(rng, None, None, classes, max(classes - 1, 2), classes + 1, 9)
    data.bands = _pick(rng, None, None, None, 1, 3, 4)
    data.upright, data.strict = bool(rng.random() < 0.3), bool(rng.random() < 0.3)
    for split in ("train", "validation"):
        if rng.random() < 0.35:
            FAULTS[rng.integers(len(FAULTS))](data, split, rng)
    return data


def _pick(rng: np.random.Generator, *choices: int | None) -> int | None:
    return choices[rng.integers(len(choices))]


def image_files(data: RandomData, split: str) -> list[Path]:
    return sorted((data.root / split).iterdir())


def mask_of(image: Path) -> Path:
    return image.parents[1] / f"{image.parent.name}_annotation" / f"{image.stem}.png"


def _write_pairs(data: RandomData, rng: np.random.Generator, classes: int) -> None:
    ending = rng.choice(["png", "jpg"])
    for split in ("train", "validation"):
        for folder in (split, f"{split}_annotation"):
            (data.root / folder).mkdir(parents=True)
        for index in range(rng.integers(2, 6)):
            height, width = rng.integers(4, 13, 2)
            image = data.root / split / f"{index}.{ending}"
            Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(image)
            mask = rng.integers(0, classes, (height, width), np.uint8)
            mask.flat[:classes] = np.arange(classes)
            _save(mask, mask_of(image))


def _settle_rightly(data: RandomData, rng: np.random.Generator, classes: int) -> None:
    """Masks of classes, or of other numbers with the label map that names them."""
    data.is_right = True
    _map_masks(data, lambda mask: np.where(rng.random(mask.shape) < 0.1, 255, mask).astype(np.uint8))
    masks = [np.asarray(_load(mask_of(image))) for image in image_files(data, "train")]
    data.pixels = sum(
        (np.bincount(mask.ravel(), minlength=256)[:classes] for mask in masks), np.zeros(classes, np.int64)
    )
    data.num_classes = _pick(rng, None, classes)
    if rng.random() < 0.5:
        step, first = int(rng.integers(1, 30)), int(rng.integers(0, 20))
        _map_masks(data, lambda mask: np.where(mask == 255, 255, mask * step + first).astype(np.uint8))
        _write(data, "train_label_map", {"map": {str(index): index * step + first for index in range(classes)}})


def _spoil_values(data: RandomData, rng: np.random.Generator, classes: int) -> None:
    """Masks of other numbers, in both channels or in one of them."""
    step, first = int(rng.integers(1, 100)), int(rng.integers(0, 3))
    stray = int(rng.integers(0, 256))
    changes: list[Callable[[Mask], NDArray[Any]]] = [
        lambda mask: mask,
        lambda mask: np.where(mask == 1, 255, mask),
        lambda mask: np.where(mask > 0, 255, 0),
        lambda mask: np.minimum(mask.astype(int) * step + first, 255),
        lambda mask: mask + first,
        lambda mask: mask * (255 // max(int(mask.max()), 1)),
        lambda mask: mask * 0,
        lambda mask: np.full_like(mask, 255),
        lambda mask: np.where(rng.random(mask.shape) < 0.05, stray, mask),
        lambda mask: rng.integers(0, 256, mask.shape),
    ]
    change = changes[rng.integers(len(changes))]
    _map_masks(data, change, "train")
    _map_masks(data, change if rng.random() < 0.6 else changes[rng.integers(len(changes))], "validation")


def _add_label_maps(data: RandomData, rng: np.random.Generator, classes: int) -> None:
    values = np.unique(np.concatenate([np.asarray(_load(file)).ravel() for file in data.root.glob("*_annotation/*")]))
    numbers = [int(value) for value in values[: rng.integers(1, 8)]]
    documents: list[Any] = [
        {"map": {str(index): value for index, value in enumerate(numbers)}},
        {"map": {str(index + 1): value for index, value in enumerate(numbers)}},
        {"map": {str(min(value, 253)): index for index, value in enumerate(numbers)}},
        {"map": {str(index): index for index in range(classes)}},
        {"map": {"0": numbers}},
        {"scale": int(rng.integers(1, 100))},
        {"map": {str(index): value for index, value in enumerate(numbers)}, "class_names": list("abcdefg")[:classes]},
        "no label map",
    ]
    for name in ("train_label_map", "validation_label_map"):
        if rng.random() < 0.35:
            _write(data, name, documents[rng.integers(len(documents))])
    if rng.random() < 0.15:
        _write(data, "class_names", list("abcdefg")[: rng.integers(1, 6)])


def _truncate(data: RandomData, split: str, rng: np.random.Generator) -> None:
    image = image_files(data, split)[0]
    file = image if rng.random() < 0.5 else mask_of(image)
    file.write_bytes(file.read_bytes()[:40])
    if data.strict:
        data.refusing.add(("left_out", split))


def _remove_one(data: RandomData, split: str, rng: np.random.Generator) -> None:
    image = image_files(data, split)[0]
    (image if rng.random() < 0.5 else mask_of(image)).unlink()
    if data.strict:
        data.refusing.add(("left_out", split))


def _remove_all(data: RandomData, split: str, rng: np.random.Generator) -> None:
    for image in image_files(data, split):
        image.unlink()
    data.refusing.add(("pairing", split))


def _resize(data: RandomData, split: str, rng: np.random.Generator) -> None:
    file = mask_of(image_files(data, split)[-1])
    _save(np.resize(np.asarray(_load(file)), (15, 14)), file)
    data.refusing.add(("sizes_match", split))


def _copy_image(data: RandomData, split: str, rng: np.random.Generator) -> None:
    image = image_files(data, split)[-1]
    if image.suffix == ".png":
        _load(image).convert("L").save(image)
        shutil.copy(image, mask_of(image))
        data.refusing.add(("mask_is_image", split))


def _colour_mask(data: RandomData, split: str, rng: np.random.Generator) -> None:
    file = mask_of(image_files(data, split)[-1])
    Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(file)
    if data.strict:
        data.refusing.add(("left_out", split))


def _deepen(data: RandomData, split: str, rng: np.random.Generator) -> None:
    image = image_files(data, split)[-1]
    if image.suffix == ".png":
        width, height = _load(image).size
        Image.fromarray(rng.integers(0, 65536, (height, width), np.uint16)).save(image)


def _rotate(data: RandomData, split: str, rng: np.random.Generator) -> None:
    for image in image_files(data, split):
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(2, 9))
        _load(image).save(image, exif=exif)


def _palettes(data: RandomData, split: str, rng: np.random.Generator) -> None:
    palettes = [PALETTE, OTHER_PALETTE] if rng.random() < 0.7 else [PALETTE]
    for number, image in enumerate(image_files(data, split)):
        picture = _load(mask_of(image))
        picture.putpalette(palettes[number % len(palettes)])
        picture.save(mask_of(image))


FAULTS = (_truncate, _remove_one, _remove_all, _resize, _copy_image, _colour_mask, _deepen, _rotate, _palettes)


def _map_masks(data: RandomData, change: Callable[[Mask], NDArray[Any]], split: str = "*") -> None:
    for file in sorted(data.root.glob(f"{split}_annotation/*.png")):
        _save(change(np.asarray(_load(file))).astype(np.uint8), file)


def _save(mask: Mask, file: Path) -> None:
    Image.fromarray(mask).save(file)


def _write(data: RandomData, name: str, document: Any) -> None:
    (data.root / "label_map").mkdir(exist_ok=True)
    (data.root / "label_map" / f"{name}.json").write_text(json.dumps(document))


def _load(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture
