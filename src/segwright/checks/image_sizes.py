"""What is remarkable about the sizes of pictures, against each other and against the crops of the training.

Knows base_size and crop_size, and what random scaling makes of a picture. Refuses to know masks and classes.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.findings import ChannelStatistics, image_names
from segwright.findings import Finding

_SCALES: Final = np.linspace(0.5, 2.0, 16)  # what base_size is multiplied by
_PADDED: Final = 0.25  # of a crop's area, on average
_SHRUNK: Final = 3.0  # times
_ENLARGED: Final = 2.0
_VARIED: Final = 4.0  # the largest long side over the smallest
_ELONGATED: Final = 3.0  # the same of width over height
_UNLIKE: Final = 2.0  # train's long side over validation's, or the reverse


def proportions(
    train: ChannelStatistics, validation: ChannelStatistics, base_size: int, crop_size: int
) -> Iterator[Finding]:
    """What is remarkable about sizes and shapes; `base_size` and `crop_size` are in pixels."""
    if len(train.readings):
        yield from _padded(train, base_size, crop_size)
        yield from _scaled(train, base_size)
        yield from _varied(train)
    if len(train.readings) and len(validation.readings):
        yield from _unlike(train, validation)


def _padded(train: ChannelStatistics, base_size: int, crop_size: int) -> Iterator[Finding]:
    scaled = train.sizes / train.sizes.max(1, keepdims=True) * base_size  # [N, 2]
    inside = np.minimum(scaled[:, None] * _SCALES[:, None], crop_size) / crop_size  # [N, scales, 2]
    padded = 1 - float(inside.prod(2).mean())
    if padded <= _PADDED:
        return
    height, width = np.median(scaled, 0)
    smaller = max(int(min(height, width)) // 8 * 8, 24)
    yield Finding(
        "warning",
        train.channel,
        f"on average {100 * padded:.0f} % of a training crop lies beside its picture: crop_size is {crop_size}, and at "
        f"base_size {base_size} a typical picture is {width:.0f}x{height:.0f} pixels.",
        f"Try --crop-size {smaller}, or a larger --base-size.",
    )


def _scaled(train: ChannelStatistics, base_size: int) -> Iterator[Finding]:
    height, width = np.median(train.sizes, 0)
    long_side = max(height, width)
    size = f"a typical picture is {width:.0f}x{height:.0f} pixels"
    if (factor := long_side / base_size) >= _SHRUNK:
        yield Finding(
            "warning",
            train.channel,
            f"{size} and is shrunk about {factor:.1f} times for training (base_size {base_size}): what is thinner than "
            f"some {2 * factor:.0f} pixels is lost.",
            f"Where such things matter, raise --base-size towards {long_side:.0f}, or cut the pictures into tiles.",
        )
    elif (factor := base_size / long_side) >= _ENLARGED:
        yield Finding(
            "note",
            train.channel,
            f"{size} and is enlarged about {factor:.1f} times for training (base_size {base_size}): that costs time "
            "and shows nothing new.",
            f"Try --base-size {long_side:.0f}.",
        )


def _varied(train: ChannelStatistics) -> Iterator[Finding]:
    long_side, aspect = train.sizes.max(1), train.sizes[:, 1] / train.sizes[:, 0]
    measure: NDArray[np.float64] | NDArray[np.int64]
    for measure, limit, how in (
        (
            long_side,
            _VARIED,
            "All are brought to one longer side, so that like things differ in size: sort out what "
            "does not belong together.",
        ),
        (aspect, _ELONGATED, "Long pictures fill a square crop badly: cut them, where that is possible."),
    ):
        if measure.max() >= limit * measure.min():
            ends = [train.readings[int(index)] for index in (measure.argmin(), measure.argmax())]
            sizes = " and ".join(f"{one.image_size[1]}x{one.image_size[0]}" for one in ends)
            kind = "size" if measure is long_side else "shape"
            yield Finding(
                "note", train.channel, f"the pictures are of very different {kind}: {sizes}.", how, image_names(ends), 2
            )


def _unlike(train: ChannelStatistics, validation: ChannelStatistics) -> Iterator[Finding]:
    ours, theirs = np.median(train.sizes, 0), np.median(validation.sizes, 0)
    ratio = ours.max() / theirs.max()
    if not 1 / _UNLIKE < ratio < _UNLIKE:
        yield Finding(
            "note",
            validation.channel,
            f"typical pictures have {theirs[1]:.0f}x{theirs[0]:.0f} pixels, and {ours[1]:.0f}x{ours[0]:.0f} in train.",
            "Scores count most where validation is like what the model will see later.",
        )
