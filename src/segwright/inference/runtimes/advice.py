"""What is missing for a number format, or for more speed, and the commands that bring it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from segwright.exported import EXPORT_FOLDER, Export
from segwright.inference.runtimes.opening import INSTALL, runtime_for
from segwright.mxnet import is_mxnet_model, model_in


def why_not(precision: str, path: Path, device: torch.device, exports: Sequence[Export]) -> str:
    """Why no export of a bundle computes in a number format on a device, and what to do, in a sentence."""
    if device.type != "cpu":
        return f"exports compute it, on CPUs alone, and the device is {device.type}: take device cpu, or bfloat16."
    if is_mxnet_model(path):
        import_it = f"`segwright import-model {path} BUNDLE`"
        return f"{path} is a model of SageMaker's original algorithm: {import_it} makes a bundle that can be exported."
    formats = {export.description.format for export in exports if export.description.precision == precision}
    if not formats:
        command = f"segwright export {path} --format openvino --precision {precision}"
        if precision == "int8":
            command = (
                f"segwright export {path} --format openvino --precision int8 --calibrate TRAINING_IMAGES "
                "--images VALIDATION_IMAGES --masks VALIDATION_MASKS"
            )
        return f"{path} has no export in it that fits its weights: `{command}` makes one."
    if not any(map(runtime_for, formats)):
        return f"no library that computes the export is installed: {INSTALL}"
    return "its export does not work here; the warning before this says why."


def export_hint(bundle: Path) -> str:
    """The commands that may make a model faster that is computed on the CPU; empty where it has been exported."""
    path = (model_in(bundle) if bundle.is_dir() else None) or bundle
    if (path / EXPORT_FOLDER).exists() or runtime_for("openvino") is None:
        return ""
    if is_mxnet_model(path):
        commands = f"segwright import-model {path} BUNDLE, and segwright export BUNDLE --format openvino,"
    else:
        commands = f"segwright export {path} --format openvino"
    return f"{commands} may make it faster"
