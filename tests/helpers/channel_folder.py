"""A channel of small pairs in the making, and the data check of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segwright.checks.channel import Expected, check_pairs
from segwright.checks.channel_statistics import ChannelStatistics
from segwright.checks.pixel_statistics import AS_STORED, RequestedFormat
from segwright.data.folders import find_pairs
from segwright.data.pairs import Pairing
from segwright.findings import FindingError
from segwright.formats.images import encode_jpeg
from segwright.labels import LabelMap


class ChannelFolder:
    """A channel in the making."""

    def __init__(self, root: Path) -> None:
        self.images, self.masks = root / "train", root / "train_annotation"
        self.images.mkdir(parents=True)
        self.masks.mkdir()

    def add(
        self, name: str, numbers: list[list[int]] | NDArray[np.uint16], image_size: tuple[int, int] | None = None
    ) -> None:
        """A pair whose mask holds the numbers, 8-bit grey where they are a list."""
        mask = np.asarray(numbers, np.uint8) if isinstance(numbers, list) else numbers
        height, width = image_size or mask.shape
        (self.images / f"{name}.jpg").write_bytes(encode_jpeg(np.full((height, width, 3), 99, np.uint8)))
        Image.fromarray(mask).save(self.masks / f"{name}.png")

    def pairing(self) -> Pairing:
        return find_pairs(self.images, self.masks)

    def check(
        self,
        label_map: dict[str, object] | None = None,
        num_classes: int | None = None,
        strict: bool = False,
        requested: RequestedFormat = AS_STORED,
        after_each: Callable[[], None] = lambda: None,
    ) -> ChannelStatistics:
        rule = LabelMap.from_json(label_map) if label_map else LabelMap.identity()
        return check_pairs(self.pairing(), Expected("train", rule, num_classes, requested, strict=strict), after_each)

    def refusal(
        self,
        rule: str,
        label_map: dict[str, object] | None = None,
        num_classes: int | None = None,
        strict: bool = False,
        requested: RequestedFormat = AS_STORED,
    ) -> str:
        """The message of the error that the rule raises."""
        with pytest.raises(FindingError) as error:
            self.check(label_map, num_classes, strict, requested)
        finding = error.value.finding
        assert finding is not None and (finding.rule, finding.channel) == (rule, "train"), error.value
        return str(error.value)


@pytest.fixture
def folder(tmp_path: Path) -> ChannelFolder:
    return ChannelFolder(tmp_path)
