"""The data check for pairs that nobody has seen before: those of a stream, while they pass.

Knows the rules of the data check and applies them to one pair at a time, with the same sentences. What cannot be read
is skipped and counted, or ends the training where `strict` says so; sizes that differ and values outside the classes
always end it. Refuses to know batches.
"""

from dataclasses import dataclass

from segwright.checks.mask_values import check_class_range, check_sizes_match
from segwright.checks.pixel_statistics import RequestedFormat, settle_form
from segwright.checks.scan import scan_pair
from segwright.data.pairs import Pair
from segwright.errors import DataError
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
        """Why a pair that failed is to be skipped. Raises DataError where it is to be refused."""
        reading = scan_pair(pair, RequestedFormat.exactly(self.form))
        if isinstance(reading, str):
            if self.strict:
                raise DataError(f"{self.channel}: {reading} --strict refuses it.")
            return reading
        settle_form([reading], self.channel)
        check_sizes_match([reading], self.channel)
        check_class_range([reading], reading.values, label_map, self.num_classes, self.channel)
        raise AssertionError(f"{pair.key} failed, but nothing is wrong with it")
