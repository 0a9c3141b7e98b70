"""Three steps of live GluonCV networks, recorded, come out of the recipe `sagemaker`."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segwright.data.loader import Batch
from segwright.distributed import Distributed
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.mxnet.state_dict import torch_name
from segwright.networks import Algorithm, SegmentationNetwork
from segwright.training.optimizers import learning_rate
from segwright.training.train_step import EpochSums, TrainState
from tests.helpers.gluoncv import FIXTURES, recorded_network

SETTINGS = Hyperparameters(
    recipe="sagemaker",
    num_classes=5,
    mini_batch_size=4,
    crop_size=96,
    epochs=10,
    learning_rate=0.01,
    lr_scheduler="step",
    lr_scheduler_step=(2,),
    lr_scheduler_factor=0.5,
    logging_frequency=1,
)


def recorded_batch() -> Batch:
    rng = np.random.RandomState(7)
    images = rng.standard_normal((4, 3, 96, 96)).astype(np.float32)
    labels = rng.randint(-1, 5, (4, 12, 12)).repeat(8, 1).repeat(8, 2)
    masks = np.where(labels < 0, IGNORE, labels).astype(np.uint8)
    return Batch(torch.from_numpy(images), torch.from_numpy(masks), ("a", "b", "c", "d"), int((masks != IGNORE).sum()))


def prepared(network: SegmentationNetwork, monkeypatch: pytest.MonkeyPatch) -> SegmentationNetwork:
    """As it was recorded: no dropout, and input that is normalised already."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    monkeypatch.setattr(network, "normalise", lambda pixels: pixels)
    return network


@pytest.mark.parametrize("algorithm", ["fcn", "psp", "deeplab"])
def test_three_steps_equal_gluoncv(algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = json.loads((FIXTURES / f"{algorithm}_resnet50_c5.steps.json").read_text())
    network = prepared(recorded_network(algorithm), monkeypatch)
    trainer = TrainState(network, SETTINGS, Distributed(), torch.device("cpu"), torch.float32)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    losses: list[float] = []
    distances: list[dict[str, float]] = []

    sums = EpochSums()

    def note(_images: int) -> None:
        losses.append(sums.latest_loss)
        distances.append({name: distance(value, start[name]) for name, value in network.state_dict().items()})

    trainer.train_epoch([recorded_batch()] * 3, partial(learning_rate, SETTINGS, updates_per_epoch=1), sums, note)
    assert losses == pytest.approx(np.mean(recorded["loss_per_image"], axis=1), rel=1e-3)
    compared = 0
    for name, steps in recorded["moved"].items():
        if name.endswith("running_var"):
            continue  # torch keeps the unbiased variance, MXNet the biased one
        for step, (norm, *_) in enumerate(steps):
            assert distances[step][torch_name(name)] == pytest.approx(norm, rel=1e-2), (name, step)
            compared += 1
    assert compared > 600


def distance(now: Tensor, before: Tensor) -> float:
    return float((now.double() - before.double()).norm())
