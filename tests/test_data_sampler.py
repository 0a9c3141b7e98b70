from hypothesis import given
from hypothesis import strategies as st

from segwright.data.sampler import EpochSampler


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_visits_each_pair_once_over_all_processes(count: int, batch: int, world: int, epoch: int) -> None:
    visited: list[int] = []
    lengths = set()
    for rank in range(world):
        sampler = EpochSampler(range(count), batch, seed=1, rank=rank, world_size=world)
        sampler.epoch = epoch
        batches = list(sampler)
        lengths.add(len(batches))
        assert len(batches) == len(sampler)
        assert all(batches), "a process without a pair stays in step with a padding sample"
        visited += [visit.pair for batch_ in batches for visit in batch_ if visit.counted]
    assert sorted(visited) == list(range(count))
    assert len(lengths) == 1


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5))
def test_what_rolls_over_begins_the_next_epoch(count: int, batch: int, epochs: int) -> None:
    batch = min(batch, count)
    sampler = EpochSampler(range(count), batch, seed=1, rollover=True)
    visits: list[tuple[int, int]] = []
    for epoch in range(epochs):
        sampler.epoch = epoch
        batches = list(sampler)
        assert len(batches) == len(sampler) in (count // batch, count // batch + 1)
        assert all(len(each) == batch for each in batches)
        visits += [(visit.epoch, visit.pair) for each in batches for visit in each]
    assert len(visits) == epochs * count // batch * batch
    assert len(set(visits)) == len(visits), "each pair once a stretch, drawn with the stretch's own randomness"
    assert [epoch for epoch, _ in visits] == sorted(epoch for epoch, _ in visits)


@given(st.integers(1, 40), st.integers(1, 9), st.booleans(), st.integers(0, 3), st.integers(0, 5))
def test_the_rest_of_an_epoch_is_the_rest_of_it(count: int, batch: int, rollover: bool, epoch: int, skip: int) -> None:
    sampler = EpochSampler(range(count), min(batch, count), seed=1, rollover=rollover)
    sampler.epoch = epoch
    whole = list(sampler)
    sampler.skip = min(skip, len(whole))
    assert list(sampler) == whole[sampler.skip :]
    assert len(sampler) == len(whole) - sampler.skip


def test_the_global_batch_does_not_depend_on_the_number_of_processes() -> None:
    alone = [sorted(visit.pair for visit in batch) for batch in EpochSampler(range(20), 6, seed=3)]
    two = [EpochSampler(range(20), 6, seed=3, rank=rank, world_size=2) for rank in range(2)]
    together = [sorted(visit.pair for visit in [*first, *second]) for first, second in zip(*two, strict=True)]
    assert alone == together


def test_the_order_follows_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(range(20), 6, seed=seed)
        sampler.epoch = epoch
        return [visit.pair for batch in sampler for visit in batch]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6
