"""All rules on the pairs of one channel, in the order in which a training asks them, and on one pair of a stream."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from segwright.checks import image_rules, mask_values
from segwright.checks.channel_statistics import ChannelStatistics, ScannedChannel
from segwright.checks.findings import Findings
from segwright.checks.image_orientation import orientations_fit
from segwright.checks.mask_palettes import palettes_agree
from segwright.checks.mask_stretch import stretched
from segwright.checks.pixel_statistics import AS_STORED, RequestedFormat
from segwright.checks.scan import PairScan, Unreadable, scan_pair, scan_pairs
from segwright.console import progress
from segwright.data.pairs import Pair, Pairing
from segwright.findings import Finding, FindingError
from segwright.formats.pixels import PixelFormat
from segwright.labels import LabelMap

IDENTITY: Final = LabelMap.identity()


@dataclass(frozen=True)
class Expected:
    """What the pairs of a channel have to be."""

    channel: str
    label_map: LabelMap = IDENTITY
    num_classes: int | None = None  # 2 to 254; None: as the label map, or else the masks, show; 0: not known
    requested: RequestedFormat = AS_STORED
    class_names: tuple[str, ...] = ()
    strict: bool = False  # whether what is otherwise left out or ignored is an error
    void_is_known: bool = False  # whether 255 is void in masks of the same origin: these may lack the other classes
    judge_masks: bool = True  # whether the label map can be used, so that pixel values mean something


def check_pairs(
    pairing: Pairing, expected: Expected, after_each: Callable[[], None] = lambda: None
) -> ChannelStatistics:
    """Check the pairs of one channel: log what is found, and raise DataError for the first error. `after_each` is
    called after each pair; what it raises ends the check.
    """
    findings, count = Findings(), expected.num_classes
    count = expected.label_map.class_count() if count is None else count
    if count is not None:
        findings.add(
            mask_values.class_count(count, expected.channel),
            mask_values.label_map_range(expected.label_map, count, expected.channel),
        )
    return examine_pairs(pairing, replace(expected, num_classes=count), findings, after_each)


def examine_pairs(
    pairing: Pairing, expected: Expected, findings: Findings, after_each: Callable[[], None]
) -> ChannelStatistics:
    """Read all pairs once, ask all rules, and summarise what the pairs hold."""
    channel, strict = expected.channel, expected.strict
    findings.add(image_rules.how_paired(pairing, channel))
    scans, unreadable = _scan(pairing, expected, findings, after_each)
    masks = ScannedChannel(channel, expected.label_map, scans)
    reasons = image_rules.left_out_reasons(pairing, unreadable)
    findings.add(
        image_rules.left_out(pairing, unreadable, channel, none_left=not scans, strict=strict),
        image_rules.repaired_masks(masks),
        image_rules.dropped_or_assumed(masks),
    )
    if not scans:
        return ChannelStatistics.of(masks, (expected.num_classes or 0) * expected.judge_masks, reasons)
    findings.add(
        image_rules.one_format(masks),
        image_rules.sizes_match(masks),
        orientations_fit(masks, upright=expected.requested.upright),
        palettes_agree(masks),
    )
    count, fitting = _judge_masks(masks, expected, findings) if expected.judge_masks else (0, False)
    statistics = ChannelStatistics.of(masks, count, reasons)
    if expected.judge_masks:
        findings.add(mask_values.unmapped_values(masks, strict=strict))
    if fitting:
        findings.add(mask_values.absent_classes(statistics, expected.class_names))
    return statistics


@dataclass(frozen=True)
class StreamCheck:
    """What the pairs of a stream have to be."""

    channel: str
    num_classes: int
    pixel_format: PixelFormat
    strict: bool = False

    def why_skipped(self, pair: Pair, label_map: LabelMap) -> str:
        """Why a pair that failed is skipped: it cannot be read. Raises DataError for all else, and where `strict`."""
        scan = scan_pair(pair, RequestedFormat.exactly(self.pixel_format))
        if isinstance(scan, Unreadable):
            if scan.rule or self.strict:
                cure = "" if scan.rule else "strict refuses it."
                raise FindingError(Finding(scan.rule or "left_out", "error", self.channel, scan.why, cure))
            return scan.why
        masks = ScannedChannel(self.channel, label_map, [scan])
        Findings().add(
            image_rules.one_format(masks),
            image_rules.sizes_match(masks),
            mask_values.class_range(masks, self.num_classes),
        )
        raise AssertionError(f"{pair.key} failed, but nothing is wrong with it")


def _scan(
    pairing: Pairing, expected: Expected, findings: Findings, after_each: Callable[[], None]
) -> tuple[list[PairScan], list[Unreadable]]:
    """Scan all pairs. What refuses the whole channel is found at once, the first of its kind alone."""
    scans: list[PairScan] = []
    unreadable: list[Unreadable] = []
    with (
        progress(f"checking {expected.channel}", len(pairing.pairs)) as advance,
        closing(scan_pairs(pairing.pairs, expected.requested)) as outcomes,
    ):
        for outcome in outcomes:
            if isinstance(outcome, PairScan):
                scans.append(outcome)
            else:
                if outcome.rule and outcome.rule not in {other.rule for other in unreadable}:
                    files = (outcome.pair.image.name,)
                    findings.add([Finding(outcome.rule, "error", expected.channel, outcome.why, files=files)])
                unreadable.append(outcome)
            advance(1, "pairs")
            after_each()
    return scans, unreadable


def _judge_masks(masks: ScannedChannel, expected: Expected, findings: Findings) -> tuple[int, bool]:
    """The number of classes, 0 where it cannot be known, and whether the masks fit them."""
    count = expected.num_classes
    labelled = findings.add(mask_values.any_labelled(masks, void_is_known=expected.void_is_known))
    if not (labelled and findings.add(stretched(masks))):
        return count or 0, False
    if count is None:
        inferred = mask_values.infer_num_classes(masks)
        if isinstance(inferred, Finding):
            findings.add([inferred])
            return 0, False
        count = inferred
    return count, count > 0 and findings.add(mask_values.class_range(masks, count))
