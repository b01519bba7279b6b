"""Rates with their counts, and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Interval = tuple[float, float]

_CHUNK = 4_000_000  # weights held at once


def bootstrap_means(
    values: np.ndarray, include: np.ndarray, *, resamples: int, seed: int, level: float = 0.95
) -> Interval | None:
    """Percentile bootstrap interval of the mean of ``values`` where ``include`` holds.

    Records, not included values, are resampled, so that the varying number of matched records is
    part of the uncertainty. Percentile method of Efron and Tibshirani (1993), chapter 13.

    Args:
        values: (n,) numbers; those not included are ignored and may be NaN.
        include: (n,) booleans.
        resamples: number of resamples; 0 gives ``None``.
        seed: of the resampling.
        level: coverage of the interval.

    Returns:
        Lower and upper end, or ``None`` if nothing is included.
    """
    n = len(values)
    if resamples < 1 or n == 0 or not include.any():
        return None
    rng = np.random.default_rng(seed)
    masked = np.where(include, values, 0.0)
    means = []
    step = max(1, _CHUNK // n)
    for start in range(0, resamples, step):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(step, resamples - start))
        totals = weights @ include.astype(np.float64)
        kept = totals > 0
        means.append((weights @ masked)[kept] / totals[kept])
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


def rate(hits: Sequence[bool] | np.ndarray, *, resamples: int = 0, seed: int = 0) -> dict[str, Any]:
    """``{count, of, rate, interval}`` of a list of booleans; the rate is a fraction."""
    flags = np.asarray(hits, dtype=bool)
    interval = bootstrap_means(
        flags.astype(np.float64), np.ones(len(flags), bool), resamples=resamples, seed=seed
    )
    return ratio(int(flags.sum()), len(flags), interval)


def ratio(count: int, of: int, interval: Interval | None = None) -> dict[str, Any]:
    """A rate from its two counts; ``None`` when there is nothing to count."""
    return {
        "count": count,
        "of": of,
        "rate": count / of if of else None,
        "interval": list(interval) if interval else None,
    }


def mean(values: Sequence[float | None], *, resamples: int = 0, seed: int = 0) -> dict[str, Any]:
    """``{mean, count, of, interval}`` of the numbers among ``values`` (``None`` is left out)."""
    include = np.array([v is not None for v in values], dtype=bool)
    numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    interval = bootstrap_means(numbers, include, resamples=resamples, seed=seed)
    return {
        "mean": float(numbers[include].mean()) if include.any() else None,
        "count": int(include.sum()),
        "of": len(values),
        "interval": list(interval) if interval else None,
    }
