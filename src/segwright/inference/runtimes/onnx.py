"""ONNX Runtime as the runtime of exported models, on CPUs of every kind."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from segwright.exported import IMAGE, LOGITS

_ERRORS_ONLY: Final = 3  # it warns of each constant that it cannot fold


class ONNXRuntime:
    """An exported model, of which the logits alone are computed; threads share it."""

    name: Final = "ONNX Runtime"
    device: Final = torch.device("cpu")

    def __init__(self, model: Path, precision: str, *, threads: int = 1) -> None:
        """Load a model in ONNX; each image is computed by `threads`. Raises ModuleNotFoundError without the library."""
        onnxruntime: Any = import_module("onnxruntime")  # an extra
        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads
        onnxruntime.disable_telemetry_events()  # which builds for Windows send
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._run = onnxruntime.RunOptions()
        self._run.only_execute_path_to_fetches = True  # or it would compute masks and probabilities too

    def coarse_logits(self, pixels: Tensor) -> Tensor:
        """As for all runtimes."""
        (logits,) = self._session.run([LOGITS], {IMAGE: np.ascontiguousarray(pixels.numpy())}, self._run)
        return torch.from_numpy(logits)
