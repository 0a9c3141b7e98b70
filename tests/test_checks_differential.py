"""Random data sets: `inspect` refuses exactly what a training refuses, by the same rule, and right data are accepted.

SEGWRIGHT_DATA_SETS says how many are drawn; a failure names its seed.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from segwright.checks.channel import StreamCheck
from segwright.checks.classes import settle_classes
from segwright.checks.prepare import CheckedData, Streams, examine, prepare
from segwright.data.channels import SPLITS, Channels, Source, Split
from segwright.data.pairs import Pair, read_pair
from segwright.data.pipe_mode import FifoStream
from segwright.errors import DataError, LabelError
from segwright.findings import Finding, FindingError
from segwright.hyperparameters import Hyperparameters
from tests.helpers.random_data import RandomData, draw

SEEDS = range(int(os.environ.get("SEGWRIGHT_DATA_SETS", "40")))


def settings_of(data: RandomData) -> Hyperparameters:
    return Hyperparameters(num_classes=data.num_classes, bands=data.bands, apply_exif_orientation=data.upright)


def trained(channels: Channels, data: RandomData, streams: bool = False) -> CheckedData | Finding | str:
    """The data as a training takes them, or what it refuses: a finding, or what is wrong with label maps or names."""
    settings = settings_of(data)
    try:
        classes = settle_classes(channels, settings.num_classes)
        opened: Streams = {split: HeldStream(channels, split) for split in SPLITS if streams}
        return prepare(channels, classes, settings, streams=opened, strict=data.strict)
    except DataError as error:
        return error.finding if isinstance(error, FindingError) else str(error)
    except LabelError as error:
        return str(error)


def source_of(channels: Channels, split: str) -> Source:
    return channels.train if split == "train" else channels.validation


class HeldStream(FifoStream):
    """The pairs of a folder as the first ones of a stream."""

    def __init__(self, channels: Channels, split: Split) -> None:
        super().__init__(Path(split))
        self._held = source_of(channels, split).pairing().pairs

    def first_pairs(self, while_waiting: Callable[[], None] = lambda: None) -> tuple[Pair, ...]:
        return self._held


@pytest.mark.parametrize("seed", SEEDS)
def test_inspect_refuses_what_a_training_refuses(tmp_path: Path, seed: int) -> None:
    data = draw(tmp_path, seed)
    channels = Channels.locate(tmp_path)
    examined = examine(channels, settings_of(data), strict=data.strict)
    errors = [finding for finding in examined.findings if finding.severity == "error"]
    result = trained(channels, data)
    if isinstance(result, Finding):
        assert errors[0] == result
    elif isinstance(result, str):
        assert (errors[0].rule, errors[0].what) == ("labels", result)
    else:
        assert errors == []
        assert result.to_json() == examined.to_json()
        assert result.class_names == examined.class_names and (result.palette == examined.palette).all()
        check_stream(channels, data, result)
    found = {(finding.rule, finding.channel) for finding in errors}
    assert data.refusing <= found
    if data.is_right:
        assert isinstance(result, CheckedData) and result.train.histogram.tolist() == data.pixels.tolist()


def check_stream(channels: Channels, data: RandomData, result: CheckedData) -> None:
    """The same pairs as streams pass the same rules, each by itself as well."""
    if data.num_classes:
        streamed = trained(channels, data, streams=True)
        assert isinstance(streamed, CheckedData)
        assert [one.histogram.tolist() for one in streamed.channels] == [
            one.histogram.tolist() for one in result.channels
        ]
    for split, channel in zip(SPLITS, result.channels, strict=True):
        check = StreamCheck(channel.channel, result.num_classes, result.pixel_format)
        for pair in source_of(channels, split).pairing().pairs:
            try:
                read_pair(pair, channel.label_map, result.pixel_format, num_classes=result.num_classes)
            except DataError:
                assert check.why_skipped(pair, channel.label_map) in channel.left_out
