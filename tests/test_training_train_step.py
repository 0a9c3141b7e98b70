import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch

from segwright.data.loader import Batch
from segwright.errors import UserError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE
from segwright.networks import NetworkSpec, build_network
from segwright.training.distributed import Distributed, join_processes
from segwright.training.train_step import EpochSums, StepFigures, TrainState
from tests.conftest import TINY_BACKBONE

CPU = torch.device("cpu")


def settings(**values: object) -> Hyperparameters:
    return Hyperparameters.model_validate(
        {"num_classes": 3, "epochs": 1, "learning_rate": 0.01, "optimizer": "sgd", "head_rate_factor": 1, **values}
    )


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
    return Batch(images[chosen], masks[chosen], tuple(f"picture {index}" for index in range(8))[chosen])


def weights(trained: TrainState) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trained.network.parameters()])


def run(trained: TrainState, batches: list[Batch]) -> tuple[float, list[StepFigures]]:
    steps: list[StepFigures] = []
    sums = EpochSums()
    trained.epoch(batches, len(batches), sums, steps.append)
    return sums.mean_loss, steps


def test_a_step_learns() -> None:
    learner = trainer(optimizer="adam")
    pictures = batch(4)
    pictures.masks.fill_(2)
    _, steps = run(learner, [pictures] * 6)
    assert steps[-1].loss < steps[0].loss / 2
    assert learner.updates == 6


def test_parts_of_a_batch_make_the_same_update() -> None:
    whole, parts = trainer(), trainer(accumulation=3)
    loss, _ = run(whole, [batch(5), batch(3, first=5)])
    same, _ = run(parts, [batch(5), batch(3, first=5)])
    assert loss == pytest.approx(same, rel=1e-5)
    assert torch.allclose(weights(whole), weights(parts), atol=1e-6)


def test_ignored_pictures_change_nothing() -> None:
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
    with pytest.raises(UserError, match=r"nan.*picture 3.*--learning-rate"):
        run(learner, [batch(1, first=3)])


def test_heads_learn_faster_by_their_factor() -> None:
    groups = trainer(head_rate_factor=7).optimizer.param_groups
    assert [group["rate_factor"] for group in groups] == [1.0, 7.0]


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


def test_a_single_picture_trains_where_pooling_leaves_one_value() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(algorithm="psp", backbone=TINY_BACKBONE, num_classes=3))
    learner = TrainState(network, settings(), Distributed(), CPU, torch.float32)
    _, steps = run(learner, [batch(1)])
    assert steps[0].loss > 0


def _one_of_two(rank: int, port: int, folder: Path, sizes: tuple[int, int], rule: str) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    with join_processes() as processes:
        learner = trainer(processes, accumulation=2, update_rule=rule, mini_batch_size=6)
        share = batch(sizes[0]) if rank == 0 else batch(sizes[1], first=sizes[0])
        run(learner, [share])
        torch.save(weights(learner), folder / f"{rank}.pt")


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _train_in_two(folder: Path, port: int, rule: str) -> list[torch.Tensor]:
    """The weights of both processes after one step on unequal shares, of five pictures and of one."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_one_of_two, args=(rank, port, folder, (5, 1), rule)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_two_processes_make_the_update_of_one(tmp_path: Path, port: int) -> None:
    # Unequal numbers of labelled pixels: the mean of means would differ.
    alone = trainer()
    run(alone, [batch(6)])
    for trained in _train_in_two(tmp_path, port, "mean"):
        assert torch.allclose(trained, weights(alone), atol=1e-5)


def test_gluoncv_adds_the_means_of_its_devices(tmp_path: Path, port: int) -> None:
    start = weights(trainer())
    expected = start * (1 - 0.01 * 0.0001)  # weight decay acts once
    for share in (batch(5), batch(1, first=5)):
        alone = trainer(update_rule="gluoncv", mini_batch_size=6, weight_decay=0)
        run(alone, [share])
        expected += weights(alone) - start
    for trained in _train_in_two(tmp_path, port, "gluoncv"):
        assert torch.allclose(trained, expected, atol=1e-6)
