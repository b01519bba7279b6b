"""How often predicted classes are right: accuracy, F1, MCC; each with its counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.evaluation.statistics import ratio


@dataclass(frozen=True)
class Confusion:
    """Counts of yes-or-no decisions.

    Attributes:
        tp: said yes, and it is.
        fp: said yes, and it is not.
        fn: said no, and it is.
        tn: said no, and it is not.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def of(cls, truth: np.ndarray, predicted: np.ndarray) -> Confusion:
        """From booleans of equal shape."""
        t, p = np.asarray(truth, dtype=bool), np.asarray(predicted, dtype=bool)
        if t.shape != p.shape:
            raise UsageError(f"{t.shape} true labels, {p.shape} predicted ones")
        tp, fp, fn = (int(x.sum()) for x in (t & p, ~t & p, t & ~p))
        return cls(tp, fp, fn, t.size - tp - fp - fn)

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    @property
    def f1(self) -> float | None:
        """``2 TP / (2 TP + FP + FN)``; ``None`` if nothing is to be found and nothing was."""
        below = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / below if below else None

    @property
    def mcc(self) -> float:
        """Matthews' correlation; 0 where a margin is empty, by convention."""
        margins = (self.tp + self.fp, self.tp + self.fn, self.tn + self.fp, self.tn + self.fn)
        below = math.prod(margins)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(below) if below else 0.0

    def row(self) -> dict[str, Any]:
        """``f1, mcc, precision, recall`` with the four counts."""
        return {
            "f1": self.f1,
            "mcc": self.mcc,
            "precision": ratio(self.tp, self.tp + self.fp),
            "recall": ratio(self.tp, self.tp + self.fn),
            "counts": {"tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn},
        }


def residue_accuracy(
    truth: Sequence[Sequence[Any]],
    predicted: Sequence[Sequence[Any] | None],
    masks: Sequence[Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """Accuracy of one label a residue, over residues and as a mean over proteins.

    Args:
        truth: the true labels of each protein, as text or list.
        predicted: the predicted ones. ``None`` is an answer that could not be read, and a missing
            label is a wrong one, so that malformed answers lower the score.
        masks: which residues count (``1`` or true); for Q3 the resolved ones.

    Returns:
        ``residues`` (count, of, rate), ``proteins`` (mean of the rates), and how many answers were
        unreadable or of the wrong length.
    """
    if len(truth) != len(predicted) or (masks is not None and len(masks) != len(truth)):
        raise UsageError(f"{len(truth)} proteins but {len(predicted)} predictions or their masks")
    right = of = malformed = 0
    rates = []
    for index, (true, guess) in enumerate(zip(truth, predicted, strict=True)):
        mask: Sequence[Any] = "1" * len(true) if masks is None else masks[index]
        if len(mask) != len(true):
            raise UsageError(f"protein {index}: {len(true)} labels but a mask of {len(mask)}")
        malformed += guess is None or len(guess) != len(true)
        padded = [*(guess if guess is not None else ()), *([None] * len(true))]
        hits = [a == b for a, b, m in zip(true, padded, mask, strict=False) if _counts(m)]
        right, of = right + sum(hits), of + len(hits)
        if hits:
            rates.append(sum(hits) / len(hits))
    return {
        "residues": ratio(right, of),
        "proteins": {"mean": float(np.mean(rates)) if rates else None, "of": len(rates)},
        "malformed": malformed,
    }


def _counts(mark: Any) -> bool:
    return mark == "1" if isinstance(mark, str) else bool(mark)


def accuracy(truth: Sequence[Any], predicted: Sequence[Any]) -> dict[str, Any]:
    """``accuracy`` (count, of, rate), and ``macro_f1`` over the classes that occur in the truth."""
    if len(truth) != len(predicted):
        raise UsageError(f"{len(truth)} records but {len(predicted)} predictions")
    hits = sum(a == b for a, b in zip(truth, predicted, strict=True))
    classes = sorted(set(truth), key=str)
    scores = [
        Confusion.of(np.array([t == c for t in truth]), np.array([p == c for p in predicted])).f1
        for c in classes
    ]
    macro = float(np.mean([s or 0.0 for s in scores])) if scores else None
    return {
        "accuracy": ratio(hits, len(truth)),
        "macro_f1": macro,
        "classes": len(classes),
    }


def sites(truth: Iterable[np.ndarray], predicted: Iterable[np.ndarray]) -> dict[str, Any]:
    """Pooled F1 and MCC of yes-or-no labels of residues, a boolean array a protein."""
    pooled, proteins = Confusion(0, 0, 0, 0), 0
    for true, guess in zip(truth, predicted, strict=True):
        pooled, proteins = pooled + Confusion.of(true, guess), proteins + 1
    return {**pooled.row(), "proteins": proteins}
