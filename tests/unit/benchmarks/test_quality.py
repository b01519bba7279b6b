"""The paired comparison of two samplers, against a brute-force bootstrap over crystals."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality import paired, verdict


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_standard_error_is_that_of_resampled_crystals(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    ease = rng.random(400)  # matches of one crystal, and of both samplers, go together
    ours, theirs = (rng.random((rounds, 400)) < ease for _ in range(2))
    difference, error = paired(ours, theirs)
    assert difference == pytest.approx(ours.mean() - theirs.mean())
    drawn = rng.integers(0, 400, (4000, 400))
    means = ours.mean(0)[drawn].mean(1) - theirs.mean(0)[drawn].mean(1)
    assert error == pytest.approx(means.std(), rel=0.1)


def test_equal_samples_differ_by_nothing() -> None:
    hits = np.array([[True, False, True]])
    assert paired(hits, hits) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [(0.0, 0.002, "yes"), (0.02, 0.002, "yes"), (-0.02, 0.002, "no"), (-0.004, 0.003, "undecided")],
)
def test_half_a_point_needs_confidence(difference: float, error: float, expected: str) -> None:
    assert verdict(difference, error) == expected
