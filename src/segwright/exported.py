"""Models that `segwright export` has written into a bundle, as other tools and Segwright's own runtimes find them.

::

    BUNDLE/export/onnx-float32/model.onnx
    BUNDLE/export/onnx-float32/export.json        an `ExportDescription`
    BUNDLE/export/openvino-int8/model.xml         with model.bin
    BUNDLE/export/openvino-int8/export.json

This module knows neither PyTorch nor a runtime.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from segwright.errors import BundleError, UserError
from segwright.precisions import ExportPrecision
from segwright.storage import path_below

FORMAT_VERSION: Final = 1
BEST_WEIGHTS: Final = "model.safetensors"
"""The file of a bundle that exports are made from."""
EXPORT_FOLDER: Final = "export"
EXPORT_DESCRIPTION: Final = "export.json"

ExportFormat = Literal["onnx", "openvino"]

MODEL_FILES: Final[dict[ExportFormat, str]] = {"onnx": "model.onnx", "openvino": "model.xml"}
IMAGE: Final = "image"
"""The one input: plain pixels [B, bands, H, W] of the model's type, mostly uint8."""
MASK: Final = "mask"
"""An output: the class of every pixel, uint8 [B, H, W]."""
PROBABILITIES: Final = "probabilities"
"""An output: float32 [B, C, H, W]."""
LOGITS: Final = "logits"
"""An output: what is resized to the other two, bilinear with corners aligned; float32 [B, C, h, w]."""

logger = logging.getLogger(__name__)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ExportedArray(_Frozen):
    """An input or output: its name, NumPy's name of its type, and its shape, in which a letter is any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class MeasuredMeanIou(_Frozen):
    """Mean IoU, 0...1, over all classes of the same pairs: of PyTorch in float32, and of the exported model."""

    float32: float
    exported: float
    fall: float  # in points, hundredths of mean IoU; below 0 where the exported model is better
    images: int


class ExportDescription(_Frozen):
    """What `export.json` holds; unknown keys are ignored."""

    format_version: int = FORMAT_VERSION
    format: ExportFormat
    precision: ExportPrecision  # what it is to be computed in
    file: str
    inputs: tuple[ExportedArray, ...]
    outputs: tuple[ExportedArray, ...]  # each can be computed without the others
    classes: tuple[str, ...]  # names, by index
    inference_scale: float  # not part of the model: resize images to so many times their size first
    bundle_digest: str  # `weights_digest` of the bundle at the time
    versions: dict[str, str]
    largest_difference: float  # from PyTorch's logits in float32, as a share of the largest of them
    mean_iou: MeasuredMeanIou | None = None  # None where no masks were given
    calibration_images: int = 0  # that chose the ranges of int8


@dataclass(frozen=True)
class Export:
    """An exported model that fits its bundle's weights, and its file."""

    description: ExportDescription
    path: Path


def folder_of(bundle: Path, export_format: ExportFormat, precision: ExportPrecision) -> Path:
    """The folder of one export of a bundle."""
    return bundle / EXPORT_FOLDER / f"{export_format}-{precision}"


def weights_digest(bundle: Path) -> str:
    """The SHA-256 of a bundle's best weights, in hexadecimal. Raises BundleError where they cannot be read."""
    file = bundle / BEST_WEIGHTS
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error


def read_exports(bundle: Path) -> list[Export]:
    """The exports of a bundle that can be used.

    Logs a line for each that cannot: made of other weights, damaged, or of a newer format.
    """
    described = list(_described(bundle))
    if not described:
        return []
    digest, usable = weights_digest(bundle), []
    for export in described:
        if export.description.bundle_digest == digest:
            usable.append(export)
        else:
            logger.warning(f"{export.path.parent} is not used: it was exported from other weights. Export it again.")
    return usable


def _described(bundle: Path) -> Iterator[Export]:
    """The exports of a bundle that can be read, whatever their weights."""
    for kind in product(get_args(ExportFormat), get_args(ExportPrecision)):
        file = folder_of(bundle, *kind) / EXPORT_DESCRIPTION
        if not file.is_file():
            continue
        try:
            description = ExportDescription.model_validate_json(file.read_bytes())
            model = path_below(file.parent, description.file)
            if description.format_version > FORMAT_VERSION:
                reason = f"it has format version {description.format_version}, a newer Segwright's"
            elif not model.is_file():
                reason = f"it has no {description.file}"
            else:
                yield Export(description, model)
                continue
        except ValidationError as error:
            first = error.errors()[0]
            reason = f"its {EXPORT_DESCRIPTION} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (OSError, UserError) as error:
            reason = str(error)
        logger.warning(f"{file.parent} is not used: {reason}. Export it again.")
