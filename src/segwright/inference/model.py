"""A trained model in memory, ready to predict."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segwright.bundle import Description, load_network
from segwright.devices import choose_device, limit_threads
from segwright.errors import DataError, UserError
from segwright.formats.images import EncodedImage, encode_tiff
from segwright.formats.pixels import PixelFormat, Pixels
from segwright.hyperparameter_values import LARGEST_SCALE, SMALLEST_SCALE
from segwright.inference.logits import Block, assemble, logit_blocks
from segwright.inference.runtimes import PyTorchRuntime, Runtime, check_precision, choose_runtime
from segwright.mxnet import find_model, is_mxnet_model, read_mxnet_model
from segwright.networks import SegmentationNetwork
from segwright.storage import open_blob

ImageSource = Pixels | Image.Image | Path | str
"""Pixels [H, W, bands] of a model's format, mostly uint8 RGB; an image of Pillow's; or the path of a file, also
`s3://`. The latter two are converted as in training: grey and palettes to RGB, EXIF orientation as the model has it.
"""

logger = logging.getLogger(__name__)


class Model:
    """A network with its classes, and what computes it."""

    def __init__(
        self,
        description: Description,
        runtime: Runtime,
        *,
        scale: float | None = None,
        tta: bool = False,
    ) -> None:
        """Predict images at `scale` times their size, by default the description's, and with `tta` also mirrored.

        Raises UserError for `tta` where the model knows no mirror images.
        """
        if tta and description.hyperparameters.get("flips") == "none":
            raise UserError(
                "tta averages over mirror images, but this model was trained without them (flips none), because left "
                "and right mean something in its classes: leave tta out.",
                name="tta",
            )
        self.description, self.runtime = description, runtime
        self.scale, self.tta = description.inference_scale if scale is None else scale, tta

    @property
    def network(self) -> SegmentationNetwork:
        """The network itself. Raises AttributeError where not PyTorch computes it but an exported graph."""
        if not isinstance(self.runtime, PyTorchRuntime):
            raise AttributeError(f"the model is computed by {self.runtime.name}; only precision float32 has a network")
        return self.runtime.network

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return self.description.class_names

    @property
    def pixel_format(self) -> PixelFormat:
        """What the pixels of images have to be."""
        return self.description.network.pixel_format

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The colours of the classes, uint8 [C, 3]."""
        return np.array([entry.colour for entry in self.description.classes], np.uint8)

    @property
    def temperature(self) -> float:
        """By which logits are divided for probabilities; 1 where none was fitted."""
        return self.description.temperature or 1.0

    def mask(self, image: ImageSource) -> NDArray[np.uint8]:
        """Return the class of every pixel, uint8 [H, W], of an image.

        Raises DataError for pixels of another form than `pixel_format`, and for a file that cannot be read.
        """
        pixels = self._read(image)
        mask = np.empty(pixels.shape[:2], np.uint8)
        assemble(self.blocks(pixels), mask)
        return mask

    def probabilities(self, image: ImageSource) -> NDArray[np.float32]:
        """Return the probability of every class at every pixel, float32 [C, H, W], of an image as in `mask`.

        They are scaled by the model's `temperature`.
        """
        pixels = self._read(image)
        probabilities = np.empty((len(self.class_names), *pixels.shape[:2]), np.float32)
        assemble(self.blocks(pixels), probabilities=probabilities, temperature=self.temperature)
        return probabilities

    def blocks(self, image: Pixels) -> Iterator[Block]:
        """Yield the logits of an image [H, W, bands] of `pixel_format`, a part at a time: bounded in memory whatever
        its size. Raises DataError when the image has another form.
        """
        pixel_format = self.pixel_format
        if (
            image.ndim != 3
            or image.shape[2] != pixel_format.bands
            or image.dtype != pixel_format.dtype
            or 0 in image.shape
        ):
            raise DataError(
                f"an image of shape {image.shape} and type {image.dtype} does not fit the model: "
                f"it takes [height, width, {pixel_format.bands}] of {pixel_format.dtype}"
            )
        return logit_blocks(self.runtime, image, scale=self.scale, tta=self.tta)

    def _read(self, image: ImageSource) -> Pixels:
        if isinstance(image, np.ndarray):
            return image
        if isinstance(image, Image.Image):
            return EncodedImage(encode_tiff(image), "the image").decode(self.pixel_format)
        blob = open_blob(image)
        return EncodedImage(blob.read(), blob.name).decode(self.pixel_format)


def load(
    bundle: Path | str,
    device: str | None = None,
    precision: str = "float32",
    *,
    scale: float | None = None,
    tta: bool = False,
    workers: int = 1,
) -> Model:
    """Load the best weights of a bundle onto a device (cpu, cuda, mps; None: the best one present).

    `bundle` may also be a folder with the files of SageMaker's original algorithm, or one with the only model in a
    folder below it. `precision` is the number format to compute in: float32, which is exact, float16 (GPUs), bfloat16,
    int8 (exported models), or auto, the fastest that is proven for the model (`runtimes.choose_runtime`). The network
    sees images at `scale` times their size, 0.25 to 4, by default as the bundle says; with test-time augmentation
    (`tta`) also their mirror images, and probabilities are means over both. As many threads as `workers` may use the
    model at the same time.

    Raises BundleError when the model is damaged or there are several, UserError when the device is not there, or scale
    or precision cannot be had.
    """
    if scale is not None and not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        allowed = f"a number from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}"
        raise UserError(f"scale is {scale:g}; it takes {allowed}, or can be left out.", name="scale", value=scale)
    check_precision(precision)
    path = find_model(Path(bundle))
    description, network = read_mxnet_model(path) if is_mxnet_model(path) else load_network(path)
    chosen = choose_device(device)
    limit_threads(workers)
    network = network.to(chosen).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    runtime = choose_runtime(precision, path, description, network, streams=workers)
    model = Model(description, runtime, scale=scale, tta=tta)
    if model.scale != 1:
        logger.info(f"the network sees images at {model.scale:g} times their size")
    return model
