"""Scores of what is predicted for each atom, or each residue, of a structure.

Figures are means over structures, so that a large one counts no more than a small one, as in the
usual protocol for binding pockets (Uni-3DAR, arXiv:2503.16278): intersection over union at a
probability of 0.5, without structures where nothing is marked and nothing was to be; area under the
ROC curve, without structures whose labels are all of one class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sciar.errors import UsageError
from sciar.evaluation.properties import overlap, roc_auc
from sciar.evaluation.statistics import mean, ratio

Atoms = Sequence[Any] | None
"""One value an atom, ``None`` where it is missing; or ``None`` for a structure without any."""


def score_atom_classes(
    probabilities: Sequence[Atoms],
    truth: Sequence[Atoms],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """IoU and ROC-AUC of two classes as means over structures, and accuracy over atoms.

    Structures and atoms without a label are left out and counted. An atom with a label that got no
    answer counts as one of class 0 in the IoU, as wrong in the accuracy, and not in the ROC-AUC; a
    structure without any prediction is left out of the means, which the counts show.

    Args:
        probabilities: for each structure the probability of class 1 of each atom.
        truth: for each structure the label 0 or 1 of each atom.
        bootstrap: resamples of the intervals, over structures.
        seed: of the bootstrap.

    Raises:
        UsageError: lists of different lengths.
    """
    found, pairs = _paired(probabilities, truth)
    ious: list[float | None] = []
    aucs: list[float | None] = []
    hits = atoms = empty = single = 0
    for pair in pairs:
        if pair is None:
            ious.append(None)
            aucs.append(None)
            continue
        shares, labels = pair
        marked = [p is not None and p >= 0.5 for p in shares]
        iou, auc = overlap(marked, [bool(t) for t in labels]), roc_auc(shares, labels)
        empty, single = empty + (iou is None), single + (auc is None)
        ious.append(iou)
        aucs.append(auc)
        hits += sum(
            p is not None and m == bool(t) for p, m, t in zip(shares, marked, labels, strict=True)
        )
        atoms += len(labels)
    draws = {"resamples": bootstrap, "seed": seed}
    found["iou"] = mean(ious, **draws)
    found["without_any_site"] = empty
    found["roc_auc"] = mean(aucs, **draws)
    found["of_one_class"] = single
    found["accuracy"] = ratio(hits, atoms)
    return found


def score_atom_numbers(
    predicted: Sequence[Atoms],
    truth: Sequence[Atoms],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean absolute error, as the mean over structures and over all atoms.

    Args:
        predicted: for each structure a number an atom.
        truth: for each structure the label of each atom.
        bootstrap: resamples of the interval, over structures.
        seed: of the bootstrap.

    Raises:
        UsageError: lists of different lengths.
    """
    found, pairs = _paired(predicted, truth)
    each: list[float | None] = []
    every: list[float | None] = []
    for pair in pairs:
        errors = [] if pair is None else [
            None if p is None else abs(float(p) - float(t)) for p, t in zip(*pair, strict=True)
        ]  # fmt: skip
        known = [e for e in errors if e is not None]
        each.append(sum(known) / len(known) if known else None)
        every += errors
    found["mae"] = mean(each, resamples=bootstrap, seed=seed)
    found["mae_over_atoms"] = mean(every)
    return found


def _paired(
    predicted: Sequence[Atoms], truth: Sequence[Atoms]
) -> tuple[dict[str, Any], list[tuple[list[Any], list[Any]] | None]]:
    """Counts; and for each labelled structure its predictions and labels where there are labels,
    ``None`` if there is no prediction."""
    if len(predicted) != len(truth):
        raise UsageError(f"{len(predicted)} predictions for {len(truth)} labelled structures")
    pairs: list[tuple[list[Any], list[Any]] | None] = []
    answered = labelled = 0
    for index, (guess, labels) in enumerate(zip(predicted, truth, strict=True)):
        where = [i for i, t in enumerate(labels or ()) if t is not None]
        if not where or labels is None:
            continue
        labelled += len(where)
        if guess is None:
            pairs.append(None)
            continue
        if len(guess) != len(labels):
            raise UsageError(
                f"structure {index}: {len(guess)} predictions for {len(labels)} atoms; are both of "
                "the same file and format?"
            )
        pairs.append(([guess[i] for i in where], [labels[i] for i in where]))
        answered += sum(guess[i] is not None for i in where)
    counts = {
        "records": len(truth),
        "labelled": len(pairs),
        "predicted": sum(pair is not None for pair in pairs),
        "atoms_labelled": labelled,
        "atoms_predicted": answered,
    }
    return counts, pairs
