"""Live GluonCV's FCN ResNet-50 on CamVid for some steps; the loss of each as a line of JSON.

VENV/bin/python benchmarks/gluoncv/train_gluoncv.py DATA STARTING_WEIGHTS.npz --seed 0 > losses.jsonl

VENV is made by environment.sh, STARTING_WEIGHTS by starting_weights.py; DATA holds train/*.jpg and
train_annotation/*.png. It does what GluonCV's scripts/segmentation/train.py does on one device, with GluonCV's own
network, loss, schedule and augmentation, and MXNet's loader and trainer. It imports nothing of Segwright.

A line has the step, counted from 1, the loss before its update and the learning rate of that update. The loss is the
mean over the batch (train.py prints its first image's) of what GluonCV's loss returns per image: the mean over all
pixels, void ones counting as 0, main term plus 0.5 times the auxiliary one. The last line has the seconds of the whole
training.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mxnet as mx  # type: ignore[import-not-found]
import numpy as np
from gluoncv.data.segbase import SegmentationDataset  # type: ignore[import-not-found]
from gluoncv.loss import MixSoftmaxCrossEntropyLoss  # type: ignore[import-not-found]
from gluoncv.model_zoo import FCN  # type: ignore[import-not-found]
from gluoncv.utils import LRScheduler  # type: ignore[import-not-found]
from mxnet.gluon.data.vision import transforms  # type: ignore[import-not-found]
from PIL import Image

CLASSES = 11
VOID = 255
AUX_WEIGHT = 0.5
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4


class CamVid(SegmentationDataset):  # type: ignore[misc]
    """GluonCV's VOCSegmentation with CamVid's files."""

    NUM_CLASS = CLASSES

    def __init__(self, root: Path, base_size: int, crop_size: int) -> None:
        steps = [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
        super().__init__(str(root), "train", "train", transforms.Compose(steps), base_size, crop_size)
        self.images = sorted((root / "train").glob("*.jpg"))
        self.masks = [root / "train_annotation" / f"{image.stem}.png" for image in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.open(self.images[index]).convert("RGB")
        image, mask = self._sync_transform(image, Image.open(self.masks[index]))
        return self.transform(image), mask

    def _mask_transform(self, mask: Image.Image) -> Any:
        labels = np.array(mask).astype("int32")
        labels[labels == VOID] = -1
        return mx.nd.array(labels, mx.cpu(0))


def main() -> None:
    """Train and print."""
    arguments = _arguments()
    start = time.monotonic()
    random.seed(arguments.seed)  # augmentation
    np.random.seed(arguments.seed)  # order of the pictures
    mx.random.seed(arguments.seed)  # dropout
    for line in losses(arguments):
        print(json.dumps(line), flush=True)
    print(json.dumps({"seconds": round(time.monotonic() - start, 1)}))


def losses(arguments: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train as train.py does; yield the figures of each step."""
    network = build(arguments.weights, arguments.crop_size)
    criterion = MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=AUX_WEIGHT)
    schedule = LRScheduler(mode="poly", base_lr=arguments.learning_rate, niters=arguments.steps, power=0.9)
    settings = {"lr_scheduler": schedule, "wd": WEIGHT_DECAY, "momentum": MOMENTUM, "multi_precision": False}
    trainer = mx.gluon.TrainState(network.collect_params(), "sgd", settings)
    data = CamVid(arguments.data, arguments.base_size, arguments.crop_size)
    for step, (images, labels) in zip(range(1, arguments.steps + 1), batches(data, arguments.batch), strict=False):
        with mx.autograd.record(True):
            per_image = criterion(*network(images), labels)
        mx.autograd.backward(per_image)
        trainer.step(arguments.batch)
        yield {"step": step, "loss": float(per_image.mean().asscalar()), "learning_rate": trainer.learning_rate}


def build(weights: Path, crop_size: int) -> Any:
    """GluonCV's network with the starting weights; GluonCV refuses missing and superfluous arrays."""
    network = FCN(nclass=CLASSES, backbone="resnet50", aux=True, pretrained_base=False, crop_size=crop_size)
    with np.load(weights) as arrays, tempfile.TemporaryDirectory() as folder:
        parameters = str(Path(folder) / "start.params")
        mx.nd.save(parameters, {name: mx.nd.array(array) for name, array in arrays.items()})
        network.load_parameters(parameters, ctx=mx.cpu(0))
    return network


def batches(data: CamVid, batch: int) -> Iterator[tuple[Any, Any]]:
    """Batches without end: the rest of an epoch rolls over into the next one."""
    loader = mx.gluon.data.DataLoader(data, batch, shuffle=True, last_batch="rollover", num_workers=0)
    while True:
        yield from loader


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train GluonCV's FCN on CamVid and print the losses.")
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200, help="the schedule ends with the last one")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--base-size", type=int, default=208)
    parser.add_argument("--crop-size", type=int, default=96)
    return parser.parse_args()


if __name__ == "__main__":
    main()
