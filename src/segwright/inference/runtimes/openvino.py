"""OpenVINO as the runtime of exported models, on CPUs."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.errors import UserError
from segwright.exported import LOGITS
from segwright.inference.runtimes.memory import memory_errors
from segwright.openvino_import import import_openvino

_KERNELS: Final = 64
"""Kernels that a stream keeps. Each image size needs its own, and with the usual 5,000 each takes more memory."""
_HINTS: Final = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
_UNTOUCHED: Final = np.finfo(np.float32).min  # no logit or probability
_LARGEST_STRIDE: Final = 64  # pixels; with fewer a network may have maps without any


class OpenVINORuntime:
    """An exported model, of which some outputs are computed, and those only; threads share it."""

    name: Final = "OpenVINO"
    package: Final = "openvino"
    device: Final = torch.device("cpu")

    def __init__(
        self, model: Path, precision: str, *, outputs: Sequence[str] = (LOGITS,), threads: int = 1, streams: int = 1
    ) -> None:
        """Compile a model, of OpenVINO's format or ONNX; `streams` images are computed at the same time, each by
        `threads`. Raises UserError where OpenVINO is not installed and for bfloat16 on a processor without it,
        RuntimeError for a model that it cannot use.
        """
        openvino = import_openvino()
        core = openvino.Core()
        whole = core.read_model(model)
        part = openvino.Model([whole.output(name).get_node() for name in outputs], whole.get_parameters())
        self.precision = precision
        no_bfloat16 = UserError("this processor does not compute in bfloat16", name="precision", value=precision)
        try:
            self._compiled = core.compile_model(
                part,
                "CPU",
                {
                    # The default is bfloat16 wherever the processor has it. In int8 it is what is not quantised.
                    "INFERENCE_PRECISION_HINT": _HINTS[precision],
                    "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS,
                    "INFERENCE_NUM_THREADS": threads * streams,
                    "NUM_STREAMS": streams,
                    "ENABLE_CPU_PINNING": False,  # or other processes in the container are bound to the same cores
                },
            )
        except RuntimeError as error:
            if precision == "bfloat16":  # Without AVX-512 it has no kernels for some layers.
                raise no_bfloat16 from error
            raise
        if precision == "bfloat16" and self._compiled.get_property("INFERENCE_PRECISION_HINT") != openvino.Type.bf16:
            raise no_bfloat16
        self._idle: deque[Any] = deque()  # requests, each for one thread at a time

    def run(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs of images [B, bands, H, W]. Raises MemoryError where memory is short, RuntimeError for images
        that are too small for the model.
        """
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        for tensor in request.output_tensors:
            if tensor.size and tensor.element_type.is_real():
                tensor.data.flat[0] = _UNTOUCHED
        with memory_errors():
            request.infer({0: images}, share_inputs=True)
        outputs = [tensor.data.copy() for tensor in request.output_tensors]
        # Where it cannot allocate, or a map becomes empty, OpenVINO 2026.4 leaves outputs as they were, without error.
        if any(not output.size or output.flat[0] == _UNTOUCHED for output in outputs):
            height, width = images.shape[2:]
            reason = f"OpenVINO computed nothing of {height} x {width} pixels"
            if min(height, width) < _LARGEST_STRIDE:
                raise RuntimeError(reason)
            raise MemoryError(f"{reason}: memory is short")
        self._idle.append(request)
        return outputs

    def coarse_logits(self, pixels: Tensor) -> Tensor:
        """As for all runtimes."""
        (logits,) = self.run(np.ascontiguousarray(pixels.numpy()))
        return torch.from_numpy(logits)
