"""Fmax: the best protein-centric F over all thresholds (Radivojac, Nat. Methods 10, 221, 2013)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sciar.errors import UsageError

THRESHOLDS = np.arange(101) / 100


def closed_scores(
    scores: Mapping[str, float], ancestors: Callable[[str], Iterable[str]]
) -> dict[str, float]:
    """Scores of terms and of their ancestors: an ancestor is at least as likely as any below it."""
    out: dict[str, float] = {}
    for term, score in scores.items():
        for name in (term, *ancestors(term)):
            out[name] = max(out.get(name, 0.0), float(score))
    return out


def fmax(
    truth: Sequence[Iterable[str]],
    scores: Sequence[Mapping[str, float]],
    ancestors: Callable[[str], Iterable[str]] | None = None,
) -> dict[str, Any]:
    """Fmax over 101 thresholds from 0 to 1.

    At a threshold a protein's prediction is the terms that score at least as much, and more than
    0. Precision is the mean over proteins with a prediction, recall over all proteins with a true
    term; proteins without one are counted and left out.

    Args:
        truth: the true terms of each protein.
        scores: term -> score in [0, 1] of each protein; an empty mapping predicts nothing.
        ancestors: of a term in an ontology, to close truth and scores upward; ``None``: as given.

    Returns:
        ``fmax``, its ``threshold``, ``precision`` and ``recall`` there, ``proteins`` (scored),
        ``without_terms`` (left out) and ``covered`` (with a prediction at that threshold).

    Raises:
        UsageError: not one mapping a protein, or a score outside [0, 1].
    """
    if len(truth) != len(scores):
        raise UsageError(f"{len(truth)} proteins but {len(scores)} predictions")
    none = np.zeros(len(THRESHOLDS))
    precision, covered, recall = none.copy(), none.copy(), none.copy()
    proteins = 0
    for true, given in zip(truth, scores, strict=True):
        wanted = set(true)
        if ancestors is not None:
            wanted |= {a for term in wanted for a in ancestors(term)}
            given = closed_scores(given, ancestors)
        values = np.array(list(given.values()), dtype=np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise UsageError("scores of terms lie between 0 and 1")
        if not wanted:
            continue
        proteins += 1
        said = (values[:, None] >= THRESHOLDS) & (values[:, None] > 0)
        right = said[np.array([term in wanted for term in given], dtype=bool)].sum(0)
        number = said.sum(0)
        covered += number > 0
        precision += right / np.maximum(number, 1)
        recall += right / len(wanted)
    precision, recall = precision / np.maximum(covered, 1), recall / max(proteins, 1)
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    # Of equal values the highest threshold, which claims least.
    best = len(f) - 1 - int(np.argmax(f[::-1]))
    return {
        "fmax": float(f[best]) if proteins else None,
        "threshold": float(THRESHOLDS[best]),
        "precision": float(precision[best]),
        "recall": float(recall[best]),
        "proteins": proteins,
        "without_terms": len(truth) - proteins,
        "covered": int(covered[best]),
    }
