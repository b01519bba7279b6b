"""Rates, means and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from sciar.evaluation.statistics import bootstrap_means, mean, rate, ratio
from sciar.evaluation.tables import format_table


def test_interval_of_a_proportion_agrees_with_theory() -> None:
    flags = np.arange(1000) < 300
    found = rate(flags, resamples=4000, seed=1)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert found["count"] == 300 and found["of"] == 1000 and found["rate"] == 0.3
    assert found["interval"] == pytest.approx([0.3 - half, 0.3 + half], abs=0.004)


def test_interval_agrees_with_an_explicit_resampling_loop() -> None:
    rng = np.random.default_rng(0)
    values, include = rng.gamma(2.0, 0.1, 60), rng.random(60) < 0.6
    draws = []
    for _ in range(4000):
        chosen = rng.integers(60, size=60)
        kept = chosen[include[chosen]]
        draws.append(values[kept].mean())
    expected = np.percentile(draws, [2.5, 97.5])
    found = bootstrap_means(values, include, resamples=4000, seed=3)
    assert found == pytest.approx(tuple(expected), rel=0.03)


def test_values_that_are_left_out_do_not_matter() -> None:
    include = np.array([True, False, True, True])
    a = bootstrap_means(np.array([1.0, np.nan, 2.0, 4.0]), include, resamples=50, seed=0)
    b = bootstrap_means(np.array([1.0, 1e9, 2.0, 4.0]), include, resamples=50, seed=0)
    assert a == b and a is not None and 1 <= a[0] <= a[1] <= 4


def test_seed_fixes_the_interval_and_changes_it() -> None:
    flags = np.arange(57) % 3 == 0
    first = rate(flags, resamples=200, seed=5)["interval"]
    assert first == rate(flags, resamples=200, seed=5)["interval"]
    assert first != rate(flags, resamples=200, seed=6)["interval"]


def test_nothing_to_count_is_none_not_nan() -> None:
    assert ratio(0, 0)["rate"] is None
    assert mean([None, None], resamples=10) == {
        "mean": None,
        "count": 0,
        "of": 2,
        "interval": None,
    }
    assert rate([], resamples=10)["interval"] is None


def test_table_shows_counts_with_every_rate() -> None:
    table = format_table(
        {
            "references": 1200,
            "match_rate": ratio(600, 1200, (0.47, 0.53)),
            "nested": {"rmse": mean([0.1, None, 0.2])},
            "nothing": ratio(0, 0),
        }
    )
    lines = table.splitlines()
    assert lines[0].split() == ["references", "1,200"]
    assert "50.00 %   (600 of 1,200)   [47.00, 53.00]" in lines[1]
    assert lines[2].startswith("nested / rmse") and "0.1500   (over 2 of 3)" in lines[2]
    assert "(0 of 0)" in lines[3] and "nan" not in table
