"""From channels to data that may be trained on: label maps, class names, colours, and both channels checked.

Knows the channels and the data check, and settles which class has which number for all that follows. Training
and `inspect` both begin here.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segwright.checks.advice import quick_findings
from segwright.checks.channel import DataReport, check_pairs
from segwright.checks.findings import ChannelStatistics, tell, tell_each
from segwright.checks.mask_palettes import compare_palettes
from segwright.checks.pixel_statistics import AS_THEY_ARE, RequestedFormat
from segwright.console import progress
from segwright.data.channels import Channels, Split, read_names
from segwright.data.pairs import Pairing
from segwright.data.pipe_mode import FifoStream
from segwright.errors import DataError, LabelError
from segwright.formats.pixels import PixelFormat
from segwright.hyperparameters import Hyperparameters
from segwright.labels import LabelMap, numbered_names, read_class_names
from segwright.palettes import default_palette

logger = logging.getLogger(__name__)

Streams = dict[Split, FifoStream]

_USUAL: Final = Hyperparameters()


@dataclass(frozen=True)
class Classes:
    """What is said of the classes before any mask is read."""

    train_map: LabelMap
    validation_map: LabelMap
    names: tuple[str, ...] | None
    count: int | None
    """How many there are; None where the masks have to show it."""


@dataclass(frozen=True)
class PreparedData:
    """Both channels as checked, and the classes that they share."""

    train: DataReport
    validation: DataReport
    train_map: LabelMap
    validation_map: LabelMap
    class_names: tuple[str, ...]
    palette: NDArray[np.uint8]
    """Class colours, uint8 [C, 3]: those of the palette masks where there are some."""

    @property
    def form(self) -> PixelFormat:
        """What the pixels of all images are read as."""
        return self.train.form

    @property
    def num_classes(self) -> int:
        """How many classes there are, 255 not counted."""
        return len(self.class_names)

    def to_json(self) -> dict[str, Any]:
        """Both data reports as plain values."""
        return {"train": self.train.to_json(), "validation": self.validation.to_json()}


def prepare(
    channels: Channels,
    said: Classes,
    *,
    wish: RequestedFormat = AS_THEY_ARE,
    streams: Streams | None = None,
    base_size: int = _USUAL.base_size,
    crop_size: int = _USUAL.training_crop_size,
    strict: bool = False,
    while_reading: Callable[[], None] = lambda: None,
) -> PreparedData:
    """Find, check and describe the data of a training.

    `said` is what `settle_classes` has settled; the masks show how many classes there are where that does not. `wish`
    is what is settled about the images' pixels. Of `streams`, opened by this process, the first pairs are checked.
    What a careful colleague would remark, with crops of `crop_size` from pictures scaled to `base_size`, is logged.
    `while_reading` is called again and again; what it raises ends the check. Raises DataError and LabelError for what
    has to be mended before a training.
    """
    if streams and not said.count:
        raise DataError(
            "In Pipe mode masks are seen only while they pass, so nobody can count the classes: give num_classes."
        )
    checks = _Checks(channels, streams or {}, strict, while_reading)
    train = checks.check("train", said.train_map, said.count, wish)
    classes = train.num_classes
    validation = checks.check(
        "validation",
        said.validation_map,
        classes,
        RequestedFormat.exactly(train.form),
        void_is_known=train.ignored_pixels > 0,
    )
    palette = default_palette(classes) if train.palette is None else train.palette
    names = said.names or numbered_names(classes)
    if not streams:
        if said.train_map == said.validation_map:
            tell_each(compare_palettes(train.readings, validation.readings, said.train_map))
        examined = (
            ChannelStatistics("train", train.readings, said.train_map, classes),
            ChannelStatistics("validation", validation.readings, said.validation_map, classes),
        )
        declared = said.count is not None
        tell(quick_findings(*examined, names, declared=declared, base_size=base_size, crop_size=crop_size))
    train, validation = (replace(report, readings=()) for report in (train, validation))
    return PreparedData(train, validation, said.train_map, said.validation_map, names, palette)


def settle_classes(
    channels: Channels,
    num_classes: int | None = None,
    class_names: Path | None = None,
    usual_names: tuple[str, ...] | None = None,
) -> Classes:
    """Read label maps and class names. Raises LabelError where they disagree.

    `num_classes` may be left out: then it is the number of class names, or what the label map names, or what the
    masks hold. Class names come from `class_names`, else from the file beside the label maps, else from the label map
    of the training masks, else, without label maps, from a table that a tool wrote beside the masks; their order
    numbers the classes of both label maps. Where nobody says anything about the classes, or only their right number,
    they are those of `usual_names`, if given.
    """
    train_map, validation_map = channels.read_label_map("train"), channels.read_label_map("validation")
    names = _names(channels, class_names, train_map)
    if names is None and train_map is None and validation_map is None:
        table = channels.class_table(num_classes)
        if table is not None:
            names, train_map, validation_map = table.names, table.label_map(), table.label_map()
    train_map = _numbered("train", train_map, names)
    validation_map = _numbered("validation", validation_map, names)
    if names and num_classes and len(names) != num_classes:
        source = class_names or channels.class_names_file() or "the label map"
        raise LabelError(
            f"{len(names)} class names ({', '.join(names)}) from {source} do not fit num_classes {num_classes}: "
            "correct one of the two, or leave num_classes out"
        )
    if not names and usual_names and _may_be_usual(usual_names, num_classes, train_map):
        names = usual_names
    count = num_classes or (len(names) if names else train_map.class_count())
    return Classes(train_map, validation_map, names, count)


def _names(channels: Channels, given: Path | None, label_map: LabelMap | None) -> tuple[str, ...] | None:
    file = given or channels.class_names_file()
    if file:
        return read_class_names(file) if isinstance(file, Path) else read_names(file)
    return label_map.class_names if label_map else None


def _may_be_usual(names: tuple[str, ...], num_classes: int | None, label_map: LabelMap | None) -> bool:
    counted = num_classes or (label_map.class_count() if label_map else None)
    return counted in (None, len(names))


def _numbered(channel: str, label_map: LabelMap | None, names: tuple[str, ...] | None) -> LabelMap:
    """The label map of a channel with its classes in the order of the class names, told to the reader."""
    if label_map is None:
        usual = LabelMap.identity()
        logger.info(f"{channel}: no label map is given, pixel values are class indices: {usual.to_json()}")
        return usual
    if label_map.class_names and not names:
        raise LabelError(
            f"{channel}: the label map names classes ({', '.join(label_map.class_names)}), but nothing says which "
            "numbers they have in training. List all names in their order in label_map/class_names.json."
        )
    try:
        numbered = label_map.numbered_as(names or ())
    except LabelError as error:
        raise LabelError(f"{channel}: {error}") from None
    logger.info(f"{channel}: label map {numbered.to_json()}")
    return numbered


@dataclass(frozen=True)
class _Checks:
    """The data check of both channels, whatever they come from."""

    channels: Channels
    streams: Streams
    strict: bool
    while_reading: Callable[[], None]

    def check(
        self,
        split: Split,
        label_map: LabelMap,
        num_classes: int | None,
        wish: RequestedFormat,
        *,
        void_is_known: bool = False,
    ) -> DataReport:
        self.while_reading()
        stream = self.streams.get(split)
        pairing = self.channels.pairing(split) if stream is None else Pairing(stream.first_pairs(self.while_reading))
        if not pairing.pairs:
            raise DataError(f"{split}: the stream ends before its first pair.")
        with progress(f"checking {split}", len(pairing.pairs)) as advance:

            def after_each(_done: int, _all: int) -> None:
                advance(1, "pairs")
                self.while_reading()

            report = check_pairs(
                pairing,
                label_map,
                num_classes,
                channel=split,
                wish=wish,
                strict=self.strict,
                void_is_known=void_is_known,
                progress=after_each,
            )
        which = "pairs" if stream is None else "pairs first in the stream"
        form = "" if report.form.is_plain_colour else f" of {report.form}"
        logger.info(
            f"{split}: {len(report.pairs)} {which}{form}, {report.num_classes} classes, {len(report.left_out)} left out"
        )
        return report if stream is None else report.of_a_stream()
