"""Shares of tasks in a pass over the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.datasets.mixture import Mixture
from sciar.errors import UsageError

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=5)


def mixture(sizes: list[int], alpha: float, cap: int = 4) -> Mixture:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return Mixture(groups, np.ones(len(sizes)), alpha, cap)


@given(SIZES, st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 99))
def test_no_record_is_ahead_of_its_group(sizes: list[int], alpha: float, seed: int) -> None:
    """After any number of passes, records of a group were taken equally often, up to one."""
    made = mixture(sizes, alpha)
    seen = np.zeros(sum(sizes), dtype=int)
    for epoch in range(4):
        taken = np.bincount(made.draw(seed, epoch), minlength=len(seen))
        assert taken.max() <= made.cap + 1
        seen += taken
        for group in range(len(sizes)):
            inside = seen[made.groups == group]
            assert inside.max() - inside.min() <= 1
    np.testing.assert_array_equal(made.draw(seed, 2), mixture(sizes, alpha).draw(seed, 2))


def test_shares_follow_the_exponent() -> None:
    assert mixture([900, 100], 1.0).quotas().tolist() == [900, 100]
    assert mixture([900, 100], 0.5).quotas().tolist() == [750, 250]
    assert mixture([900, 100], 0.0, cap=9).quotas().tolist() == [500, 500]
    assert mixture([990, 10], 0.0, cap=4).quotas().tolist() == [500, 40]


def test_weights_scale_the_shares() -> None:
    groups = np.repeat([0, 1, 2], [50, 50, 20])
    assert Mixture(groups, np.array([3.0, 1.0, 0.0]), 1.0).quotas().tolist() == [90, 30, 0]
    with pytest.raises(UsageError, match="zero"):
        Mixture(groups, np.zeros(3))
    with pytest.raises(UsageError, match="between 0 and 1"):
        Mixture(groups, np.ones(3), 1.5)
