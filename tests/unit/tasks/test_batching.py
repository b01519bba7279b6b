"""Batches by token budget, and the place where an iteration stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import crystal_tokenizer, random_crystals

from sciar.datasets.batching import PackedLoader, plan_batches
from sciar.datasets.tokens import TokenCache, cached
from sciar.errors import UsageError
from sciar.records import Record


def cache(count: int = 40, copies: int = 1) -> TokenCache:
    records = [Record(f"r{i}", c) for i, c in enumerate(random_crystals(count))]
    return cached(records, crystal_tokenizer(), None, copies=copies)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=80),
    st.integers(10, 100),
    st.integers(0, 5),
    st.booleans(),
)
def test_a_pass_holds_every_record_once(
    lengths: list[int], budget: int, epoch: int, shuffle: bool
) -> None:
    sizes = np.array(lengths)
    batches = plan_batches(sizes, budget, seed=1, epoch=epoch, shuffle=shuffle)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sizes[batch].sum() <= budget
    again = plan_batches(sizes, budget, seed=1, epoch=epoch, shuffle=shuffle)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_batches_are_bucketed_and_shuffled() -> None:
    sizes = np.random.default_rng(0).integers(5, 100, 3000)
    batches = plan_batches(sizes, 500, seed=0, epoch=0)
    spread = np.mean([np.ptp(sizes[b]) for b in batches])
    assert spread < 5
    other = plan_batches(sizes, 500, seed=0, epoch=1)
    assert not np.array_equal(np.concatenate(batches), np.concatenate(other))
    first = [sizes[b].mean() for b in batches]
    assert abs(np.corrcoef(np.arange(len(first)), first)[0, 1]) < 0.3


def keys(loader: PackedLoader, passes: int = 1) -> list[list[int]]:
    return [pack.keys.tolist() for _ in range(passes) for pack in loader]


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("stop", [0, 1, 5, 9, 14])
def test_a_stopped_iteration_goes_on_with_the_same_batches(copies: int, stop: int) -> None:
    data = cache(copies=copies)
    straight = keys(PackedLoader(data, 100, seed=3), passes=3)
    loader = PackedLoader(data, 100, seed=3)
    seen: list[list[int]] = []
    while len(seen) < stop:
        for pack in loader:
            seen.append(pack.keys.tolist())
            if len(seen) == stop:
                break
    resumed = PackedLoader(data, 100, seed=3)
    resumed.load_state_dict(loader.state_dict())
    seen += keys(resumed, passes=3)
    assert seen[: len(straight)] == straight
    assert stop < len(straight)


def test_epochs_have_one_length_and_no_record_is_lost() -> None:
    """Passes may differ in length; iterations do not, and none of them is empty."""
    data = cache(400)
    loader = PackedLoader(data, 70, seed=0)
    sizes = {len(loader.batches(epoch)) for epoch in range(12)}
    assert len(sizes) > 1, "the data of this test must give passes of different length"
    total = sum(len(loader.batches(epoch)) for epoch in range(12))
    stream = []
    while len(stream) < total:
        epoch = keys(loader)
        assert len(epoch) == len(loader)
        stream += epoch
    counts = np.bincount(np.concatenate(stream[:total]))
    assert (counts == 12).all()


def test_validation_is_one_pass_in_order_of_length() -> None:
    data = cache()
    loader = PackedLoader(data, 100, shuffle=False)
    first = keys(loader)
    assert keys(loader) == first
    flat = np.concatenate(first)
    assert sorted(flat.tolist()) == list(range(len(data)))
    assert (np.diff(data.lengths()[flat]) >= 0).all()


def test_processes_share_a_batch() -> None:
    data = cache()
    whole = keys(PackedLoader(data, 100, seed=2))
    halves = [keys(PackedLoader(data, 100, seed=2, rank=r, world=2)) for r in (0, 1)]
    kept = [batch for batch in whole if len(batch) >= 2]
    assert len(halves[0]) == len(halves[1]) == len(kept)
    for batch, a, b in zip(kept, *halves, strict=True):
        assert sorted(a + b) == sorted(batch)
        assert a and b


def test_more_processes_than_records_are_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        PackedLoader(cache(3), 1000, world=8)


def test_a_place_that_no_longer_exists_is_refused() -> None:
    loader = PackedLoader(cache(), 100)
    with pytest.raises(UsageError, match="batch_tokens"):
        loader.load_state_dict({"epoch": 0, "batch": 500})


def test_each_pass_uses_another_augmented_copy() -> None:
    data = cache(copies=2)
    loader = PackedLoader(data, 10_000)
    packs = [next(iter(loader)) for _ in range(3)]
    order = [pack.keys.argsort() for pack in packs]
    assert all(len(pack.keys) == len(data) for pack in packs)
    sites = [
        torch.stack([part.sum() for part in pack.values.split(pack.lengths.tolist())])[o]
        for pack, o in zip(packs, order, strict=True)
    ]
    assert not torch.equal(sites[0], sites[1])
    torch.testing.assert_close(sites[0], sites[2])
