"""Scores over atoms against brute force, with their counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.atoms import score_atom_classes, score_atom_numbers

SHARE = st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.4999, 0.5, 0.9]))
LABEL = st.one_of(st.none(), st.integers(0, 1))
STRUCTURE = st.tuples(st.booleans(), st.lists(st.tuples(SHARE, LABEL), min_size=1, max_size=8))


@given(st.lists(STRUCTURE, min_size=1, max_size=6))
def test_scores_are_means_over_structures(drawn: list) -> None:
    shares = [[s for s, _ in atoms] if answered else None for answered, atoms in drawn]
    labels = [[t for _, t in atoms] for _, atoms in drawn]
    found = score_atom_classes(shares, labels, bootstrap=0)
    ious, aucs, right, of = [], [], 0, 0
    for guess, truth in zip(shares, labels, strict=True):
        if guess is None or all(t is None for t in truth):
            continue
        pairs = [(p, t) for p, t in zip(guess, truth, strict=True) if t is not None]
        said = {i for i, (p, _) in enumerate(pairs) if p is not None and p >= 0.5}
        true = {i for i, (_, t) in enumerate(pairs) if t}
        if said | true:
            ious.append(len(said & true) / len(said | true))
        ones = [p for p, t in pairs if t and p is not None]
        zeros = [p for p, t in pairs if not t and p is not None]
        if ones and zeros:
            aucs.append(np.mean([(a > b) + (a == b) / 2 for a in ones for b in zeros]))
        right += sum(p is not None and (p >= 0.5) == bool(t) for p, t in pairs)
        of += len(pairs)
    labelled = [any(t is not None for t in truth) for truth in labels]
    assert found["records"] == len(drawn) and found["labelled"] == sum(labelled)
    answered = sum(a and known for (a, _), known in zip(drawn, labelled, strict=True))
    assert found["predicted"] == answered
    assert found["iou"]["count"] == len(ious) and found["roc_auc"]["count"] == len(aucs)
    assert found["without_any_site"] == answered - len(ious)
    assert found["of_one_class"] == answered - len(aucs)
    for name, values in (("iou", ious), ("roc_auc", aucs)):
        expected = pytest.approx(np.mean(values)) if values else None
        assert found[name]["mean"] == expected and found[name]["of"] == sum(labelled)
    assert (found["accuracy"]["count"], found["accuracy"]["of"]) == (right, of)


def test_errors_of_numbers() -> None:
    found = score_atom_numbers([[1.0, 2.0, None], None, [5.0]], [[0.0, None, 1.0], [1.0], [None]])
    assert (found["records"], found["labelled"], found["predicted"]) == (3, 2, 1)
    assert (found["atoms_labelled"], found["atoms_predicted"]) == (3, 1)
    assert found["mae"]["mean"] == 1.0 and found["mae"]["of"] == 2
    assert found["mae_over_atoms"]["of"] == 2 and found["mae_over_atoms"]["count"] == 1


def test_lists_of_other_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="2 predictions for 1 labelled"):
        score_atom_classes([[0.5], None], [[1]])
    with pytest.raises(UsageError, match="structure 0: 2 predictions for 3 atoms"):
        score_atom_classes([[0.5, 0.5]], [[1, 0, 0]])
