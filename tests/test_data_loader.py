import shutil
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch

from segwright.data import loader as loading
from segwright.data.folders import find_pairs
from segwright.data.loader import TrainingLoader, training_loader
from segwright.data.pairs import Pair
from segwright.distributed import ALONE, Distributed
from segwright.errors import DataError
from segwright.hyperparameters import Hyperparameters
from segwright.labels import IGNORE, LabelMap
from segwright.storage import FileBlob
from tests.conftest import Draw

IDENTITY = LabelMap.identity()
CROPS = Hyperparameters(base_size=48, crop_size=32)
BATCH = 4 * 32 * 32 * 4
"""Bytes of a batch of four such crops, of three bands and a mask."""


@pytest.fixture
def pairs(channels_folder: Draw) -> tuple[Pair, ...]:
    data = channels_folder(train=5)
    return find_pairs(data / "train", data / "train_annotation").pairs


def loader_of(
    pairs: tuple[Pair, ...], settings: Hyperparameters, processes: Distributed = ALONE, **values: int
) -> TrainingLoader:
    return training_loader(pairs, IDENTITY, settings.model_copy(update=values), processes=processes)


def test_padding_is_what_the_caller_says(pairs: tuple[Pair, ...]) -> None:
    def masks(padding: Literal["ignore", "class-0"]) -> torch.Tensor:
        crops = Hyperparameters(base_size=48, crop_size=128, padding=padding)
        return next(loader_of(pairs, crops, mini_batch_size=5, seed=0, workers=0).epoch(0)).masks

    ignored, zero = masks("ignore"), masks("class-0")
    assert (ignored == IGNORE).any() and not (zero == IGNORE).any()
    assert torch.equal(zero, torch.where(ignored == IGNORE, 0, ignored))


def test_epochs_differ_and_repeat_by_seed(pairs: tuple[Pair, ...]) -> None:
    def epoch(seed: int, number: int) -> torch.Tensor:
        loader = loader_of(pairs, CROPS, mini_batch_size=5, seed=seed, workers=0)
        return next(loader.epoch(number)).images

    assert torch.equal(epoch(0, 1), epoch(0, 1))
    assert not torch.equal(epoch(0, 1), epoch(0, 2))
    assert not torch.equal(epoch(0, 1), epoch(1, 1))


def test_workers_change_nothing(pairs: tuple[Pair, ...]) -> None:
    def batches(workers: int) -> list[torch.Tensor]:
        loader = loader_of(pairs, CROPS, mini_batch_size=2, seed=0, workers=workers)
        return [batch.images.clone() for epoch in range(2) for batch in loader.epoch(epoch)]

    for alone, helped in zip(batches(0), batches(2), strict=True):
        assert torch.equal(alone, helped)


@pytest.mark.parametrize(("room", "fitting"), [(1 << 30, 2), (4 * BATCH, 1), (3 * BATCH, 0), (0, 0)])
def test_no_more_workers_than_shared_memory_has_room_for(
    pairs: tuple[Pair, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, room: int, fitting: int
) -> None:
    if not loading._SHARED_MEMORY.is_dir():
        pytest.skip("only Linux keeps shared memory as files")
    monkeypatch.setattr(loading, "available_cores", lambda: 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=room))
    made = loader_of(pairs, CROPS, mini_batch_size=4, seed=0, workers=2)
    assert made._loader.num_workers == fitting
    assert ("shm-size" in caplog.text) == (fitting < 2)
    assert sum(len(batch.keys) for batch in made.epoch(0)) == len(pairs)


def test_batches_are_integers_channels_last(pairs: tuple[Pair, ...]) -> None:
    loader = loader_of(pairs, CROPS, mini_batch_size=2, seed=0, workers=0)
    batch = next(loader.epoch(0))
    assert batch.images.dtype == batch.masks.dtype == torch.uint8
    assert batch.images.shape == (2, 3, 32, 32) and batch.masks.shape == (2, 32, 32)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert set(np.unique(batch.masks.numpy())) <= {0, 1, 2, IGNORE}
    assert len(batch.keys) == 2


def test_a_padding_sample_has_nothing_to_learn(pairs: tuple[Pair, ...]) -> None:
    loader = loader_of(pairs[:1], CROPS, Distributed(rank=1, world_size=2), mini_batch_size=2, seed=0, workers=0)
    assert (next(loader.epoch(0)).masks == IGNORE).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_gone_bad_is_one_clear_error(pairs: tuple[Pair, ...], workers: int) -> None:
    bad = pairs[2].image
    assert isinstance(bad, FileBlob)
    bad.path.write_bytes(b"not a picture")
    loader = loader_of(pairs, CROPS, mini_batch_size=2, seed=0, workers=workers)
    with pytest.raises(DataError, match=bad.path.name) as caught:
        list(loader.epoch(0))
    assert "Traceback" not in str(caught.value)
