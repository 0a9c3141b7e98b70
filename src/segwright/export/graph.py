"""A network as one ONNX file: pixels to mask, probabilities and logits, at any batch, height and width."""

import warnings
from pathlib import Path
from typing import Final

import onnx
import onnxscript  # noqa: F401 -- torch.onnx imports it late
import torch
from torch import Tensor, nn
from torch.export import Dim

from segwright.errors import UserError
from segwright.export.portable import make_portable
from segwright.exported import IMAGE, LOGITS, MASK, PROBABILITIES
from segwright.networks import SegmentationNetwork, resize
from segwright.networks.spec import NetworkSpec

OUTPUTS: Final = (MASK, PROBABILITIES, LOGITS)

_TRACED: Final = (2, 64, 96)  # batch, height and width, of which none stays in the graph


class ExportedNetwork(nn.Module):
    """What exported files compute."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images [B, bands, H, W] to mask, uint8 [B, H, W], probabilities, float32 [B, C, H, W], and the logits that
        both are resized from, float32 [B, C, h, w].
        """
        logits = self.network.coarse_logits(image)
        resized = resize(logits, (image.shape[-2], image.shape[-1]))
        return resized.argmax(1).to(torch.uint8), resized.softmax(1), logits


def images_of(spec: NetworkSpec, batch: int, height: int, width: int) -> Tensor:
    """Images of random pixels over a model's whole range, [B, bands, H, W], the same ones every time."""
    shape, generator = (batch, spec.bands, height, width), torch.Generator().manual_seed(height)
    if not spec.takes_floats:
        numbers = torch.randint(0, spec.scale + 1, shape, generator=generator, dtype=torch.int32)
        return numbers.to(torch.uint8 if spec.bit_depth == 8 else torch.uint16)
    assert spec.mean is not None and spec.std is not None, "a built network has both"
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (spec.mean, spec.std))
    return mean + std * torch.randn(shape, generator=generator)


def write_onnx(network: SegmentationNetwork, path: Path) -> None:
    """Write a network in evaluation mode, on the CPU, as an ONNX file. Raises UserError where it cannot be exported."""
    dynamic = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    images = images_of(network.spec, *_TRACED)
    try:
        with warnings.catch_warnings():
            # PyTorch's exporter copies trees by a name that PyTorch itself has deprecated
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            program = torch.export.export(ExportedNetwork(network), (images,), dynamic_shapes=(dynamic,))
            converted = torch.onnx.export(
                program, dynamo=True, input_names=[IMAGE], output_names=list(OUTPUTS), verbose=False
            )
        assert converted is not None
        model = converted.model_proto
    except ModuleNotFoundError:
        raise
    except Exception as error:  # tracing runs code of timm, PyTorch and onnxscript: anything may fail
        name = f"{network.spec.algorithm} on {network.spec.backbone}"
        reason = (" ".join(str(error).split()) or type(error).__name__)[:300]
        raise UserError(
            f"{name} cannot be exported; `segwright serve` runs it as it is. PyTorch says: {reason}"
        ) from error
    make_portable(model)
    for node in model.graph.node:
        del node.metadata_props[:]  # where in the source each came from: most of a small file, and names of folders
    onnx.save(model, path)
