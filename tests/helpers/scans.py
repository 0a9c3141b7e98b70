"""Scans of pairs that do not exist, for the rules of the data check."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segwright.checks.channel_statistics import ChannelStatistics, ScannedChannel
from segwright.checks.scan import PairScan
from segwright.data.pairs import Pair
from segwright.formats.pixels import RGB
from segwright.labels import LabelMap
from segwright.storage import FileBlob


def scan(name: str, pixels: dict[int, int], size: tuple[int, int] = (360, 480), image: str | None = None) -> PairScan:
    """What a pair holds whose mask has so many pixels of each value; equal `image`s are equal bytes."""
    return PairScan(
        pair=Pair(name, FileBlob(Path(f"{name}.jpg")), FileBlob(Path(f"{name}.png"))),
        image_size=size,
        mask_size=size,
        values=np.array(sorted(pixels), np.int64),
        counts=np.array([pixels[value] for value in sorted(pixels)], np.int64),
        digest=hashlib.sha256(name.encode()).digest(),
        image_digest=hashlib.sha256((image or name).encode()).digest(),
        mask_digest=hashlib.sha256(f"mask of {name}".encode()).digest(),
        pixel_format=RGB,
    )


def statistics(
    channel: str, scans: Sequence[PairScan], classes: int = 4, label_map: LabelMap | None = None
) -> ChannelStatistics:
    return ChannelStatistics.of(scanned(scans, label_map, channel), classes)


def scanned(scans: Sequence[PairScan], label_map: LabelMap | None = None, channel: str = "train") -> ScannedChannel:
    return ScannedChannel(channel, label_map or LabelMap.identity(), scans)
