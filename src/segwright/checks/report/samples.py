"""Images to look at: which of them, and each as a small JPEG beside itself with its classes laid over."""

import base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.checks.channel_statistics import ChannelStatistics
from segwright.checks.image_orientation import fits_either_way
from segwright.checks.prepare import CheckedData
from segwright.checks.scan import PairScan
from segwright.data.pairs import read_mask_numbers
from segwright.errors import DataError
from segwright.formats.images import EncodedImage, encode_jpeg
from segwright.labels import HIGHEST_CLASS, IGNORE, LabelMap
from segwright.palettes import default_palette
from segwright.visualization import background, displayable, overlay
from segwright.wording import printable

STRANGE: Final = (255, 0, 255)  # colour of pixels whose value is no class

_FROM_EACH: Final = (8, 4, 4)  # train, validation and test
_PER_FINDING: Final = 2
_FROM_FINDINGS: Final = 8
_LONG_SIDE: Final = 640  # pixels
_QUALITY: Final = 78
_BUDGET: Final = 4_000_000  # bytes of all images together, so that the page opens quickly

Choice = tuple[ChannelStatistics, PairScan]


@dataclass(frozen=True)
class DrawnPair:
    """One image of a channel and its mask, as data URIs."""

    channel: str
    name: str
    height: int
    width: int
    mask_size: str  # width and height of the mask where they differ from the image's, else nothing
    image: str
    overlay: str
    classes: tuple[int, ...]  # the classes in the mask, those with most pixels first
    other_way: str  # `overlay` with the image turned the other way; nothing where it fits its mask in one way
    upright: bool  # whether the training turns images according to EXIF

    @property
    def length(self) -> int:
        """Of all its images, in bytes."""
        return len(self.image) + len(self.overlay) + len(self.other_way)


def draw_samples(data: CheckedData) -> tuple[list[DrawnPair], dict[str, DrawnPair]]:
    """Samples of all channels, and by file name those that findings mention, within a budget of bytes. Images that
    cannot be read any more are left out.
    """
    mentioned = list(_drawn(data, _mentioned(data), _BUDGET // 2))
    numbers = zip(data.channels, _FROM_EACH, strict=False)
    chosen = ((channel, channel.scans[index]) for channel, count in numbers for index in choose(channel, count))
    left = _BUDGET - sum(sample.length for sample in mentioned)
    return list(_drawn(data, chosen, left)), {sample.name: sample for sample in mentioned}


def choose(channel: ChannelStatistics, count: int) -> list[int]:
    """Up to `count` images of a channel, ascending: for each class that is not shown yet, the rarest first, the one
    with the largest share of it; then images at even distances.
    """
    pixels = channel.by_class
    shares = pixels / np.maximum(channel.pixels.sum(1, keepdims=True), 1)
    chosen: list[int] = []
    for index in np.argsort(channel.histogram, kind="stable"):
        if len(chosen) < count and channel.histogram[index] and not (pixels[chosen, index] > 0).any():
            chosen.append(int(shares[:, index].argmax()))
    others = np.setdiff1d(np.arange(len(channel.scans)), chosen)
    more = min(count - len(chosen), len(others))
    if more:
        chosen += others[np.linspace(0, len(others) - 1, more).round().astype(int)].tolist()
    return sorted(chosen)


def _mentioned(data: CheckedData) -> Iterator[Choice]:
    """The images of some files that findings mention, the gravest findings first."""
    known = {
        printable(name): (channel, scan)
        for channel in data.channels
        for scan in channel.scans
        for name in (scan.pair.image.name, scan.pair.mask.name)
    }
    readable = ([file for file in finding.files if file in known][:_PER_FINDING] for finding in data.findings)
    files = dict.fromkeys(file for some in readable for file in some)
    yield from (known[file] for file in list(files)[:_FROM_FINDINGS])


def _drawn(data: CheckedData, chosen: Iterable[Choice], budget: int) -> Iterator[DrawnPair]:
    """Draw some images, as long as the budget, in bytes, lasts."""
    palette = np.full((IGNORE, 3), STRANGE, np.uint8)
    own = data.palette if data.class_names else default_palette(IGNORE)
    palette[: len(own)] = own
    for channel, scan in chosen:
        values, label_map = channel.numbers.tolist(), channel.label_map
        if values and not channel.num_classes:  # each pixel value has a colour of its own
            label_map = LabelMap(
                values=tuple((value, index % (HIGHEST_CLASS + 1)) for index, value in enumerate(values))
            )
        try:
            clear = background(data.class_names) if channel.num_classes else ()
            sample = _draw(channel, scan, label_map, partial(overlay, palette=palette, clear=clear))
        except DataError:
            continue
        budget -= sample.length
        if budget < 0:
            return
        yield sample


def _draw(
    channel: ChannelStatistics,
    scan: PairScan,
    label_map: LabelMap,
    draw: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]],
) -> DrawnPair:
    """Draw one image; raises DataError where its files have become unreadable."""
    pair = scan.pair
    height, width = scan.image_size
    factor = min(_LONG_SIDE / max(height, width), 1)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    forms = [scan.pixel_format]
    if fits_either_way(scan):
        forms.append(replace(scan.pixel_format, exif_transposed=not scan.pixel_format.exif_transposed))
    images = []
    for pixel_format in forms:
        pixels, _ = EncodedImage(pair.image.read(), pair.image.name).decode_reduced(
            pixel_format, max(int(1 / factor), 1)
        )
        images.append(np.asarray(cv2.resize(displayable(pixels), size, interpolation=cv2.INTER_AREA), np.uint8))
    mask = label_map.apply(read_mask_numbers(pair))
    small = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    indices, counts = np.unique(mask, return_counts=True)
    classes = [int(index) for index in indices[np.argsort(-counts, kind="stable")] if index < channel.num_classes]
    mask_height, mask_width = scan.mask_size
    return DrawnPair(
        channel=channel.channel,
        name=printable(pair.image.name),
        height=height,
        width=width,
        mask_size="" if scan.mask_size == scan.image_size else f"{mask_width}x{mask_height}",
        image=_data_uri(images[0]),
        overlay=_data_uri(draw(images[0], small)),
        classes=tuple(classes),
        other_way="".join(_data_uri(draw(other, small)) for other in images[1:]),
        upright=scan.pixel_format.exif_transposed,
    )


def _data_uri(image: NDArray[np.uint8]) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(image, _QUALITY)).decode()}"
