"""Trained models as files for other runtimes: ONNX and OpenVINO, in float32, bfloat16 and INT8."""

from segwright.export.run import export_bundle

__all__ = ["export_bundle"]
