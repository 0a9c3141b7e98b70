"""One pair from its two files: pixels and classes, as training, scoring and overlays take them.

Knows decoders and label maps. Refuses to know crops, batches and torch.
"""

import numpy as np
from numpy.typing import NDArray

from segwright.data.folders import Pair
from segwright.errors import DataError
from segwright.formats.images import decode_image
from segwright.formats.masks import decode_mask
from segwright.labels import LabelMap


def read_pair(pair: Pair, label_map: LabelMap) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read one image, uint8 [H, W, 3], and its mask, uint8 [H, W] of class indices.

    Raises DataError where a file cannot be read or the two sizes differ.
    """
    image = decode_image(_read(pair, "image"), str(pair.image))
    mask = label_map.apply(decode_mask(_read(pair, "mask"), str(pair.mask)))
    if image.shape[:2] != mask.shape:
        raise DataError(
            f"{pair.image} is {image.shape[1]}x{image.shape[0]} pixels but its mask {pair.mask} is "
            f"{mask.shape[1]}x{mask.shape[0]}: they must be equal"
        )
    return image, mask


def _read(pair: Pair, side: str) -> bytes:
    path = pair.image if side == "image" else pair.mask
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
