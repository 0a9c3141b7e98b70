"""What may compute a bundle: PyTorch, and the bundle's exports in runtimes that are installed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch

from segwright.bundle import Description
from segwright.devices import choose_precision
from segwright.exported import Export, ExportFormat, read_exports
from segwright.inference.runtimes.base import Runtime
from segwright.inference.runtimes.onnx import ONNXRuntime
from segwright.inference.runtimes.openvino import OpenVINORuntime
from segwright.inference.runtimes.pytorch import PyTorchRuntime
from segwright.networks import SegmentationNetwork
from segwright.wording import counted

LARGEST_FALL: Final = 0.1
"""Points, hundredths of mean IoU, that bfloat16 may cost where `auto` chooses it."""

_LIBRARIES: Final[dict[ExportFormat, Sequence[str]]] = {"openvino": ["openvino"], "onnx": ["onnxruntime", "openvino"]}


@dataclass(frozen=True)
class Candidate:
    """A runtime that is not opened yet."""

    library: str
    precision: str
    open: Callable[[], Runtime]
    cost: str = ""  # of its number format in mean IoU, in words
    objection: str = ""  # why `auto` must not choose it, in words

    def __str__(self) -> str:
        return f"{self.precision} with {self.library}"


def installed(library: str) -> bool:
    """Whether a package is there; it is not imported."""
    return find_spec(library) is not None


def find_candidates(
    path: Path, description: Description, network: SegmentationNetwork, streams: int = 1
) -> Iterator[Candidate]:
    """All that can compute a bundle on its network's device, PyTorch in float32 first; `streams` is how many images
    are computed at the same time.
    """
    yield Candidate("PyTorch", "float32", partial(PyTorchRuntime, network))
    cost, objection = _bfloat16_by_training(description)
    if choose_precision("auto", network.device) != torch.bfloat16:  # Timing it would take many times as long.
        objection = objection or "bfloat16 is slow on this processor"
    yield Candidate("PyTorch", "bfloat16", partial(PyTorchRuntime, network, torch.bfloat16), cost, objection)
    for export in read_exports(path) if network.device.type == "cpu" else ():
        precision, threads = export.description.precision, torch.get_num_threads()
        judged = _judge(export, description)
        match next(filter(installed, _LIBRARIES[export.description.format]), None):
            case "openvino":
                opened = partial(OpenVINORuntime, export.path, precision, threads=threads, streams=streams)
                yield Candidate(OpenVINORuntime.name, precision, opened, *judged)
            case "onnxruntime":
                yield Candidate(
                    ONNXRuntime.name, precision, partial(ONNXRuntime, export.path, precision, threads=threads), *judged
                )


def _bfloat16_by_training(description: Description) -> tuple[str, str]:
    """What bfloat16 costs, and what is to be said against it, by what the training has measured."""
    known = description.precisions.get("bfloat16")
    if known is None:
        return "", "bfloat16 was not compared with float32 at the end of its training"
    cost = _cost(known.fall, known.images)
    return cost, "" if known.fall <= LARGEST_FALL else f"bfloat16: {cost}"


def _judge(export: Export, description: Description) -> tuple[str, str]:
    """What an export costs, and what is to be said against it; in int8 and float32 it has kept its own bound."""
    precision, measured = export.description.precision, export.description.mean_iou
    if measured is not None:
        cost = _cost(measured.fall, measured.images)
        return cost, f"{precision}: {cost}" if precision == "bfloat16" and measured.fall > LARGEST_FALL else ""
    if precision == "bfloat16":
        return _bfloat16_by_training(description)
    return "", "int8 was exported without masks to measure it on" if precision == "int8" else ""


def _cost(fall: float, images: int) -> str:
    way = "lower" if fall >= 0 else "higher"
    return f"mean IoU {abs(fall):.2f} points {way} on {counted(images, 'image')}"
