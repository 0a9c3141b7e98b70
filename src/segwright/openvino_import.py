"""The only import of OpenVINO, which must not report to its maker.

On import, OpenVINO tells Google Analytics that it was imported, by its dependency openvino-telemetry, and leaves a
folder `intel` with an identifier in the user's home. Its own opt-out is a file there, which a read-only file system
cannot have, and which would decide for other programs too. Without the package it uses a stand-in that does nothing,
and that is what it finds here: `None` in `sys.modules` is Python's way to say that there is no such package.
"""

import importlib
import sys
from typing import Any

from segwright.errors import UserError


def import_openvino() -> Any:
    """The module `openvino`. Raises UserError where it is not installed."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        raise UserError("OpenVINO is not installed: pip install 'segwright[export]'", name="openvino") from error
