"""OpenVINO's own format from an ONNX file."""

from pathlib import Path

from segwright.openvino_import import import_openvino


def write_openvino(onnx_file: Path, path: Path) -> None:
    """Write an ONNX file as OpenVINO's `path`, an .xml, and the .bin of the same name beside it."""
    openvino = import_openvino()
    openvino.save_model(openvino.Core().read_model(onnx_file), path, compress_to_fp16=False)
