"""What an exported file costs in mean IoU, on images with masks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segwright.bundle import Description
from segwright.checks.channel import Expected, check_pairs
from segwright.checks.pixel_statistics import RequestedFormat
from segwright.console import progress
from segwright.data.channels import Source
from segwright.data.pairs import Pair
from segwright.evaluation.metrics import ConfusionMatrix
from segwright.evaluation.predictions import predict_pairs
from segwright.exported import MeasuredMeanIou
from segwright.inference.runtimes import Runtime
from segwright.storage import parse_location


@dataclass(frozen=True)
class LabelledImages:
    """Pairs that were checked; their masks are read as the model's validation masks were."""

    pairs: Sequence[Pair]
    description: Description

    @classmethod
    def read(cls, description: Description, images: str, masks: str | None) -> "LabelledImages":
        """Pair and check images with their masks. Raises DataError and LabelError as `evaluate` does."""
        label_map, names = description.label_map("validation"), description.class_names
        pairing = Source(parse_location(images), None if masks is None else parse_location(masks)).pairing()
        requested = RequestedFormat.exactly(description.network.pixel_format)
        report = check_pairs(pairing, Expected("evaluation", label_map, len(names), requested, names))
        return cls(report.pairs, description)

    def compare(self, exact: Runtime, exported: Runtime) -> MeasuredMeanIou:
        """Score both over the classes in the masks, each image whole and at the model's inference scale."""
        with progress("evaluating", 2 * len(self.pairs), every=50) as advance:

            def after_each() -> None:
                advance(1, "images")

            own, other = self._score(exact, after_each), self._score(exported, after_each)
        return MeasuredMeanIou(float32=own, exported=other, fall=100 * (own - other), images=len(self.pairs))

    def _score(self, runtime: Runtime, after_each: Callable[[], None]) -> float:
        description = self.description
        matrix = ConfusionMatrix(len(description.class_names))
        label_map, pixel_format = description.label_map("validation"), description.network.pixel_format
        for labels, prediction in predict_pairs(
            runtime, self.pairs, label_map, pixel_format, scale=description.inference_scale
        ):
            matrix.update(labels, prediction)
            after_each()
        return matrix.scores(description.class_names).mean_iou_present
