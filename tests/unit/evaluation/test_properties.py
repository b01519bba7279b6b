"""Scores of properties against brute force, and their counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.properties import overlap, roc_auc, score_classes, score_numbers

NUMBERS = st.one_of(st.none(), st.floats(-100, 100))
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30)
MARKED = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.5, 0.9])), st.integers(0, 1)),
    min_size=1,
    max_size=20,
)


@given(PAIRS)
def test_errors_are_those_of_the_definition(pairs: list[tuple[float | None, float | None]]) -> None:
    predicted, truth = zip(*pairs, strict=True)
    found = score_numbers(predicted, truth, bootstrap=20)
    both = [(p, t) for p, t in pairs if p is not None and t is not None]
    assert found["records"] == len(pairs)
    assert found["labelled"] == sum(t is not None for t in truth)
    assert found["predicted"] == found["mae"]["count"] == found["rmse"]["count"] == len(both)
    if not both:
        assert found["mae"]["mean"] is None and found["r2"] is None
        return
    p, t = np.array(both).T
    assert found["mae"]["mean"] == pytest.approx(np.abs(p - t).mean())
    assert found["rmse"]["mean"] == pytest.approx(np.sqrt(((p - t) ** 2).mean()))
    assert found["mae"]["mean"] <= found["rmse"]["mean"] + 1e-9
    if found["r2"] is not None:
        assert found["r2"] <= 1
        wanted = 1 - ((p - t) ** 2).sum() / ((t - t.mean()) ** 2).sum()
        assert found["r2"] == pytest.approx(wanted, rel=1e-6)


@given(MARKED)
def test_auc_counts_pairs_in_order(pairs: list[tuple[float | None, int]]) -> None:
    scores, labels = zip(*pairs, strict=True)
    ones = [s for s, t in pairs if s is not None and t]
    zeros = [s for s, t in pairs if s is not None and not t]
    found = roc_auc(scores, labels)
    if not ones or not zeros:
        assert found is None
        return
    inside = [(a > b) + 0.5 * (a == b) for a in ones for b in zeros]
    assert found == pytest.approx(np.mean(inside))
    scored = score_classes(scores, labels, bootstrap=0)
    hits = sum(s is not None and (s >= 0.5) == bool(t) for s, t in pairs)
    assert scored["of_class_1"] == sum(labels)
    assert scored["accuracy"]["count"] == hits and scored["accuracy"]["of"] == len(pairs)


def test_overlap_of_sets() -> None:
    assert overlap([True, True, False], [True, False, True]) == pytest.approx(1 / 3)
    assert overlap([False, False], [False, False]) is None
    assert overlap([True], [False]) == 0.0


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UsageError, match="2 predictions for 1 labels"):
        score_numbers([1.0, 2.0], [1.0])
    with pytest.raises(UsageError, match="two classes"):
        score_classes([0.5], [2])
