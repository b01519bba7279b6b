"""Scores of predicted properties: errors of numbers, and how well classes are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.evaluation.statistics import bootstrap_means, mean, rate


def score_numbers(
    predicted: Sequence[float | None],
    truth: Sequence[float | None],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean absolute error, root of the mean squared error, and R2.

    Records without a label are left out and counted; of those with one, a failed prediction
    (``None``) is left out of the means and counted, so that the counts show it.

    Args:
        predicted: N numbers, ``None`` where the prediction failed.
        truth: N labels, ``None`` where nothing is known.
        bootstrap: resamples of the 95 % intervals.
        seed: of the bootstrap.

    Raises:
        UsageError: lists of different lengths.
    """
    pairs = _labelled(predicted, truth)
    errors = [None if p is None else float(p) - t for p, t in pairs]
    found: dict[str, Any] = _counts(pairs, truth)
    draws = {"resamples": bootstrap, "seed": seed}
    found["mae"] = mean([None if e is None else abs(e) for e in errors], **draws)
    squares = np.array([np.nan if e is None else e * e for e in errors], dtype=np.float64)
    known = ~np.isnan(squares)
    ends = bootstrap_means(squares, known, resamples=bootstrap, seed=seed)
    root = float(np.sqrt(squares[known].mean())) if known.any() else None
    found["rmse"] = {
        "mean": root,
        "count": int(known.sum()),
        "of": len(pairs),
        "interval": None if ends is None else [float(np.sqrt(e)) for e in ends],
    }
    labels = np.array([t for (_, t), k in zip(pairs, known, strict=True) if k], dtype=np.float64)
    spread = float(((labels - labels.mean()) ** 2).sum()) if len(labels) else 0.0
    found["r2"] = 1 - float(squares[known].sum()) / spread if spread > 0 else None
    return found


def score_classes(
    probabilities: Sequence[float | None],
    truth: Sequence[int | None],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """ROC-AUC and accuracy of two classes.

    Args:
        probabilities: N probabilities of class 1, ``None`` where the prediction failed.
        truth: N labels 0 or 1, ``None`` where nothing is known.
        bootstrap: resamples of the interval of the accuracy.
        seed: of the bootstrap.

    Raises:
        UsageError: lists of different lengths, or labels other than 0 and 1.
    """
    if any(t not in (0, 1) for t in truth if t is not None):
        raise UsageError("scores of classes are of two classes, 0 and 1")
    pairs = _labelled(probabilities, truth)
    found: dict[str, Any] = _counts(pairs, truth)
    hits = [p is not None and (p >= 0.5) == bool(t) for p, t in pairs]
    found["of_class_1"] = sum(t == 1 for _, t in pairs)
    found["accuracy"] = rate(hits, resamples=bootstrap, seed=seed)
    found["roc_auc"] = roc_auc([p for p, _ in pairs], [int(t) for _, t in pairs])
    return found


def roc_auc(scores: Sequence[float | None], labels: Sequence[int]) -> float | None:
    """Area under the ROC curve: the share of pairs of a 1 and a 0 that are in order, ties half.

    Failed predictions (``None``) are left out; ``None`` if only one class is left. It is the
    statistic of Mann and Whitney, from SciPy.
    """
    from scipy.stats import mannwhitneyu

    ones = [s for s, t in zip(scores, labels, strict=True) if s is not None and t]
    zeros = [s for s, t in zip(scores, labels, strict=True) if s is not None and not t]
    if not ones or not zeros:
        return None
    statistic = mannwhitneyu(ones, zeros, method="asymptotic").statistic
    return float(statistic) / (len(ones) * len(zeros))


def overlap(predicted: Sequence[bool], truth: Sequence[bool]) -> float | None:
    """Intersection over union of two sets of atoms; ``None`` if both are empty."""
    one, two = np.asarray(predicted, dtype=bool), np.asarray(truth, dtype=bool)
    union = int((one | two).sum())
    return int((one & two).sum()) / union if union else None


def _labelled(predicted: Sequence[Any], truth: Sequence[Any]) -> list[tuple[Any, Any]]:
    if len(predicted) != len(truth):
        raise UsageError(f"{len(predicted)} predictions for {len(truth)} labels")
    return [(p, t) for p, t in zip(predicted, truth, strict=True) if t is not None]


def _counts(pairs: Sequence[tuple[Any, Any]], truth: Sequence[Any]) -> dict[str, Any]:
    return {
        "records": len(truth),
        "labelled": len(pairs),
        "predicted": sum(p is not None for p, _ in pairs),
    }
