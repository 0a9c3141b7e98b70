"""The data check of both channels, from which a training starts and which `inspect` shows."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.advice import advise
from segwright.checks.channel import IDENTITY, Expected, examine_pairs
from segwright.checks.channel_statistics import ChannelStatistics
from segwright.checks.classes import Classes, settle_classes
from segwright.checks.findings import Findings
from segwright.checks.label_map_hints import label_map_hints
from segwright.checks.mask_palettes import class_palette, same_palettes
from segwright.checks.mask_values import class_count, label_map_range
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.data.channels import Channels, Source, Split
from segwright.data.pairs import Pairing
from segwright.data.pipe_mode import FifoStream
from segwright.errors import DataError
from segwright.findings import Finding, gravest_first
from segwright.formats.pixels import PixelFormat
from segwright.hyperparameters import Hyperparameters
from segwright.labels import numbered_names
from segwright.palettes import default_palette

logger = logging.getLogger(__name__)

Streams = dict[Split, FifoStream]

_LOGGED: Final = 5  # pieces of advice
_UNKNOWN: Final = Classes(IDENTITY, IDENTITY, None, None)


@dataclass(frozen=True, eq=False)
class CheckedData:
    """Both channels as checked, and the classes that they share."""

    train: ChannelStatistics
    validation: ChannelStatistics
    class_names: tuple[str, ...]  # empty where the classes could not be found out
    palette: NDArray[np.uint8]  # class colours, uint8 [C, 3]: those of the palette masks where there are some
    findings: tuple[Finding, ...] = ()  # the gravest first; a training logs them instead
    test: ChannelStatistics | None = None  # at which only `examine` looks

    @property
    def channels(self) -> tuple[ChannelStatistics, ...]:
        """Train, validation and, where it was looked at, test."""
        return (self.train, self.validation, *filter(None, [self.test]))

    @property
    def refusals(self) -> list[Finding]:
        """The findings for which a training would refuse the data; what is wrong in test is no matter to it."""
        return [finding for finding in self.findings if finding.severity == "error" and finding.channel != "test"]

    @property
    def pixel_format(self) -> PixelFormat:
        """What the pixels of all images are read as."""
        return self.train.pixel_format

    @property
    def num_classes(self) -> int:
        """How many classes there are, 255 not counted."""
        return len(self.class_names)

    def to_json(self) -> dict[str, Any]:
        """What a bundle keeps of both channels, as plain values."""
        return {channel.channel: channel.to_json() for channel in self.channels}


def prepare(
    channels: Channels,
    classes: Classes,
    settings: Hyperparameters | None = None,
    *,
    requested: RequestedFormat | None = None,
    streams: Streams | None = None,
    strict: bool = False,
    while_reading: Callable[[], None] = lambda: None,
) -> CheckedData:
    """Check the data of a training: log what is found, and raise DataError for the first error.

    `requested` is the format of a network that is there already. Of `streams`, opened by this process, the first pairs
    are checked. `while_reading` is called again and again; what it raises ends the check.
    """
    if streams and not classes.count:
        raise DataError(
            "In Pipe mode masks are seen only while they pass, so classes cannot be counted: give num_classes."
        )
    settings, findings = settings or Hyperparameters(), Findings()
    _are_usable(classes, findings)
    requested = requested or RequestedFormat(settings.bands, upright=settings.apply_exif_orientation)
    data = _check(replace(channels, test=None), classes, requested, findings, strict, streams or {}, while_reading)
    for channel in data.channels:
        which = "pairs first in the stream" if streams else "pairs"
        pixel_format = "" if channel.pixel_format.is_plain_colour else f" of {channel.pixel_format}"
        pairs = f"{channel.channel}: {len(channel.pairs)} {which}{pixel_format}"
        logger.info(f"{pairs}, {channel.num_classes} classes, {len(channel.left_out)} left out")
    if not streams:
        log_advice(_advice(data, classes, settings))
    train, validation = (one.without_scans(complete=not streams) for one in (data.train, data.validation))
    return replace(data, train=train, validation=validation)


def examine(
    channels: Channels, settings: Hyperparameters, *, class_names: Path | None = None, strict: bool = False
) -> CheckedData:
    """Check the data as a training with `settings` does, and a test split beside them, but go on after errors: all
    findings are in the result. Rules that need what an earlier rule could not find out are left out.
    """
    findings = Findings(collect=True)
    classes = None
    with findings.taking_errors("labels", "labels"):
        settled = settle_classes(channels, settings.num_classes, class_names)
        classes = settled if _are_usable(settled, findings) else None
    requested = RequestedFormat(settings.bands, upright=settings.apply_exif_orientation)
    data = _check(channels, classes, requested, findings, strict, {}, lambda: None)
    return replace(data, findings=tuple(gravest_first([*findings.found, *_advice(data, classes, settings)])))


def log_advice(advice: Iterable[Finding]) -> None:
    """Warn of what was found, some lines at most. Notes are left to `inspect`."""
    grave = [finding for finding in gravest_first(advice) if finding.severity != "note"]
    for finding in grave[:_LOGGED]:
        logger.warning("%s", finding)
    if len(grave) > _LOGGED:
        logger.warning("and %d more findings: `segwright inspect` shows them all", len(grave) - _LOGGED)


def _are_usable(classes: Classes, findings: Findings) -> bool:
    """Whether the number of classes is possible and the label maps keep to it, as far as it is known."""
    return classes.count is None or findings.add(
        class_count(classes.count, "labels"),
        label_map_range(classes.train_map, classes.count, "train"),
        label_map_range(classes.validation_map, classes.count, "validation"),
    )


def _advice(data: CheckedData, classes: Classes | None, settings: Hyperparameters) -> Iterator[Finding]:
    if classes:
        yield from label_map_hints(data.train, data.validation, count_is_given=classes.count is not None)
    yield from advise(*data.channels, class_names=data.class_names, settings=settings)


def _check(
    channels: Channels,
    classes: Classes | None,
    requested: RequestedFormat,
    findings: Findings,
    strict: bool,
    streams: Streams,
    while_reading: Callable[[], None],
) -> CheckedData:
    """Examine train, then validation and test by what train shows; without `classes` no mask is judged."""

    def examined(source: Source, expected: Expected, stream: FifoStream | None = None) -> ChannelStatistics:
        while_reading()
        pairing = Pairing(())
        with findings.taking_errors("pairing", expected.channel):
            pairing = Pairing(stream.first_pairs(while_reading)) if stream else source.pairing()
            if not pairing.pairs:
                raise DataError("the stream ends before its first pair.")
        return examine_pairs(pairing, expected, findings, while_reading)

    known, judged = classes or _UNKNOWN, classes is not None
    expected = Expected(
        "train", known.train_map, known.count, requested, known.names or (), strict=strict, judge_masks=judged
    )
    train = examined(channels.train, expected, streams.get("train"))
    if train.num_classes and not known.count:
        findings.add(label_map_range(known.validation_map, train.num_classes, "validation"))
    formats = {scan.pixel_format for scan in train.scans if not scan.form_error}
    expected = replace(
        expected,
        channel="validation",
        label_map=known.validation_map,
        num_classes=train.num_classes,
        requested=RequestedFormat.exactly(formats.pop()) if len(formats) == 1 else requested,
        void_is_known=train.ignored_pixels > 0 and all(one.rule != "only_0_and_255" for one in findings.found),
    )
    validation = examined(channels.validation, expected, streams.get("validation"))
    test = examined(channels.test, replace(expected, channel="test")) if channels.test else None
    if classes and known.train_map == known.validation_map:
        findings.add(*(same_palettes(train, other) for other in (validation, test) if other))
    count = train.num_classes
    own = class_palette(train.scans[0].pair, train.label_map, count) if train.scans else None
    names = (known.names or numbered_names(count)) if count else ()
    return CheckedData(train, validation, names, default_palette(count) if own is None else own, test=test)
