"""OpenVINO as the runtime of exported models, on CPUs."""

from collections import deque
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from segwright.errors import UserError
from segwright.exported import LOGITS
from segwright.openvino_import import import_openvino

_KERNELS: Final = 64
"""Kernels that a stream keeps. Each picture size needs its own, and with the usual 5,000 each takes more memory."""
_HINTS: Final = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class OpenVINORuntime:
    """An exported model, of which the logits alone are computed."""

    name: Final = "OpenVINO"
    device: Final = torch.device("cpu")

    def __init__(self, model: Path, precision: str, *, threads: int = 1, streams: int = 1) -> None:
        """Compile a model, of OpenVINO's format or ONNX; `streams` images are computed at the same time, each by
        `threads`. Raises UserError where OpenVINO is not installed and for bfloat16 on a processor without it,
        RuntimeError for a model that it cannot use.
        """
        openvino = import_openvino()
        core = openvino.Core()
        whole = core.read_model(model)
        logits = openvino.Model([whole.output(LOGITS).get_node()], whole.get_parameters(), LOGITS)
        self.precision = precision
        self._compiled = core.compile_model(
            logits,
            "CPU",
            {
                # The default is bfloat16 wherever the processor has it. In int8 it is what is not quantised.
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS,
                "INFERENCE_NUM_THREADS": threads * streams,
                "NUM_STREAMS": streams,
                "ENABLE_CPU_PINNING": False,  # other processes in the same container would be bound to the same cores
            },
        )
        if precision == "bfloat16" and self._compiled.get_property("INFERENCE_PRECISION_HINT") != openvino.Type.bf16:
            raise UserError("this processor does not compute in bfloat16", name="precision", value=precision)
        self._idle: deque[Any] = deque()  # requests, each for one thread at a time

    def coarse_logits(self, pixels: Tensor) -> Tensor:
        """As for all runtimes."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        request.infer({0: np.ascontiguousarray(pixels.numpy())}, share_inputs=True)
        logits = torch.from_numpy(request.get_output_tensor(0).data.copy())
        self._idle.append(request)
        return logits
