"""ONNX Runtime as the runtime of exported models, on CPUs of every kind."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segwright.exported import IMAGE, LOGITS
from segwright.inference.runtimes.memory import memory_errors

_ERRORS_ONLY: Final = 3  # it warns of each constant that it cannot fold


class ONNXRuntime:
    """An exported model, of which some outputs are computed, and those only; threads share it."""

    name: Final = "ONNX Runtime"
    package: Final = "onnxruntime"
    device: Final = torch.device("cpu")

    def __init__(
        self, model: Path, precision: str, *, outputs: Sequence[str] = (LOGITS,), threads: int = 1, streams: int = 1
    ) -> None:
        """Load a model in ONNX; `streams` images are computed at the same time, and share the threads of all, `threads`
        each. Raises ModuleNotFoundError without the library.
        """
        onnxruntime: Any = import_module(self.package)  # an extra
        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads * streams
        onnxruntime.disable_telemetry_events()  # which builds for Windows send
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._outputs = list(outputs)
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True  # or it would compute masks and probabilities too

    def run(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs of images [B, bands, H, W]. Raises MemoryError where memory is short."""
        with memory_errors():
            computed: list[NDArray[Any]] = self._session.run(self._outputs, {IMAGE: images}, self._options)
        return computed

    def coarse_logits(self, pixels: Tensor) -> Tensor:
        """As for all runtimes."""
        (logits,) = self.run(np.ascontiguousarray(pixels.numpy()))
        return torch.from_numpy(logits)
