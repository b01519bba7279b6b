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


def fit_offsets(
    log_probs: np.ndarray, truth: np.ndarray, rounds: int = 8
) -> tuple[np.ndarray, dict[str, Any]]:
    """What to add to the log-probability of each class so that macro F1 is best.

    The class of the highest probability is right most often, but names no class that is rare
    everywhere. Each class in turn gets the offset with the best macro F1 while the others keep
    theirs (found exactly, as the order in which decisions turn to this class), until none gains.
    The commonest class keeps 0.

    Args:
        log_probs: (n, k) of n decisions among the same k classes.
        truth: (n,) index of the right class.
        rounds: most passes over the classes.

    Returns:
        The (k,) offsets, and ``macro_f1`` with them, ``macro_f1_before`` without, and the
        ``count`` of decisions; macro F1 over the classes that occur.

    Raises:
        UsageError: no decision, or shapes that do not fit.
    """
    scores, truth = np.asarray(log_probs, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or not len(truth):
        raise UsageError(f"{scores.shape} log-probabilities for {truth.shape} right classes")
    common = np.bincount(truth, minlength=scores.shape[1])
    offsets = np.zeros(scores.shape[1])
    before = best = _macro_f1(scores.argmax(1), truth, scores.shape[1])
    for _ in range(rounds):
        began = best
        for k in np.flatnonzero(common)[np.argsort(common[common > 0])][:-1]:
            value, found = _best_offset(scores + offsets, truth, int(k))
            if value > best + 1e-12:
                best, offsets[k] = value, offsets[k] + found
        if best <= began:
            break
    facts = {"macro_f1": float(best), "macro_f1_before": float(before), "count": len(truth)}
    return offsets, facts


def _best_offset(scores: np.ndarray, truth: np.ndarray, k: int) -> tuple[float, float]:
    """The best macro F1 over offsets of class ``k``, and this offset."""
    n, classes = scores.shape
    others = scores.copy()
    others[:, k] = -np.inf
    rival = others.argmax(1)
    margin = others.max(1) - scores[:, k]  # an offset above it turns the decision to k
    order = np.argsort(margin, kind="stable")
    margin, rival, right = margin[order], rival[order], truth[order]
    said = np.zeros((n + 1, classes))
    hits = np.zeros((n + 1, classes))
    said[0] = np.bincount(rival, minlength=classes)
    hits[0] = np.bincount(rival[rival == right], minlength=classes)
    lost = np.eye(classes)[rival]
    said[1:] = said[0] - lost.cumsum(0)
    hits[1:] = hits[0] - (lost * (rival == right)[:, None]).cumsum(0)
    said[1:, k], hits[1:, k] = np.arange(1, n + 1), (right == k).cumsum()
    macro = _f1s(hits, said, np.bincount(truth, minlength=classes))
    between = np.concatenate([[margin[0] - 1], (margin[:-1] + margin[1:]) / 2, [margin[-1] + 1]])
    # Decisions of equal margin turn together.
    apart = np.concatenate([[True], margin[:-1] < margin[1:], [True]])
    best = int(np.where(apart & np.isfinite(between), macro, -1.0).argmax())
    return float(macro[best]), float(between[best])


def _macro_f1(said: np.ndarray, truth: np.ndarray, classes: int) -> float:
    hits = np.bincount(said[said == truth], minlength=classes)
    counts = [np.bincount(x, minlength=classes) for x in (said, truth)]
    return float(_f1s(hits, counts[0], counts[1]))


def _f1s(hits: np.ndarray, said: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(...) mean F1 over the classes that occur, from (..., k) counts."""
    occurs = true > 0
    return np.asarray((2 * hits / np.maximum(said + true, 1))[..., occurs].mean(-1))


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
