"""INT8: weights and activations of an ONNX file in 8 bits, by ONNX Runtime's quantizer.

Weights have a scale for each output channel and 7 bits, activations a range that calibration images give. The seventh
bit is what processors without VNNI (Intel before Cascade Lake, AMD before Zen 4) need: they add pairs of products in
16 bits, which 8-bit weights overflow without a sign of it.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from segwright.bundle import Description
from segwright.data.folders import list_images
from segwright.exported import IMAGE, LOGITS
from segwright.formats.images import EncodedImage
from segwright.inference.logits import resized_pixels, scaled_size
from segwright.storage import Blob, parse_location

MOST_IMAGES: Final = 200
LARGEST_SIDE: Final = 512
"""Pixels: what is larger is cut to the middle, in the size at which the network sees it."""

_QUANTIZED: Final = ["Conv", "Gemm", "MatMul", "Add", "MaxPool", "GlobalAveragePool", "AveragePool", "Concat", "Relu"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationImages:
    """Images of the kind that the model will see; at most `MOST_IMAGES` of a folder, evenly spread."""

    blobs: Sequence[Blob]
    description: Description

    @classmethod
    def read(cls, description: Description, images: str) -> "CalibrationImages":
        """Find the images. Raises DataError where there are none."""
        found = [blob for _, blob in list_images([parse_location(images)])]
        chosen = np.linspace(0, len(found) - 1, min(len(found), MOST_IMAGES)).round().astype(int).tolist()
        logger.info(f"calibrating with {len(chosen)} of {len(found)} images in {images}")
        return cls([found[index] for index in chosen], description)

    def __len__(self) -> int:
        return len(self.blobs)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Images [1, bands, H, W] as the network sees them. Raises DataError for one that cannot be read."""
        for blob in self.blobs:
            pixels = EncodedImage(blob.read(), blob.name).decode(self.description.network.pixel_format)
            image = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
            size = scaled_size(pixels.shape[0], pixels.shape[1], self.description.inference_scale)
            resized = resized_pixels(image, *size)
            top, left = (max(length - LARGEST_SIDE, 0) // 2 for length in size)
            yield resized[:, :, top : top + LARGEST_SIDE, left : left + LARGEST_SIDE].contiguous().numpy()


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """The images as the quantizer asks for them."""

    def __init__(self, images: CalibrationImages) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        image = next(self._images, None)
        return None if image is None else {IMAGE: image}


def quantize(file: Path, images: CalibrationImages) -> None:
    """Replace an ONNX file of float32 by one that computes in INT8, but for the last layer before the logits."""
    quant_pre_process(file, file, skip_symbolic_shape=True)
    quantize_static(
        file,
        file,
        _Reader(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_QUANTIZED,
        nodes_to_exclude=[_classifier(onnx.load(file))],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )


def _classifier(model: onnx.ModelProto) -> str:
    """The name of the last convolution before the logits, which is small, and on which they depend most."""
    makers = {output: node for node in model.graph.node for output in node.output}
    node = makers[LOGITS]
    while node.op_type != "Conv":
        node = makers[node.input[0]]
    name: str = node.name
    return name
