"""What an exported file costs in mean IoU, on images with masks."""

from collections.abc import Sequence
from dataclasses import dataclass

from segwright.bundle import Description
from segwright.console import progress
from segwright.data.pairs import Pair
from segwright.evaluation import labelled_pairs, score
from segwright.exported import MeasuredMeanIou
from segwright.inference.runtimes import Runtime


@dataclass(frozen=True)
class LabelledImages:
    """Pairs that were checked; their masks are read as the model's validation masks were."""

    pairs: Sequence[Pair]
    description: Description

    @classmethod
    def read(cls, description: Description, images: str, masks: str | None) -> "LabelledImages":
        """Pair and check images with their masks. Raises DataError and LabelError as `evaluate` does."""
        known = description.label_map("validation"), description.class_names, description.network.pixel_format
        return cls(labelled_pairs(images, masks, *known), description)

    def compare(self, exact: Runtime, exported: Runtime) -> MeasuredMeanIou:
        """Score both over the classes in the masks, each image whole and at the model's inference scale."""
        description = self.description
        known = description.label_map("validation"), description.class_names, description.network.pixel_format
        with progress("evaluating", 2 * len(self.pairs), every=50) as advance:
            own, other = (
                score(
                    runtime, self.pairs, *known, lambda: advance(1, "images"), scale=description.inference_scale
                ).mean_iou_present
                for runtime in (exact, exported)
            )
        return MeasuredMeanIou(float32=own, exported=other, fall=100 * (own - other), images=len(self.pairs))
