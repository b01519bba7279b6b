"""How well predicted numbers order measured ones, and how far they are off."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.errors import UsageError


def ranks(values: np.ndarray) -> np.ndarray:
    """(n,) ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def pearson(truth: np.ndarray, predicted: np.ndarray) -> float | None:
    """Correlation; ``None`` where either side does not vary or there are fewer than two pairs."""
    truth, predicted = _pair(truth, predicted)
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return None
    x, y = truth - truth.mean(), predicted - predicted.mean()
    return float((x @ y) / np.sqrt((x @ x) * (y @ y)))


def spearman(truth: np.ndarray, predicted: np.ndarray) -> float | None:
    """Correlation of mean ranks; ``None`` as for :func:`pearson`."""
    truth, predicted = _pair(truth, predicted)
    return pearson(ranks(truth), ranks(predicted))


def ndcg(truth: np.ndarray, predicted: np.ndarray) -> float | None:
    """Normalised discounted cumulative gain over the whole list (Järvelin and Kekäläinen, 2002).

    Records are taken by falling prediction. The gain of a record is how far its value lies above
    the smallest one, its discount ``1 / log2(1 + place)``; equal predictions share the mean of
    their discounts. ``None`` if no value lies above the smallest one.
    """
    truth, predicted = _pair(truth, predicted)
    if not len(truth) or np.ptp(truth) == 0:
        return None
    gain = truth - truth.min()
    discount = 1.0 / np.log2(np.arange(2, len(truth) + 2))
    ideal = float(np.sort(gain)[::-1] @ discount)
    _, group = np.unique(-predicted, return_inverse=True)
    order = np.argsort(group, kind="stable")
    shared = np.bincount(group[order], weights=discount) / np.bincount(group)
    return float(gain @ shared[group]) / ideal


def regression(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Everything about predicted numbers: ``count, spearman, pearson, ndcg, mae, rmse``."""
    truth, predicted = _pair(truth, predicted)
    error = predicted - truth
    some = len(truth) > 0
    return {
        "count": len(truth),
        "spearman": spearman(truth, predicted),
        "pearson": pearson(truth, predicted),
        "ndcg": ndcg(truth, predicted),
        "mae": float(np.abs(error).mean()) if some else None,
        "rmse": float(np.sqrt((error**2).mean())) if some else None,
    }


def _pair(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(truth, dtype=np.float64)
    predicted = np.asarray(predicted, dtype=np.float64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise UsageError(f"{truth.shape} measured values, {predicted.shape} predicted ones")
    if not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise UsageError("measured or predicted values are not all finite numbers")
    return truth, predicted
