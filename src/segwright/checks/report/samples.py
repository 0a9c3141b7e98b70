"""Pictures to look at: which of them, and each as a small JPEG beside itself with its classes laid over.

Knows how to choose pictures that show rare classes, and how to make them small enough for a page. Refuses to know the
page.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.checks.findings import ChannelStatistics
from segwright.checks.image_orientation import fits_either_way
from segwright.checks.report.survey import Inspection
from segwright.checks.scan import PairScan, combine
from segwright.data.pairs import read_mask
from segwright.errors import DataError
from segwright.findings import Finding
from segwright.formats.images import EncodedImage, encode_jpeg
from segwright.formats.pixels import PixelFormat
from segwright.labels import HIGHEST_CLASS, IGNORE, NO_DATA, LabelMap
from segwright.palettes import default_palette
from segwright.storage import Blob
from segwright.visualization import displayable, overlay
from segwright.wording import plain

STRANGE: Final = (255, 0, 255)
"""Colour of pixels whose value is no class."""

_FROM_TRAIN: Final = 8
_FROM_VALIDATION: Final = 4
_PER_FINDING: Final = 2
_FROM_FINDINGS: Final = 8
_LONG_SIDE: Final = 480  # pixels
_QUALITY: Final = 78
_BUDGET: Final = 2_400_000  # bytes of all pictures together, so that the page opens quickly


@dataclass(frozen=True)
class Sample:
    """One picture of a channel and its mask."""

    channel: str
    name: str
    height: int
    width: int
    """Of the image, in pixels."""
    mask_size: str
    """Width and height of the mask where they differ from the image's, else nothing."""
    image: str
    """A data URI, as is `overlay`."""
    overlay: str
    classes: tuple[int, ...]
    """The classes in the mask, those with most pixels first."""
    other_way: str = ""
    """As `overlay`, with the image the other way round: turned as its EXIF orientation says where a training would not
    turn it, else as stored. Nothing for an image that fits its mask in one way only."""
    upright: bool = False
    """Whether the training turns images as noted."""

    @property
    def length(self) -> int:
        """Of all its pictures, in bytes."""
        return len(self.image) + len(self.overlay) + len(self.other_way)


def draw_samples(survey: Inspection) -> tuple[list[Sample], dict[str, Sample]]:
    """Samples of both channels, and by file name those that findings mention, within a budget of bytes.

    Pictures that cannot be read any more are left out.
    """
    spent = 0
    mentioned: dict[str, Sample] = {}
    samples: list[Sample] = []
    for sample in _drawn(survey, _mentioned(survey)):
        mentioned[sample.name] = sample
        spent += sample.length
        if spent > _BUDGET // 2:
            break
    for sample in _drawn(survey, _chosen(survey)):
        spent += sample.length
        if spent > _BUDGET:
            break
        samples.append(sample)
    return samples, mentioned


def choose(channel: ChannelStatistics, count: int) -> list[int]:
    """Up to `count` pictures of a channel, ascending: for each class that is not shown yet, the rarest first, the one
    with the largest share of it; then pictures at even distances.
    """
    pixels = channel.by_class
    shares = pixels / np.maximum(channel.pixels.sum(1, keepdims=True), 1)
    chosen: list[int] = []
    for index in np.argsort(channel.histogram, kind="stable"):
        if len(chosen) < count and channel.histogram[index] and not (pixels[chosen, index] > 0).any():
            chosen.append(int(shares[:, index].argmax()))
    others = np.setdiff1d(np.arange(len(channel.readings)), chosen)
    wanted = min(count - len(chosen), len(others))
    if wanted:
        chosen += others[np.linspace(0, len(others) - 1, wanted).round().astype(int)].tolist()
    return sorted(chosen)


def drawing_map(channel: ChannelStatistics) -> LabelMap:
    """The label map to draw a channel with: where nobody knows the classes, each pixel value in a colour of its own."""
    if channel.num_classes or not channel.readings:
        return channel.label_map
    values = combine(channel.readings)[0]
    values = values[values != NO_DATA]
    if not values.size:
        return channel.label_map
    return LabelMap(values=tuple((int(value), place % (HIGHEST_CLASS + 1)) for place, value in enumerate(values)))


def _chosen(survey: Inspection) -> Iterator[tuple[ChannelStatistics, PairScan]]:
    for channel, count in zip(survey.channels, (_FROM_TRAIN, _FROM_VALIDATION), strict=True):
        for index in choose(channel, count):
            yield channel, channel.readings[index]


def _mentioned(survey: Inspection) -> Iterator[tuple[ChannelStatistics, PairScan]]:
    """The pictures of some files that findings mention, the gravest findings first."""
    known = {
        plain(name): (channel, reading)
        for channel in survey.channels
        for reading in channel.readings
        for name in (reading.pair.image.name, reading.pair.mask.name)
    }
    wanted = (file for finding in survey.findings for file in _readable(finding, known)[:_PER_FINDING])
    for file in list(dict.fromkeys(wanted))[:_FROM_FINDINGS]:
        yield known[file]


def _readable(finding: Finding, known: dict[str, tuple[ChannelStatistics, PairScan]]) -> list[str]:
    return [file for file in finding.files if file in known]


def _drawn(survey: Inspection, wanted: Iterator[tuple[ChannelStatistics, PairScan]]) -> Iterator[Sample]:
    palette = np.full((IGNORE, 3), STRANGE, np.uint8)
    own = survey.palette if survey.class_names else default_palette(IGNORE)
    palette[: len(own)] = own
    maps = {channel.channel: drawing_map(channel) for channel in survey.channels}
    for channel, reading in wanted:
        try:
            yield _draw(channel, reading, maps[channel.channel], palette)
        except DataError:
            continue


def _draw(channel: ChannelStatistics, reading: PairScan, label_map: LabelMap, palette: NDArray[np.uint8]) -> Sample:
    """Draw one picture; raises DataError where its files have become unreadable."""
    pair = reading.pair
    height, width = reading.image_size
    factor = min(_LONG_SIDE / max(height, width), 1)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    forms = [reading.form]
    if fits_either_way(reading):
        forms.append(replace(reading.form, exif_transposed=not reading.form.exif_transposed))
    image, *others = (_small(pair.image, form, size, max(int(1 / factor), 1)) for form in forms)
    mask = label_map.apply(read_mask(pair))
    small = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    indices, counts = np.unique(mask, return_counts=True)
    classes = [int(index) for index in indices[np.argsort(-counts, kind="stable")] if index < channel.num_classes]
    mask_height, mask_width = reading.mask_size
    return Sample(
        channel=channel.channel,
        name=plain(pair.image.name),
        height=height,
        width=width,
        mask_size="" if reading.mask_size == reading.image_size else f"{mask_width}x{mask_height}",
        image=_data_uri(image),
        overlay=_data_uri(overlay(image, small, palette)),
        classes=tuple(classes),
        other_way="".join(_data_uri(overlay(other, small, palette)) for other in others),
        upright=reading.form.exif_transposed,
    )


def _small(blob: Blob, form: PixelFormat, size: tuple[int, int], reduction: int) -> NDArray[np.uint8]:
    """An image as people can see it, uint8 [H, W, 3], of the given width and height; raises DataError."""
    pixels, _ = EncodedImage(blob.read(), blob.name).decode_reduced(form, reduction)
    return np.asarray(cv2.resize(displayable(pixels), size, interpolation=cv2.INTER_AREA), np.uint8)


def _data_uri(image: NDArray[np.uint8]) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(image, _QUALITY)).decode()}"
