import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from segwright.data.loader import Batch
from segwright.distributed import Distributed, join_processes
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.networks import NetworkSpec, build_network
from segwright.training.loss import balancing_weights, loss_scale
from segwright.training.optimizers import learning_rate
from segwright.training.train_step import EpochSums, TrainState
from tests.conftest import TINY_BACKBONE
from tests.helpers.processes import FORKS

CPU = torch.device("cpu")
LOSSES = get_args(Hyperparameters.model_fields["loss"].annotation)


def settings(**values: object) -> Hyperparameters:
    usual = {"num_classes": 3, "epochs": 1, "learning_rate": 0.01, "optimizer": "sgd", "head_rate_factor": 1}
    return Hyperparameters.model_validate({**usual, "logging_frequency": 1, **values})


def trainer(processes: Distributed | None = None, **values: object) -> TrainState:
    """A trainer whose updates do not depend on how a batch is split: no dropout, no batch statistics."""
    torch.manual_seed(0)
    network = build_network(NetworkSpec(algorithm="fcn", backbone=TINY_BACKBONE, num_classes=3))
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
            module.train = lambda _mode=True, module=module: module  # type: ignore[method-assign, misc]
            module.training = False
    return TrainState(network, settings(**values), processes or Distributed(), CPU, torch.float32)


def batch(count: int, first: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (8, 3, 24, 24), generator=generator, dtype=torch.uint8)
    masks = torch.randint(0, 3, (8, 24, 24), generator=generator, dtype=torch.uint8)
    masks[1] = IGNORE
    masks[2, :20] = IGNORE
    chosen = slice(first, first + count)
    keys = tuple(f"image {index}" for index in range(8))[chosen]
    return Batch(images[chosen], masks[chosen], keys, int((masks[chosen] != IGNORE).sum()))


def weights(trained: TrainState) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trained.network.parameters()])


def rate(trained: TrainState, updates_per_epoch: int) -> Callable[[int], float]:
    return partial(learning_rate, trained.settings, updates_per_epoch=updates_per_epoch)


def run(trained: TrainState, batches: list[Batch]) -> tuple[float, list[float]]:
    """The mean loss, and that of each step."""
    losses: list[float] = []
    sums = EpochSums()
    trained.train_epoch(batches, rate(trained, len(batches)), sums, lambda _images: losses.append(sums.latest_loss))
    return sums.mean_loss, losses


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(loss: str) -> None:
    """From images that are dark on the left, of class 0, and bright on the right, of class 2; the rest is ignored."""
    learner = trainer(optimizer="adam", loss=loss, learning_rate=0.004)
    images = batch(4)
    for side, label in ((slice(8), 0), (slice(8, 16), 2), (slice(16, 24), IGNORE)):
        images.images[..., side], images.masks[..., side] = min(100 * label, 255), label
    _, losses = run(learner, [images._replace(labelled=4 * 24 * 16)] * 10)
    assert losses[-1] < 0.6 * losses[0]
    assert learner.updates == 10


def test_parts_of_a_batch_make_the_same_update() -> None:
    whole, parts = trainer(), trainer(accumulation=3)
    loss, _ = run(whole, [batch(5), batch(3, first=5)])
    same, _ = run(parts, [batch(5), batch(3, first=5)])
    assert loss == pytest.approx(same, rel=1e-5)
    assert torch.allclose(weights(whole), weights(parts), atol=1e-6)


def test_ignored_images_change_nothing() -> None:
    without, with_ignored = trainer(), trainer()
    run(without, [batch(1)])
    run(with_ignored, [batch(2)])
    assert torch.allclose(weights(without), weights(with_ignored), atol=1e-6)


def test_a_batch_of_nothing_but_ignore_is_no_nan() -> None:
    learner = trainer()
    loss, _ = run(learner, [batch(1, first=1)])
    assert loss == 0
    assert torch.isfinite(weights(learner)).all()


def test_a_loss_that_is_no_number_stops_and_names_the_batch() -> None:
    learner = trainer()
    with torch.no_grad():
        next(iter(learner.network.parameters())).fill_(float("nan"))
    with pytest.raises(UserError, match=r"nan at update 1 .*images image 3\).*learning_rate"):
        run(learner, [batch(1, first=3)])


def test_a_loss_that_is_no_number_is_seen_when_losses_are_read() -> None:
    learner = trainer(logging_frequency=3)
    done: list[int] = []

    def break_weights(images: int) -> None:
        done.append(images)
        with torch.no_grad():
            next(iter(learner.network.parameters())).fill_(float("nan"))

    with pytest.raises(UserError, match=r"nan at update 2 .*images image 3, image 4\)"):
        batches = [batch(1), batch(2, first=3), batch(2), batch(2)]
        learner.train_epoch(batches, rate(learner, 4), EpochSums(), break_weights)
    assert done == [1, 2]


STEPS = [("sagemaker", "cross-entropy"), ("best", "ohem"), ("best", "cross-entropy+dice"), ("best", "lovasz")]


@pytest.mark.parametrize(("recipe", "loss"), STEPS)
def test_a_step_never_waits_for_the_device(recipe: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever brings a number to the host fails within a step; torch's own optimizers count their steps there."""
    network = build_network(NetworkSpec(algorithm="psp", backbone=TINY_BACKBONE, num_classes=3))
    values = {"recipe": recipe, "loss": loss, "num_classes": 3, "mini_batch_size": 5, "accumulation": 2}
    given = Hyperparameters.model_validate(values)
    weights = balancing_weights(np.array([5, 1, 3])) if given.loss_of_pixels else None
    learner = TrainState(network, given, Distributed(), CPU, torch.float32, weights)
    step, within = TrainState.train_step, []

    def train_step(*arguments: Any) -> torch.Tensor:
        within.append(True)
        loss = step(*arguments)
        within.clear()
        return loss

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__"):
        real = getattr(torch.Tensor, name)

        def read(self: torch.Tensor, *arguments: Any, name: str = name, real: Any = real) -> Any:
            caller = sys._getframe(1).f_globals["__name__"]
            assert not within or caller.startswith("torch.optim"), f"{name} within a step, called by {caller}"
            return real(self, *arguments)

        monkeypatch.setattr(torch.Tensor, name, read)
    monkeypatch.setattr(TrainState, "train_step", train_step)
    sums = EpochSums()
    learner.train_epoch([batch(5), batch(3, first=5), batch(5)], rate(learner, 3), sums, lambda _images: None)
    assert (learner.updates, sums.images) == (3, 13) and sums.mean_loss > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_on_a_gpu_never_waits_for_it(loss: str) -> None:
    device = torch.device("cuda", 0)
    network = build_network(NetworkSpec(algorithm="fcn", backbone=TINY_BACKBONE, num_classes=3))
    weights = torch.tensor([1.0, 2.0, 3.0])
    learner = TrainState(network, settings(accumulation=2, loss=loss), Distributed(), device, torch.bfloat16, weights)
    learner.network.train()
    pinned = batch(5)._replace(images=batch(5).images.pin_memory(), masks=batch(5).masks.pin_memory())
    scale = loss_scale(learner.settings, pinned.labelled, pinned.labelled, pinned.masks.numel())
    learner.train_step(pinned, scale, 0.01)  # the first step may set libraries up
    torch.cuda.set_sync_debug_mode("error")
    try:
        learner.train_step(pinned, scale, 0.01)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_heads_learn_faster_by_their_factor() -> None:
    groups = trainer(head_rate_factor=7).optimizer.param_groups
    assert [group["lr_factor"] for group in groups] == [1.0, 7.0]


def test_mxnets_adadelta_knows_no_rate() -> None:
    def rates(rule: str) -> list[float]:
        learner = trainer(optimizer="adadelta", update_rule=rule, learning_rate=0.5, head_rate_factor=2)
        run(learner, [batch(1)])
        return [group["lr"] for group in learner.optimizer.param_groups]

    assert rates("gluoncv") == [1.0, 1.0]
    assert rates("mean") == [0.5, 1.0]


@pytest.mark.parametrize("name", ["sgd", "nag", "adam", "adamw", "adagrad", "adadelta", "rmsprop"])
def test_every_optimizer_moves_every_parameter(name: str) -> None:
    learner = trainer(optimizer=name)
    before = [parameter.detach().clone() for parameter in learner.network.parameters()]
    run(learner, [batch(4)] * 2)
    after = list(learner.network.parameters())
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_a_single_image_trains_where_pooling_leaves_one_value() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(algorithm="psp", backbone=TINY_BACKBONE, num_classes=3))
    learner = TrainState(network, settings(), Distributed(), CPU, torch.float32)
    _, losses = run(learner, [batch(1)])
    assert losses[0] > 0


RULES = ("mean", "gluoncv")
REGIONS = "cross-entropy+lovasz"


def _one_of_two(rank: int, port: int, folder: Path) -> None:
    """Make one step by each rule on unequal shares, of five images and of one, and save the weights; then two steps
    with a loss of regions on equal shares, where the second share of the second step is ignored.
    """
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    with join_processes() as processes:
        for rule in RULES:
            learner = trainer(processes, accumulation=2, update_rule=rule, mini_batch_size=6)
            run(learner, [batch(5) if rank == 0 else batch(1, first=5)])
            torch.save(weights(learner), folder / f"{rule}{rank}.pt")
        learner = trainer(processes, loss=REGIONS)
        run(learner, [batch(2, first=2 * rank), batch(1, first=rank)])
        torch.save(weights(learner), folder / f"{REGIONS}{rank}.pt")


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[torch.Tensor]]:
    """The weights of both processes, by rule."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    workers = [FORKS.Process(target=_one_of_two, args=(rank, port, folder)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    return {rule: [torch.load(folder / f"{rule}{rank}.pt") for rank in range(2)] for rule in (*RULES, REGIONS)}


def test_two_processes_make_the_update_of_one(of_two_processes: dict[str, list[torch.Tensor]]) -> None:
    # Unequal numbers of labelled pixels: the mean of means would differ.
    alone = trainer()
    run(alone, [batch(6)])
    for trained in of_two_processes["mean"]:
        assert torch.allclose(trained, weights(alone), atol=1e-5)


def test_two_processes_make_the_update_of_two_parts(of_two_processes: dict[str, list[torch.Tensor]]) -> None:
    """A loss of regions is the mean over parts, each counted by its labelled pixels, of which one has none."""
    alone = trainer(loss=REGIONS, accumulation=2)
    run(alone, [batch(4), batch(2)])
    for trained in of_two_processes[REGIONS]:
        assert torch.allclose(trained, weights(alone), atol=1e-5)


def test_gluoncv_adds_the_means_of_its_devices(of_two_processes: dict[str, list[torch.Tensor]]) -> None:
    start = weights(trainer())
    expected = start * (1 - 0.01 * 0.0001)  # weight decay acts once
    for share in (batch(5), batch(1, first=5)):
        alone = trainer(update_rule="gluoncv", mini_batch_size=6, weight_decay=0)
        run(alone, [share])
        expected += weights(alone) - start
    for trained in of_two_processes["gluoncv"]:
        assert torch.allclose(trained, expected, atol=1e-6)
