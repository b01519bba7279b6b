"""Bounds of conditional samples."""

from __future__ import annotations

import numpy as np
import pytest

from sciar.errors import UsageError
from sciar.evaluation.wanted import bounds, mean_by_size


def test_the_mean_of_each_size() -> None:
    assert mean_by_size([1, 1, 2], [1.0, 3.0, 10.0], [1, 2, 5]) == [2.0, 10.0, 14.0 / 3]
    assert mean_by_size([1, 2], [None, 4.0], [1, 2]) == [4.0, 4.0]
    assert mean_by_size([1], [None], [1, 2]) == [None, None]


def test_bounds_of_a_property_that_is_the_size() -> None:
    sizes = list(range(1, 41))
    labels: list[float | None] = [2.0 * n for n in sizes]
    judged: list[float | None] = [2.0 * n + 0.5 for n in sizes]
    found = bounds(judged, labels, sizes, labels, sizes, bootstrap=0)
    assert found["atoms"]["mae"]["mean"] == 0.0
    assert found["oracle"]["mae"]["mean"] == pytest.approx(0.5)
    # labels dealt out anew: E|x - y| of two uniform draws is a third of their range
    assert found["random"]["mae"]["mean"] == pytest.approx(80 / 3, rel=0.2)
    assert found["random"]["mae"]["count"] == 40


def test_missing_labels_stay_missing_and_the_seed_deals() -> None:
    rng = np.random.default_rng(0)
    labels: list[float | None] = [
        None if i % 3 == 0 else float(x) for i, x in enumerate(rng.normal(size=60))
    ]
    judged: list[float | None] = [0.0] * 60
    sizes = [5] * 60
    one, two, other = (
        bounds(judged, labels, sizes, labels, sizes, bootstrap=0, seed=s) for s in (0, 0, 1)
    )
    assert one == two
    for bound in ("random", "atoms", "oracle"):
        assert one[bound]["mae"]["count"] == 40
    # the oracle says one number for all, so dealing labels out changes nothing
    assert one["random"]["mae"]["mean"] == pytest.approx(one["oracle"]["mae"]["mean"])
    assert other["random"]["mae"]["mean"] == pytest.approx(one["random"]["mae"]["mean"])
    with pytest.raises(UsageError, match="one size"):
        bounds(judged, labels, sizes[:-1], labels, sizes)
