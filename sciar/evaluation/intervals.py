"""Whether predictive intervals hold what they say, and how sharp distributions of numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.evaluation.statistics import rate


def coverage(
    intervals: np.ndarray,
    truth: np.ndarray,
    *,
    period: float = 0.0,
    resamples: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """How often intervals hold the truth, with counts, and their mean width.

    Args:
        intervals: (n, 2) lower and upper ends; of a periodic number they are unrolled, so that the
            upper one is never below the lower one.
        truth: (n,) numbers.
        period: of the numbers; 0: none.
        resamples: of the bootstrap interval of the rate, see
            :func:`~sciar.evaluation.statistics.rate`.
        seed: of the resampling.

    Returns:
        ``{count, of, rate, interval, width}``; compare the rate with the level of the intervals.

    Raises:
        UsageError: shapes that do not fit, or ends in the wrong order.
    """
    intervals, truth = np.asarray(intervals, dtype=float), np.asarray(truth, dtype=float)
    if intervals.shape != (len(truth), 2):
        raise UsageError(f"{len(truth)} numbers need ({len(truth)}, 2) ends, not {intervals.shape}")
    low, high = intervals.T
    if (low > high).any():
        raise UsageError(f"interval {int((low > high).argmax())} ends below its beginning")
    gap = truth - low
    held = (gap % period <= high - low) if period else (gap >= 0) & (truth <= high)
    found = rate(held, resamples=resamples, seed=seed)
    return {**found, "width": float((high - low).mean()) if len(truth) else None}


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of each number, from samples; smaller is better.

    The unbiased estimator E|X - y| - E|X - X'| / 2 over distinct samples (Gneiting and Raftery,
    JASA 102 (2007) 359, eq. 21).

    Args:
        samples: (n, m) draws of each prediction, m at least 2.
        truth: (n,) numbers.

    Returns:
        (n,) scores in the unit of the numbers.

    Raises:
        UsageError: shapes that do not fit.
    """
    samples, truth = np.asarray(samples, dtype=float), np.asarray(truth, dtype=float)
    if samples.ndim != 2 or len(samples) != len(truth) or samples.shape[1] < 2:
        raise UsageError(f"samples of shape {samples.shape} for {len(truth)} numbers; give 2 each")
    m = samples.shape[1]
    # The sum over pairs follows from the sorted samples.
    ranks = 2 * np.arange(m) - m + 1
    spread = (np.sort(samples, axis=1) * ranks).sum(1) / (m * (m - 1))
    return np.asarray(np.abs(samples - truth[:, None]).mean(1) - spread)
