"""Coverage and CRPS against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.intervals import coverage, crps


def test_coverage_by_hand() -> None:
    ends = np.array([[0.0, 1.0], [0.0, 1.0], [-1.0, 2.0], [5.0, 5.0]])
    found = coverage(ends, np.array([0.5, 1.5, 2.0, 5.0]))
    assert (found["count"], found["of"], found["rate"]) == (3, 4, 0.75)
    assert found["width"] == pytest.approx(1.25)
    assert coverage(np.zeros((0, 2)), np.zeros(0))["rate"] is None


def test_coverage_on_the_circle() -> None:
    ends = np.array([[0.9, 1.2], [-0.1, 0.2], [0.9, 1.2], [0.4, 0.5]])
    assert coverage(ends, np.array([0.1, 0.95, 0.5, 0.45]), period=1.0)["count"] == 3


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(0, 10**6))
def test_crps_against_all_pairs(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(3, m)), rng.normal(size=3)
    for row, truth, score in zip(x, y, crps(x, y), strict=True):
        pairs = [abs(a - b) for i, a in enumerate(row) for j, b in enumerate(row) if i != j]
        expected = np.mean(np.abs(row - truth)) - np.mean(pairs) / 2
        assert score == pytest.approx(expected)


def test_crps_of_a_normal() -> None:
    """The closed form for a standard normal at its mean: (sqrt 2 - 1) / sqrt pi."""
    x = np.random.default_rng(0).normal(size=(1, 40_000))
    expected = (math.sqrt(2) - 1) / math.sqrt(math.pi)
    assert crps(x, np.zeros(1))[0] == pytest.approx(expected, abs=5e-3)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match=r"2 numbers need \(2, 2\) ends"):
        coverage(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(UsageError, match="interval 1 ends below"):
        coverage(np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2))
    with pytest.raises(UsageError, match="give 2 each"):
        crps(np.zeros((2, 1)), np.zeros(2))
