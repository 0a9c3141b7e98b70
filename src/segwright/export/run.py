"""A bundle as a file for other runtimes: the command `export`."""

import logging
from importlib.metadata import version
from pathlib import Path

from segwright.bundle import Description, load_network, versions
from segwright.devices import limit_threads
from segwright.errors import BundleError, UserError
from segwright.export.graph import OUTPUTS, write_onnx
from segwright.export.mean_iou import LabelledImages
from segwright.export.openvino import write_openvino
from segwright.export.quantization import CalibrationImages, quantize
from segwright.export.verification import verify
from segwright.exported import (
    EXPORT_DESCRIPTION,
    IMAGE,
    LOGITS,
    MASK,
    MODEL_FILES,
    PROBABILITIES,
    Export,
    ExportDescription,
    ExportedArray,
    ExportFormat,
    MeasuredMeanIou,
    folder_of,
    weights_digest,
)
from segwright.inference.runtimes import PyTorchRuntime, open_export
from segwright.mxnet import find_model, is_mxnet_model
from segwright.openvino_import import import_openvino
from segwright.precisions import MAX_FALL, ExportPrecision
from segwright.storage import atomic_directory, check_replaceable, write_bytes
from segwright.wording import counted

logger = logging.getLogger(__name__)


def export_bundle(
    bundle: Path | str,
    export_format: ExportFormat,
    precision: ExportPrecision = "float32",
    *,
    calibrate: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    max_fall: float | None = None,
    overwrite: bool = False,
) -> Export:
    """Write the best weights of a bundle into its folder `export/FORMAT-PRECISION`, and check them there.

    The file is compared with PyTorch in its own runtime. With `images` and `masks`, read as `evaluate` reads them, mean
    IoU is measured too, over the classes in the masks: nothing is written where it falls by more than `max_fall`
    points, by default 0.5. int8 needs them, and images to `calibrate` it with, a folder or a file.

    Raises UserError for arguments that do not fit together, a network that cannot be exported, and a fall that is too
    large; BundleError, DataError and OutputExistsError as `evaluate` and `train` do.
    """
    _check_arguments(export_format, precision, calibrate, images, masks, max_fall)
    path = find_model(Path(bundle))
    if is_mxnet_model(path):
        cure = f"make a bundle of it with `segwright import-model {path} BUNDLE`, and export that"
        raise BundleError(f"{path} is a model of SageMaker's original algorithm: {cure}.")
    folder = folder_of(path, export_format, precision)
    check_replaceable(folder, overwrite, EXPORT_DESCRIPTION)
    limit_threads()
    description, network = load_network(path)
    digest = weights_digest(path)
    labelled = None if images is None else LabelledImages.read(description, images, masks)
    calibration = None if calibrate is None else CalibrationImages.read(description, calibrate)
    file = MODEL_FILES[export_format]
    with atomic_directory(folder, overwrite, EXPORT_DESCRIPTION) as temporary:
        onnx_file = temporary / MODEL_FILES["onnx"]
        write_onnx(network, onnx_file)
        if calibration is not None:
            quantize(onnx_file, calibration)
        if export_format == "openvino":
            write_openvino(onnx_file, temporary / file)
            onnx_file.unlink()
        difference = verify(network, temporary / file, export_format, precision)
        measured = None
        if labelled is not None:
            exported = open_export(temporary / file, export_format, precision)
            measured = labelled.compare(PyTorchRuntime(network), exported)
            _check_fall(measured, precision, MAX_FALL if max_fall is None else max_fall)
        export = ExportDescription(
            format=export_format,
            precision=precision,
            file=file,
            inputs=(_input(description),),
            outputs=_outputs(len(description.classes)),
            classes=description.class_names,
            inference_scale=description.inference_scale,
            bundle_digest=digest,
            versions=_versions(export_format),
            largest_difference=difference,
            mean_iou=measured,
            calibration_images=0 if calibration is None else len(calibration),
        )
        write_bytes(temporary / EXPORT_DESCRIPTION, (export.model_dump_json(indent=2) + "\n").encode())
    logger.info(f"logits differ from PyTorch's by at most {difference:.1e} of the largest; the file: {folder / file}")
    return Export(export, folder / file)


def _check_arguments(
    export_format: ExportFormat,
    precision: ExportPrecision,
    calibrate: str | None,
    images: str | None,
    masks: str | None,
    max_fall: float | None,
) -> None:
    if export_format == "onnx" and precision == "bfloat16":
        raise UserError(
            "ONNX Runtime has no convolution in bfloat16 on CPUs: export float32 or int8, or the format openvino.",
            name="precision",
            value=precision,
        )
    if precision == "int8" and (calibrate is None or images is None):
        raise UserError(
            "int8 needs images to calibrate it, and images with masks to measure what it costs in mean IoU: give "
            "calibrate, images and masks. Training images for the one and validation images for the other will do.",
            name="calibrate" if calibrate is None else "images",
        )
    if precision != "int8" and calibrate is not None:
        raise UserError(f"calibrate is for int8, not for {precision}: leave it out.", name="calibrate", value=calibrate)
    if images is None and (masks is not None or max_fall is not None):
        name = "masks" if masks is not None else "max_fall"
        raise UserError(f"{name} needs images to measure mean IoU on: give images too, or leave it out.", name=name)
    if export_format == "openvino":
        import_openvino()  # or it would be missed after minutes of tracing


def _check_fall(measured: MeasuredMeanIou, precision: ExportPrecision, max_fall: float) -> None:
    """Log what was measured. Raises UserError where it is too much."""
    direction = "lower" if measured.fall > 0 else "higher"
    result = (
        f"mean IoU on {counted(measured.images, 'image')} is {measured.exported:.4f} exported as {precision} and "
        f"{measured.float32:.4f} in PyTorch: {abs(measured.fall):.2f} points {direction}"
    )
    if measured.fall > max_fall:
        cure = "calibrate it with more images like those that it will see" if precision == "int8" else "take float32"
        raise UserError(
            f"{result}, where at most {max_fall:g} are allowed (max_fall). Nothing is written: {cure}, or allow more.",
            name="max_fall",
            value=max_fall,
        )
    logger.info(result)


def _input(description: Description) -> ExportedArray:
    pixel_format = description.network.pixel_format
    return ExportedArray(name=IMAGE, dtype=pixel_format.dtype.name, shape=("B", pixel_format.bands, "H", "W"))


def _outputs(classes: int) -> tuple[ExportedArray, ...]:
    arrays = {
        MASK: ExportedArray(name=MASK, dtype="uint8", shape=("B", "H", "W")),
        PROBABILITIES: ExportedArray(name=PROBABILITIES, dtype="float32", shape=("B", classes, "H", "W")),
        LOGITS: ExportedArray(name=LOGITS, dtype="float32", shape=("B", classes, "h", "w")),
    }
    return tuple(arrays[name] for name in OUTPUTS)


def _versions(export_format: ExportFormat) -> dict[str, str]:
    packages = ("onnx", "onnxruntime", *(["openvino"] if export_format == "openvino" else []))
    return {**versions(), **{package: version(package) for package in packages}}
