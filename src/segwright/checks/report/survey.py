"""Both channels read once, and everything that is wrong with them.

Knows the rules of the data check and asks each of them, where a training stops at the first that refuses. Refuses to
show anything.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segwright.checks.advice import absent_classes, remarks
from segwright.checks.channel import masks_palette
from segwright.checks.findings import ChannelStatistics, image_names
from segwright.checks.image_orientation import orientation_finding
from segwright.checks.label_map_hints import suspicions
from segwright.checks.mask_palettes import compare_palettes, palette_finding
from segwright.checks.mask_stretch import check_not_stretched
from segwright.checks.mask_values import (
    check_any_labelled,
    check_class_count,
    check_class_range,
    check_sizes_match,
    classes_of,
    infer_num_classes,
    unmapped_sentence,
)
from segwright.checks.pixel_notes import pixel_findings
from segwright.checks.pixel_statistics import RequestedFormat, settle_form
from segwright.checks.prepare import Classes, settle_classes
from segwright.checks.scan import PairScan, combine, scan_pairs
from segwright.console import progress
from segwright.data.channels import Channels, Split
from segwright.data.pairs import Pairing
from segwright.errors import UserError
from segwright.findings import Finding, Severity, gravest_first
from segwright.formats.pixels import PixelFormat
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE, NO_DATA, LabelMap, numbered_names
from segwright.palettes import default_palette
from segwright.wording import counted, plain, sentences

_UNKNOWN: Final = Classes(LabelMap.identity(), LabelMap.identity(), None, None)


class Size(NamedTuple):
    """A size of images in pixels, and how many have it."""

    height: int
    width: int
    pairs: int


@dataclass(frozen=True, eq=False)
class Inspection:
    """What both channels hold and what is to be said of it."""

    source: str
    train: ChannelStatistics
    validation: ChannelStatistics
    left_out: dict[str, tuple[str, ...]]
    """For each channel a sentence for each file left out."""
    class_names: tuple[str, ...]
    """Empty where the classes could not be found out."""
    palette: NDArray[np.uint8]
    """Class colours, uint8 [C, 3]."""
    findings: tuple[Finding, ...]
    """The gravest first."""
    settings: Hyperparameters
    """Those that a training would have."""

    @property
    def channels(self) -> tuple[ChannelStatistics, ChannelStatistics]:
        """Train and validation."""
        return self.train, self.validation

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def refused(self) -> bool:
        """Whether a training would refuse these data."""
        return self.count("error") > 0

    def to_json(self) -> dict[str, Any]:
        """The survey as plain values."""
        return {
            "data": plain(self.source),
            "refused": self.refused,
            "num_classes": len(self.class_names) or None,
            "class_names": list(self.class_names),
            "base_size": self.settings.base_size,
            "crop_size": self.settings.training_crop_size,
            "channels": {channel.channel: self._channel(channel) for channel in self.channels},
            "findings": [finding.to_json() for finding in self.findings],
        }

    def _channel(self, channel: ChannelStatistics) -> dict[str, Any]:
        values, counts = combine(channel.readings) if channel.readings else (np.zeros(0), np.zeros(0))
        return {
            "pairs": len(channel.readings),
            "left_out": list(self.left_out[channel.channel]),
            "label_map": channel.label_map.to_json(),
            "sizes": [size._asdict() for size in sizes(channel)],
            "exif_orientations": dict(
                sorted(Counter(str(reading.orientation) for reading in channel.readings).items())
            ),
            "pixel_forms": sorted({str(reading.form) for reading in channel.readings}),
            "histogram": channel.histogram.tolist(),
            "pictures_with_class": channel.pictures.tolist(),
            "ignored_pixels": channel.ignored_pixels,
            "pixel_values": {
                "no data" if value == NO_DATA else str(value): count
                for value, count in zip(values.tolist(), counts.tolist(), strict=True)
            },
        }


def sizes(channel: ChannelStatistics) -> list[Size]:
    """The sizes of a channel's images, the most frequent first."""
    counted = Counter(reading.image_size for reading in channel.readings)
    return [Size(*size, pairs) for size, pairs in sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))]


def survey(
    channels: Channels, settings: Hyperparameters, *, class_names: Path | None = None, strict: bool = False
) -> Inspection:
    """Read both channels and collect all that is to be said of them; nothing that is wrong with them is raised.

    The arguments are those of a training with `settings`.
    """
    return _Surveyor(channels, settings, class_names, strict).survey()


class _Surveyor:
    def __init__(self, channels: Channels, settings: Hyperparameters, class_names: Path | None, strict: bool) -> None:
        self.channels, self.settings, self.class_names, self.strict = channels, settings, class_names, strict
        self.findings: list[Finding] = []
        self.left_out: dict[str, tuple[str, ...]] = {}
        self._void_is_known = False  # until training masks show that their 255 means void

    def survey(self) -> Inspection:
        settings = self.settings
        classes = self._classes()
        wish = RequestedFormat(settings.bands, upright=settings.apply_exif_orientation)
        known = classes or _UNKNOWN
        readings, form = self._read("train", wish, known.train_map)
        exactly = RequestedFormat.exactly(form) if form else wish
        validation_readings, _ = self._read("validation", exactly, known.validation_map)
        count = known.count
        if classes:
            count = self._judge_masks("train", readings, known.train_map, count)
            self._judge_masks("validation", validation_readings, known.validation_map, count)
            if known.train_map == known.validation_map:
                self._note(compare_palettes(readings, validation_readings, known.train_map))
        count = count or 0
        train = ChannelStatistics("train", readings, known.train_map, count)
        validation = ChannelStatistics("validation", validation_readings, known.validation_map, count)
        names = (known.names or numbered_names(count)) if count else ()
        self.findings += absent_classes(train, validation, names)
        self.findings += remarks(
            train, validation, names, base_size=settings.base_size, crop_size=settings.training_crop_size
        )
        if classes:
            self.findings += suspicions(train, validation, declared=classes.count is not None)
        return Inspection(
            source=f"{self.channels.train.images} and {self.channels.validation.images}",
            train=train,
            validation=validation,
            left_out=self.left_out,
            class_names=names,
            palette=_palette(train),
            findings=tuple(gravest_first(self.findings)),
            settings=settings,
        )

    @contextmanager
    def _noting(self, channel: str, files: tuple[str, ...] = ()) -> Iterator[None]:
        """Make a finding of what is refused in the block, which ends there."""
        try:
            yield
        except UserError as error:
            self.findings.append(
                Finding("error", channel, str(error).removeprefix(f"{channel}: "), "", files, len(files))
            )

    def _note(self, finding: Finding | None) -> None:
        if finding:
            self.findings.append(finding)

    def _classes(self) -> Classes | None:
        """What label maps and names say, or None where they cannot be used: then no mask can be judged."""
        with self._noting("labels"):
            classes = settle_classes(self.channels, self.settings.num_classes, self.class_names)
            if classes.count is not None:
                check_class_count(classes.count, "labels")
                classes.train_map.check(classes.count)
                classes.validation_map.check(classes.count)
            return classes
        return None

    def _read(
        self, split: Split, wish: RequestedFormat, label_map: LabelMap
    ) -> tuple[list[PairScan], PixelFormat | None]:
        """The readable pairs of a channel and the form of their images, if they agree on one."""
        self.left_out[split] = ()
        with self._noting(split):
            pairing = self.channels.pairing(split)
            self._tell_pairing(split, pairing)
            with progress(f"reading {split}", len(pairing.pairs)) as advance:
                readings, problems = scan_pairs(pairing.pairs, wish, lambda _done, _total: advance(1, "pairs"))
            self._tell_left_out(split, "image", pairing.unpaired_images)
            self._tell_left_out(split, "mask", pairing.unpaired_masks)
            self._tell_unreadable(split, problems, not readings)
            self.findings += pixel_findings(readings, split)
            if not readings:
                return [], None
            with self._noting(split, _misfits(readings)):
                check_sizes_match(readings, split)
            self._note(orientation_finding(readings, split, upright=wish.upright))
            self._note(palette_finding(readings, label_map, split))
            with self._noting(split):
                return readings, settle_form(readings, split)
            return readings, None
        return [], None

    def _tell_pairing(self, split: str, pairing: Pairing) -> None:
        """What was assumed to pair files, and what lies beside them unread."""
        self.findings += [Finding("note", split, f"{assumption}.") for assumption in pairing.assumed]
        self.findings += [
            Finding("warning", split, f"{unread}.", unread.cure, unread.names, len(unread.names))
            for unread in pairing.unread
        ]

    def _tell_left_out(self, split: str, kind: str, names: Sequence[str]) -> None:
        if not names:
            return
        partner = "mask" if kind == "image" else "image"
        self.left_out[split] += tuple(plain(f"{name} has no {partner}.") for name in names)
        count = f"{len(names)} {kind}s have" if len(names) > 1 else f"one {kind} has"
        self.findings.append(
            Finding(
                "error" if self.strict else "warning",
                split,
                f"{count} no {partner}, for example {names[0]}" + (", which --strict refuses." if self.strict else "."),
                f"Add the {partner}{'s' if len(names) > 1 else ''}, named as the {kind}, or remove what is alone; a "
                "training leaves it out.",
                tuple(names),
                len(names),
            )
        )

    def _tell_unreadable(self, split: str, problems: Sequence[str], nothing_left: bool) -> None:
        if not problems:
            return
        self.left_out[split] += tuple(map(plain, problems))
        refused = self.strict or nothing_left
        which = "none of the pairs" if nothing_left else counted(len(problems), "pair")
        self.findings.append(
            Finding(
                "error" if refused else "warning",
                split,
                f"{which} {'can' if nothing_left else 'cannot'} be read. {sentences(problems)}",
                "Mend or remove the files." if refused else "Mend or remove the files; a training leaves them out.",
                count=len(problems),
            )
        )

    def _judge_masks(
        self, split: Split, readings: Sequence[PairScan], label_map: LabelMap, count: int | None
    ) -> int | None:
        """Ask the rules for pixel values; returns the number of classes, where it is known or can be inferred."""
        if not readings:
            return count
        values, counts = combine(readings)
        with self._noting(split):
            check_any_labelled(values, label_map, split, void_is_known=self._void_is_known)
            check_not_stretched(readings, label_map, split)
            self._void_is_known |= IGNORE in values[classes_of(values, label_map) < 0]
            count = count or infer_num_classes(readings, values, label_map, split)
            with self._noting(split, _with_values(readings, values[classes_of(values, label_map) >= count])):
                check_class_range(readings, values, label_map, count, split)
        unmapped = np.isin(values, label_map.unmapped(values))
        if unmapped.any():
            named = dict(zip(values[unmapped].tolist(), counts[unmapped].tolist(), strict=True))
            self.findings.append(
                Finding(
                    "error" if self.strict else "warning",
                    split,
                    unmapped_sentence(named, split).removeprefix(f"{split}: ")
                    + (", which --strict refuses." if self.strict else "; they are ignored."),
                    "Add them to the map, unless they are to be ignored.",
                )
            )
        return count


def _misfits(readings: Sequence[PairScan]) -> tuple[str, ...]:
    return image_names(reading for reading in readings if reading.image_size != reading.mask_size)


def _with_values(readings: Sequence[PairScan], wanted: NDArray[np.int64]) -> tuple[str, ...]:
    """The images whose masks hold any of the values, [N]."""
    return image_names(one for one in readings if np.isin(one.values, wanted).any()) if wanted.size else ()


def _palette(train: ChannelStatistics) -> NDArray[np.uint8]:
    own = masks_palette(train.readings[0].pair, train.label_map, train.num_classes) if train.readings else None
    return default_palette(train.num_classes) if own is None else own
