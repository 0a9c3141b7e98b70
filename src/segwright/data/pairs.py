"""A pair: an image and its mask as bytes that lie somewhere, and as the pixels and classes in them."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.crops import Crop
from segwright.data.transforms import apply_crop
from segwright.data.unread import UnreadFiles
from segwright.errors import DataError
from segwright.formats.images import EncodedImage
from segwright.formats.masks import DecodedMask, MaskArray, PaletteClasses, decode_mask
from segwright.formats.pixels import RGB, PixelFormat, Pixels
from segwright.labels import IGNORE, LabelMap
from segwright.storage import Blob


@dataclass(frozen=True)
class Pair:
    """An image and its mask."""

    key: str
    """Tells it from the others of its channel: in folders the image's path, without ending, with forward slashes."""
    image: Blob
    mask: Blob
    palette_classes: PaletteClasses = ()
    """The colours of the mask's indices, where a labelling tool states them: they correct a wrong palette."""


@dataclass(frozen=True)
class Pairing:
    """What a channel holds: the pairs, sorted by key, and the names of files that found no partner."""

    pairs: tuple[Pair, ...]
    unpaired_images: tuple[str, ...] = ()
    unpaired_masks: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()  # a sentence for each assumption by which files were paired whose paths are not equal
    unread: tuple[UnreadFiles, ...] = ()


def read_pair(
    pair: Pair, label_map: LabelMap, pixel_format: PixelFormat = RGB, *, num_classes: int | None = None
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Read one image, [H, W, bands] of the form's type, and its mask, uint8 [H, W] of class indices.

    Raises DataError where bytes cannot be decoded, sizes differ, or the mask holds a class of `num_classes` or more;
    None stands for a mask that was checked before.
    """
    image = EncodedImage(pair.image.read(), pair.image.name).decode(pixel_format)
    return image, _fitting(pair, label_map, image.shape[:2], num_classes)


def read_crop(
    pair: Pair,
    label_map: LabelMap,
    pixel_format: PixelFormat,
    draw: Callable[[NDArray[np.uint8]], Crop],
    padding: int = IGNORE,
    *,
    num_classes: int | None = None,
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Read one crop of a pair: image [size, size, bands] and mask, uint8 [size, size].

    `draw` makes the crop of an image with that mask, uint8 [H, W]. A JPEG of which the crop shows a reduced copy is
    decoded at a half, a quarter or an eighth of its size, never smaller than the copy. Raises DataError as `read_pair`.
    """
    image = EncodedImage(pair.image.read(), pair.image.name)
    mask = _fitting(pair, label_map, image.size(pixel_format.exif_transposed), num_classes)
    crop = draw(mask)
    pixels, reduction = image.decode_reduced(pixel_format, crop.reduction, spare=True)
    return apply_crop(crop, pixels, mask, padding, reduction, pixel_format.bands)


def read_mask_numbers(pair: Pair) -> MaskArray:
    """The numbers stored in a pair's mask, [H, W]; raises DataError."""
    return decode_mask_of(pair, pair.mask.read()).numbers


def decode_mask_of(pair: Pair, data: bytes) -> DecodedMask:
    """Decode the bytes of a pair's mask; raises DataError."""
    return decode_mask(data, pair.mask.name, pair.palette_classes)


def _fitting(pair: Pair, label_map: LabelMap, size: tuple[int, ...], num_classes: int | None) -> NDArray[np.uint8]:
    """The class of every pixel of a pair's mask, which must be as large as its image and hold no other classes."""
    mask = label_map.apply(read_mask_numbers(pair))
    if mask.shape != size:
        raise DataError(
            f"{pair.image.name} is {size[1]}x{size[0]} pixels but its mask {pair.mask.name} is "
            f"{mask.shape[1]}x{mask.shape[0]}: they must be equal."
        )
    if num_classes is not None and cv2.countNonZero(cv2.inRange(mask, num_classes, IGNORE - 1)):
        raise DataError(f"{pair.mask.name} holds a class outside 0 to {num_classes - 1}.")
    return mask
