"""Counter-based random numbers: distribution, independence, and no dependence on the batch."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sciar.nn.streams import derive, normal, sample_keys, uniform

KEYS = sample_keys(3, torch.arange(20_000))


def test_uniform_numbers_are_uniform() -> None:
    u = uniform(KEYS, 2).numpy()
    assert u.min() > 0 and u.max() < 1
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_normal_numbers_are_normal() -> None:
    x = normal(KEYS, 3).numpy()
    for column in x.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3


def test_numbers_of_one_key_are_normal_too() -> None:
    assert stats.kstest(normal(KEYS[:1], 20_001)[0].numpy(), "norm").pvalue > 1e-3


def test_neighbouring_keys_and_columns_are_not_correlated() -> None:
    x = normal(KEYS, 4).numpy()
    correlations = np.corrcoef(x.T) - np.eye(4)
    assert np.abs(correlations).max() < 5 / np.sqrt(len(x))
    assert abs(np.corrcoef(x[1:, 0], x[:-1, 0])[0, 1]) < 5 / np.sqrt(len(x))


def test_derived_streams_are_independent_of_their_parent() -> None:
    parent, child = normal(KEYS, 1)[:, 0], normal(derive(KEYS, 1), 1)[:, 0]
    assert abs(np.corrcoef(parent, child)[0, 1]) < 5 / np.sqrt(len(KEYS))


def test_the_batch_does_not_matter() -> None:
    alone = torch.cat([normal(key[None], 5) for key in KEYS[:50]])
    assert torch.equal(alone, normal(KEYS[:50], 5))
    assert torch.equal(normal(KEYS[:50].flip(0), 5).flip(0), alone)


def test_more_columns_leave_the_uniform_ones_as_they_are() -> None:
    assert torch.equal(uniform(KEYS[:9], 3), uniform(KEYS[:9], 7)[:, :3])


def test_derived_keys_do_not_collide() -> None:
    """A million (key, salt) pairs of small numbers, as they occur, give a million keys."""
    keys = derive(torch.arange(-500, 500)[:, None], torch.arange(1000)).flatten()
    assert len(keys.unique()) == len(keys)
    seeds = torch.cat([sample_keys(seed, torch.arange(2000)) for seed in range(50)])
    assert len(seeds.unique()) == len(seeds)
    places = derive(derive(sample_keys(0, torch.arange(2000)), 0)[:, None], torch.arange(100))
    assert len(places.unique()) == places.numel()


@given(st.integers(-(2**62), 2**62), st.integers(0, 2**31), st.integers(0, 2**31))
def test_salts_are_told_apart(key: int, first: int, second: int) -> None:
    keys = torch.tensor([key])
    assert torch.equal(derive(keys, first), derive(keys, second)) == (first == second)
    assert torch.equal(derive(keys, first), derive(keys, torch.tensor([first])))


def test_the_numbers_stay_as_they_are() -> None:
    """SplitMix64 from its published constants, in arbitrary-precision integers."""

    def mix(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return x ^ (x >> 31)

    golden = 0x9E3779B97F4A7C15
    for key in (0, 1, 123456789, -5):
        expected = [((mix((key + i * golden) % 2**64) >> 12) + 0.5) * 2.0**-52 for i in range(1, 5)]
        assert uniform(torch.tensor([key]), 4)[0].tolist() == expected
