"""Exports without `segwright export`: the network of a served model as an ONNX graph, and the folder around it."""

import tempfile
import warnings
from functools import cache
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from segwright.exported import (
    EXPORT_DESCRIPTION,
    MODEL_FILES,
    ExportDescription,
    ExportFormat,
    MeasuredMeanIou,
    folder_of,
    weights_digest,
)
from segwright.inference import load
from segwright.networks import SegmentationNetwork
from segwright.networks.pooling import resize
from segwright.precisions import ExportPrecision
from tests.helpers.served import write_bundle


class Graph(nn.Module):
    """What `segwright export` writes: mask, probabilities, and the logits of both."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse = self.network.coarse_logits(image)
        logits = resize(coarse, (image.shape[-2], image.shape[-1]))
        return logits.argmax(1).to(torch.uint8), logits.softmax(1), coarse


@cache
def served_graph() -> bytes:
    """The network of `write_bundle` as ONNX, for images of every size; made once, because it takes seconds."""
    image, dynamic = torch.zeros(2, 3, 64, 96, dtype=torch.uint8), {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        graph = Graph(load(write_bundle(Path(folder) / "model"), "cpu").network).eval()
        program = torch.export.export(graph, (image,), dynamic_shapes=(dynamic,))
        # PyTorch's exporter copies trees by a name that PyTorch itself has deprecated
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
        outputs = ["mask", "probabilities", "logits"]
        converted = torch.onnx.export(
            program, dynamo=True, input_names=["image"], output_names=outputs, verbose=False, optimize=False
        )
        assert converted is not None
        converted.save(Path(folder) / "model.onnx")
        return (Path(folder) / "model.onnx").read_bytes()


def damaged_graph(factor: float) -> bytes:
    """The same graph with every weight multiplied: it runs, and is wrong."""
    model = onnx.load_from_string(served_graph())
    for initializer in model.graph.initializer:
        values = onnx.numpy_helper.to_array(initializer)
        if values.ndim == 4:
            initializer.CopyFrom(onnx.numpy_helper.from_array((factor * values).astype(values.dtype), initializer.name))
    data: bytes = model.SerializeToString()
    return data


def write_export(
    bundle: Path,
    model: bytes = b"no model",
    precision: ExportPrecision = "float32",
    export_format: ExportFormat = "onnx",
    measured: MeasuredMeanIou | None = None,
    digest: str | None = None,
) -> Path:
    """Write an export of a bundle, with `model` in its file."""
    folder = folder_of(bundle, export_format, precision)
    folder.mkdir(parents=True)
    file = folder / MODEL_FILES[export_format]
    file.write_bytes(model)
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
