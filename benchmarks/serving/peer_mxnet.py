"""GluonCV's FCN ResNet-50 on MXNet: a contestant of benchmarks/serving.py, in the environment that
benchmarks/gluoncv/environment.sh makes.

VENV/bin/python benchmarks/serving/peer_mxnet.py IMAGE CLASSES float32|int8

From uint8 pixels in memory to a mask, without the auxiliary head; weights are random, which costs the same. INT8 is
calibrated as in GluonCV's scripts/segmentation, on the image alone.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

import mxnet as mx  # type: ignore[import-not-found]
import numpy as np
from gluoncv.model_zoo import FCN  # type: ignore[import-not-found]
from PIL import Image

from turns import take_turns

MEAN = mx.nd.array([0.485, 0.456, 0.406]).reshape((1, 3, 1, 1))
STD = mx.nd.array([0.229, 0.224, 0.225]).reshape((1, 3, 1, 1))


def normalised(pixels: Any) -> Any:
    """uint8 [H, W, 3] to float32 [1, 3, H, W]."""
    return (mx.nd.array(pixels).transpose((2, 0, 1)).expand_dims(0) / 255 - MEAN) / STD


def main(image: Path, classes: int, precision: str) -> None:
    """Build the network and take turns."""
    pixels = np.asarray(Image.open(image).convert("RGB"))
    height, width = pixels.shape[:2]
    network = FCN(classes, "resnet50", aux=False, pretrained_base=False, height=height, width=width)
    network.initialize(mx.init.Xavier())
    network.hybridize(static_alloc=True, static_shape=True)
    network(normalised(pixels))
    if precision == "int8":
        data = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(normalised(pixels), mx.nd.zeros((1,))), 1)
        network = mx.contrib.quantization.quantize_net(
            network, quantized_dtype="auto", calib_data=data, calib_mode="naive", num_calib_examples=1, ctx=mx.cpu()
        )
        network.hybridize(static_alloc=True, static_shape=True)

    def run() -> None:
        logits = network(normalised(pixels))
        logits = logits[0] if isinstance(logits, (tuple, list)) else logits
        logits.argmax(axis=1).asnumpy().astype(np.uint8)

    take_turns(run)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
