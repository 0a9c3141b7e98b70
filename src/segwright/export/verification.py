"""Whether an exported file computes what PyTorch does, at sizes that it was not traced at."""

import math
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from segwright.errors import UserError
from segwright.export.graph import OUTPUTS, ExportedNetwork, images_of
from segwright.exported import ExportFormat
from segwright.inference.runtimes.agreement import difference
from segwright.inference.runtimes.opening import open_export
from segwright.networks import SegmentationNetwork, resize
from segwright.precisions import LOGITS_TOLERANCE, ExportPrecision

SIZES: Final = ((1, 65, 129), (3, 97, 40), (2, 33, 120), (1, 7, 5), (1, 1, 1))
"""Batch, height and width: odd ones, several images, and those that are smaller than a network's stride."""

_OWN_TOLERANCE: Final[dict[ExportPrecision, float]] = {"float32": 1e-4, "bfloat16": 0.05, "int8": 1e-4}
"""How far probabilities may be from those of the file's own logits."""


@torch.inference_mode()
def verify(network: SegmentationNetwork, file: Path, export_format: ExportFormat, precision: ExportPrecision) -> float:
    """The largest difference of logits from the network's in float32, as a share of the largest of them.

    Raises UserError where an output has another shape, type or value than it should at one of `SIZES`.
    """
    runtime = open_export(file, export_format, precision, outputs=OUTPUTS)
    tolerance = math.inf if precision == "int8" else LOGITS_TOLERANCE[precision]  # Random pixels are not its range.
    reference, largest = ExportedNetwork(network), 0.0
    for size in SIZES:
        images = images_of(network.spec, *size)
        expected = reference(images)
        try:
            outputs = [torch.from_numpy(output) for output in runtime.run(images.numpy())]
            fault = _fault_of_shapes(outputs, expected)
        except RuntimeError as error:  # of OpenVINO, where it computes nothing
            outputs, fault = [], str(error)
        if fault is None:
            mask, probabilities, logits = outputs
            share = difference(logits, expected[2])
            largest = max(largest, share)
            if share >= tolerance:  # infinite where it is no number
                fault = f"its logits differ by {share:.1%} of the largest"
            else:
                fault = _fault_of_own(mask, probabilities, logits, _OWN_TOLERANCE[precision])
        if fault is not None:
            name = f"{network.spec.algorithm} on {network.spec.backbone}"
            batch, height, width = size
            raise UserError(
                f"{name} cannot be exported to {export_format} in {precision}: in its own runtime the file does not "
                f"compute what PyTorch does for {batch} x {height} x {width} pixels: {fault}. Nothing is written; try "
                "the other format."
            )
    return largest


def _fault_of_shapes(outputs: list[Tensor], expected: tuple[Tensor, ...]) -> str | None:
    for name, output, wanted in zip(OUTPUTS, outputs, expected, strict=True):
        if (output.shape, output.dtype) != (wanted.shape, wanted.dtype):
            return f"{name} is {output.dtype} {list(output.shape)} in place of {wanted.dtype} {list(wanted.shape)}"
    return None


def _fault_of_own(mask: Tensor, probabilities: Tensor, logits: Tensor, tolerance: float) -> str | None:
    """What is wrong with mask and probabilities, given the file's own logits."""
    own = resize(logits, (mask.shape[1], mask.shape[2])).softmax(1)
    if not _largest(probabilities - own) <= tolerance:
        return f"probabilities differ from those of its own logits by {_largest(probabilities - own):.2g}"
    chosen = own.gather(1, mask.long().clamp(max=own.shape[1] - 1)[:, None])[:, 0]
    if not _largest(own.amax(1) - chosen) <= tolerance:
        return "the mask names other classes than the most probable ones"
    return None


def _largest(values: Tensor) -> float:
    return values.abs().max().item()
