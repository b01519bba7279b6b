"""Whether stated confidences come true: temperature, expected calibration error, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.evaluation.charts import line_chart

BINS = 15


@dataclass(frozen=True)
class Choice:
    """One decision among alternatives, as the grammar allowed them.

    Attributes:
        log_probs: (k,) log-probabilities of the allowed tokens at temperature 1; need not be
            normalised over them.
        truth: index of the right one.
    """

    log_probs: np.ndarray
    truth: int


def tempered(log_probs: np.ndarray, temperature: float) -> np.ndarray:
    """(k,) log-probabilities, renormalised at another temperature; what is forbidden stays so."""
    scaled = np.asarray(log_probs, dtype=np.float64) / temperature
    top = scaled.max()
    return scaled - (top + np.log(np.exp(scaled - top).sum()))


def fit_temperature(
    choices: Sequence[Choice], low: float = 0.05, high: float = 20.0
) -> dict[str, Any]:
    """The temperature with the least negative log-likelihood of the right choices.

    The likelihood as a function of ``1 / temperature`` is convex, so a golden-section search over
    its logarithm finds the minimum.

    Returns:
        ``temperature``, the mean ``nll`` in nats there, ``nll_before`` at temperature 1, and how
        many choices it is fitted on.

    Raises:
        UsageError: nothing to fit, or a choice whose truth was forbidden.
    """
    table, truth = _table(choices)

    def nll(log_temperature: float) -> float:
        scaled = table / np.exp(log_temperature)
        top = scaled.max(1, keepdims=True)
        norm = top[:, 0] + np.log(np.exp(scaled - top).sum(1))
        return float((norm - scaled[np.arange(len(truth)), truth]).mean())

    a, b = np.log(low), np.log(high)
    ratio = (np.sqrt(5) - 1) / 2
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    at_c, at_d = nll(c), nll(d)
    for _ in range(40):
        if at_c <= at_d:
            b, d, at_d = d, c, at_c
            c = b - ratio * (b - a)
            at_c = nll(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + ratio * (b - a)
            at_d = nll(d)
    best = (a + b) / 2
    return {
        "temperature": float(np.exp(best)),
        "nll": nll(best),
        "nll_before": nll(0.0),
        "count": len(choices),
    }


def _table(choices: Sequence[Choice]) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) log-probabilities padded with minus infinity, and (n,) right ones."""
    if not choices:
        raise UsageError("no choices to fit a temperature on")
    wide = max(len(c.log_probs) for c in choices)
    table = np.full((len(choices), wide), -np.inf)
    for row, choice in zip(table, choices, strict=True):
        row[: len(choice.log_probs)] = choice.log_probs
    truth = np.array([c.truth for c in choices])
    if not np.isfinite(table[np.arange(len(truth)), truth]).all():
        raise UsageError("the right answer of a choice has no probability: the grammar forbids it")
    return table, truth


def reliability(
    confidence: np.ndarray, right: np.ndarray, bins: int = BINS
) -> list[dict[str, Any]]:
    """Rows of a reliability diagram: bins of equal width over [0, 1], empty ones left out.

    Returns:
        ``low, high`` of the bin, its ``count``, mean ``confidence`` and ``accuracy``.
    """
    confidence, right = _scores(confidence, right)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "count": int((place == b).sum()),
            "confidence": float(confidence[place == b].mean()),
            "accuracy": float(right[place == b].mean()),
        }
        for b in np.unique(place)
    ]


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> dict[str, Any]:
    """How far confidences are from what comes true.

    Returns:
        ``ece``: mean over records of ``|accuracy - confidence|`` of their bin (Guo et al., ICML
        2017); ``brier``: mean squared difference to right (1) or wrong (0); ``accuracy``, mean
        ``confidence``, ``count``, and the ``bins`` of the diagram.
    """
    confidence, right = _scores(confidence, right)
    rows = reliability(confidence, right, bins)
    total = len(confidence)
    gap = sum(r["count"] * abs(r["accuracy"] - r["confidence"]) for r in rows)
    return {
        "ece": gap / total if total else None,
        "brier": float(((confidence - right) ** 2).mean()) if total else None,
        "accuracy": float(right.mean()) if total else None,
        "confidence": float(confidence.mean()) if total else None,
        "count": total,
        "bins": rows,
    }


def reliability_chart(figures: Mapping[str, Mapping[str, Any]], title: str = "reliability") -> str:
    """Reliability diagram as SVG: how often answers are right against how sure they are stated.

    Args:
        figures: name, such as ``before`` and ``after`` -> what :func:`calibration` returned. The
            legend adds ECE and count; perfect calibration lies on the diagonal.
        title: above the chart.

    Raises:
        UsageError: there is no answer in any of them.
    """
    if not any(f["count"] for f in figures.values()):
        raise UsageError(f"chart {title!r} has no answers")
    series: dict[str, list[tuple[float, float]]] = {"perfect": [(0.0, 0.0), (1.0, 1.0)]}
    for name, found in figures.items():
        if found["count"]:
            label = f"{name} (ECE {found['ece']:.3f}, n = {found['count']:,})"
            series[label] = [(row["confidence"], row["accuracy"]) for row in found["bins"]]
    return line_chart(series, title=title, x_label="stated confidence", y_label="share right")


def _scores(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(right, dtype=np.float64)
    if confidence.shape != right.shape or confidence.ndim != 1:
        raise UsageError(f"{confidence.shape} confidences for {right.shape} answers")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise UsageError("confidences lie between 0 and 1")
    return confidence, right
