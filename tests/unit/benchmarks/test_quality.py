"""The paired comparison of two samplers, against a brute-force bootstrap over crystals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import quality
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


def test_each_row_is_shown_as_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow sampler first, then every number of evaluations, then more rounds of the two."""
    order: list[str] = []

    def sample(self: quality.Run, records: list[Any]) -> None:
        order.append(f"sampled {self.settings.payload.steps}")
        rng = np.random.default_rng(len(order))
        self.hits.append(rng.random(len(records)) < 0.5)
        self.seconds += 1.0

    content = SimpleNamespace(sampling={"steps": 20}, model=SimpleNamespace(heads=[object()]))
    monkeypatch.setattr(quality, "zoo_model", lambda name: name)
    monkeypatch.setattr(quality, "load_folder", lambda folder: content)
    monkeypatch.setattr(quality, "resolve", lambda *_: "")
    monkeypatch.setattr(quality, "read_all", lambda path: (list(range(30)), []))
    monkeypatch.setattr(quality.Run, "sample", sample)
    rows = quality.curve(False, rounds=3, show=order.append)
    assert [line.startswith("sampled") for line in order] == [True, False] * (len(order) // 2)
    assert [w.split()[1] for w in order[::2]] == [
        *("200", "2", "4", "8", "20", "50", "100"),
        *("200", "20") * 2,
    ]
    assert "evaluations 8" in order[7] and "standard_error" in order[7]
    assert [row["samples"] for row in rows] == [30, 30, 30, 90, 30, 30, 90]
