"""A trained model in memory, ready to be asked: what Python users hold in their hands."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segwright.bundle import Description, load_network
from segwright.errors import DataError
from segwright.inference.devices import choose_device
from segwright.inference.logits import image_mask, image_probabilities
from segwright.networks import SegmentationNetwork


class Model:
    """A network with its classes on a device."""

    def __init__(self, description: Description, network: SegmentationNetwork, device: torch.device) -> None:
        self.description = description
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return self.description.class_names

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The colours of the classes, uint8 [C, 3]."""
        return np.array([entry.colour for entry in self.description.classes], np.uint8)

    def mask(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the class of every pixel, uint8 [H, W], of an image, uint8 [H, W, 3] in RGB order.

        Raises DataError when the image does not have the bands that the model was trained on.
        """
        return image_mask(self.network, self._checked(image), device=self.device)

    def probabilities(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probability of every class at every pixel, float32 [C, H, W], of an image as in `mask`."""
        return image_probabilities(self.network, self._checked(image), device=self.device)

    def _checked(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        bands, dtype = self.description.network.bands, f"uint{self.description.network.bit_depth}"
        if image.ndim != 3 or image.shape[2] != bands or image.dtype != dtype or 0 in image.shape:
            raise DataError(
                f"an image of shape {image.shape} and type {image.dtype} does not fit the model: "
                f"it takes [height, width, {bands}] of {dtype}"
            )
        return image


def load(bundle: Path | str, device: str | None = None) -> Model:
    """Load the best weights of a bundle onto a device (cpu, cuda, mps; None: the best one present).

    Raises BundleError when the bundle is damaged, and UserError when the device is not there.
    """
    description, network = load_network(Path(bundle))
    return Model(description, network, choose_device(device))
