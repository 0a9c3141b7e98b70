"""Exports without `segwright export`: a network as an ONNX graph, and the folder that describes it."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from segwright.exported import (
    EXPORT_DESCRIPTION,
    MODEL_FILES,
    ExportDescription,
    ExportFormat,
    ExportPrecision,
    MeasuredMeanIou,
    folder_of,
    weights_digest,
)
from segwright.networks import SegmentationNetwork
from segwright.networks.pooling import resize


class Graph(nn.Module):
    """What `segwright export` writes: mask, probabilities, and the logits of both."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse = self.network.coarse_logits(image)
        logits = resize(coarse, (image.shape[-2], image.shape[-1]))
        return logits.argmax(1).to(torch.uint8), logits.softmax(1), coarse


def write_graph(network: SegmentationNetwork, path: Path) -> Path:
    """Write a network in evaluation mode as ONNX, for images of every size."""
    dynamic = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    image = torch.zeros(2, network.spec.bands, 64, 96, dtype=torch.uint8)
    program = torch.export.export(Graph(network).eval(), (image,), dynamic_shapes=(dynamic,))
    with warnings.catch_warnings():
        # PyTorch's exporter copies trees by a name that PyTorch itself has deprecated
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
        outputs = ["mask", "probabilities", "logits"]
        converted = torch.onnx.export(
            program, dynamo=True, input_names=["image"], output_names=outputs, verbose=False, optimize=False
        )
    assert converted is not None
    converted.save(path)
    return path


def write_export(
    bundle: Path,
    model: Path | None = None,
    precision: ExportPrecision = "float32",
    export_format: ExportFormat = "onnx",
    measured: MeasuredMeanIou | None = None,
    digest: str | None = None,
) -> Path:
    """Write an export of a bundle whose model is a copy of the file `model`, else no model at all but bytes."""
    folder = folder_of(bundle, export_format, precision)
    folder.mkdir(parents=True)
    file = folder / MODEL_FILES[export_format]
    file.write_bytes(model.read_bytes() if model else b"no model")
    description = ExportDescription(
        format=export_format,
        precision=precision,
        file=file.name,
        inputs=(),
        outputs=(),
        classes=(),
        inference_scale=1.0,
        bundle_digest=digest or weights_digest(bundle),
        versions={},
        largest_difference=0.0,
        mean_iou=measured,
    )
    (folder / EXPORT_DESCRIPTION).write_text(description.model_dump_json())
    return folder
