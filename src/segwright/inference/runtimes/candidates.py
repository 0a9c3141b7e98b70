"""What may compute a bundle: PyTorch, and the bundle's exports in runtimes that are installed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from segwright.bundle import Description
from segwright.devices import choose_precision
from segwright.exported import Export
from segwright.inference.runtimes.base import Runtime
from segwright.inference.runtimes.opening import open_export, runtime_for
from segwright.inference.runtimes.openvino import OpenVINORuntime
from segwright.inference.runtimes.pytorch import PyTorchRuntime
from segwright.networks import SegmentationNetwork
from segwright.precisions import LOGITS_TOLERANCE, MAX_FALL, MAX_FALL_BFLOAT16
from segwright.wording import counted


@dataclass(frozen=True)
class Candidate:
    """A runtime that is not opened yet."""

    library: str
    precision: str
    open: Callable[[], Runtime]
    tolerance: float | None = None  # how far its logits may be off (`LOGITS_TOLERANCE`); None for PyTorch itself
    cost: str = ""  # of its number format in mean IoU, in words
    objection: str = ""  # why `auto` must not choose it, in words

    def __str__(self) -> str:
        return f"{self.precision} with {self.library}"


def find_candidates(
    exports: Sequence[Export], description: Description, network: SegmentationNetwork, streams: int = 1
) -> Iterator[Candidate]:
    """All that can compute a bundle on its network's device, PyTorch in float32 first, then those of its exports (of
    CPUs) that have a library; `streams` is how many images are computed at the same time.
    """
    yield Candidate("PyTorch", "float32", partial(PyTorchRuntime, network))
    cost, objection = _bfloat16_by_training(description)
    if choose_precision("auto", network.device) != torch.bfloat16:  # Timing it would take many times as long.
        objection = objection or "bfloat16 is slow on this processor"
    yield Candidate("PyTorch", "bfloat16", partial(PyTorchRuntime, network, torch.bfloat16), None, cost, objection)
    there = {(export.description.format, export.description.precision) for export in exports}
    for export in exports:
        kind, precision = export.description.format, export.description.precision
        if not (runtime := runtime_for(kind)):
            continue
        opened = partial(open_export, export.path, kind, precision, streams=streams)
        yield Candidate(runtime.name, precision, opened, LOGITS_TOLERANCE[precision], *_judge(export, description))
        # OpenVINO computes the file of float32 in bfloat16 too, often faster than PyTorch.
        if runtime is OpenVINORuntime and precision == "float32" and (kind, "bfloat16") not in there:
            opened = partial(open_export, export.path, kind, "bfloat16", streams=streams)
            yield Candidate(runtime.name, "bfloat16", opened, LOGITS_TOLERANCE["bfloat16"], cost, objection)


def _bfloat16_by_training(description: Description) -> tuple[str, str]:
    """What bfloat16 costs, and what is to be said against it, by what the training has measured."""
    known = description.precisions.get("bfloat16")
    if known is None:
        return "", "bfloat16 was not compared with float32 at the end of its training"
    cost = _cost(known.fall, known.images)
    return cost, "" if known.fall <= MAX_FALL_BFLOAT16 else f"bfloat16: {cost}"


def _judge(export: Export, description: Description) -> tuple[str, str]:
    """What an export costs, and what is to be said against it: it may have been allowed to lose more than usual."""
    precision, measured = export.description.precision, export.description.mean_iou
    if measured is not None:
        cost = _cost(measured.fall, measured.images)
        most = MAX_FALL_BFLOAT16 if precision == "bfloat16" else MAX_FALL
        return cost, "" if measured.fall <= most else f"{precision}: {cost}"
    if precision == "bfloat16":
        return _bfloat16_by_training(description)
    return "", "int8 was exported without masks to measure it on" if precision == "int8" else ""


def _cost(fall: float, images: int) -> str:
    way = "lower" if fall >= 0 else "higher"
    return f"mean IoU {abs(fall):.2f} points {way} on {counted(images, 'image')}"
