"""The rules of the data check for one pair of a stream, while it passes."""

from dataclasses import dataclass

from segwright.checks.channel_statistics import ScannedChannel
from segwright.checks.findings import Findings
from segwright.checks.image_rules import one_format, sizes_match
from segwright.checks.mask_values import class_range
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.checks.scan import Unreadable, scan_pair
from segwright.data.pairs import Pair
from segwright.findings import Finding
from segwright.formats.pixels import PixelFormat
from segwright.labels import LabelMap


@dataclass(frozen=True)
class StreamCheck:
    """What the pairs of a stream have to be."""

    channel: str
    num_classes: int
    form: PixelFormat
    strict: bool = False

    def why_skipped(self, pair: Pair, label_map: LabelMap) -> str:
        """Why a pair that failed is skipped: it cannot be read. Raises DataError for all else, and where `strict`."""
        scan = scan_pair(pair, RequestedFormat.exactly(self.form))
        if isinstance(scan, Unreadable):
            if scan.rule or self.strict:
                cure = "" if scan.rule else "strict refuses it."
                raise Finding(scan.rule or "left_out", "error", self.channel, scan.why, cure).to_error()
            return scan.why
        masks = ScannedChannel(self.channel, label_map, [scan])
        Findings().add(one_format(masks), sizes_match(masks), class_range(masks, self.num_classes))
        raise AssertionError(f"{pair.key} failed, but nothing is wrong with it")
