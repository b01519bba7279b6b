"""Metrics of proteins against slow versions that follow their definitions word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sciar.errors import UsageError
from sciar.evaluation.classes import Confusion, accuracy, residue_accuracy, sites
from sciar.evaluation.fmax import closed_scores, fmax
from sciar.evaluation.ranking import ndcg, pearson, ranks, regression, spearman

VALUES = st.lists(st.tuples(st.integers(-5, 5), st.integers(-3, 3)), min_size=2, max_size=25)


@given(VALUES)
def test_correlations_agree_with_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    np.testing.assert_allclose(ranks(x), stats.rankdata(x))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert spearman(x, y) is None and pearson(x, y) is None
        return
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)


def slow_ndcg(truth: list[float], predicted: list[float]) -> float:
    """Gains in the order of predictions; the mean over all orders of equal ones."""
    gains = [t - min(truth) for t in truth]
    total = 0.0
    for i, p in enumerate(predicted):
        before = sum(q > p for q in predicted)
        same = sum(q == p for q in predicted)
        places = range(before + 1, before + same + 1)
        total += gains[i] * sum(1 / math.log2(1 + place) for place in places) / same
    ideal = sorted(gains, reverse=True)
    return total / sum(g / math.log2(1 + place) for place, g in enumerate(ideal, start=1))


@given(VALUES)
def test_ndcg_agrees_with_the_definition(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = map(list, zip(*pairs, strict=True))
    found = ndcg(np.array(truth), np.array(predicted))
    if min(truth) == max(truth):
        assert found is None
    else:
        assert found == pytest.approx(slow_ndcg(truth, predicted))
        assert ndcg(np.array(truth), np.array(truth)) == pytest.approx(1.0)


def test_regression_counts_and_refuses() -> None:
    row = regression(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0]))
    assert (row["count"], row["mae"], row["spearman"]) == (3, pytest.approx(1 / 3), 1.0)
    assert row["rmse"] == pytest.approx(math.sqrt(1 / 3))
    empty = regression(np.zeros(0), np.zeros(0))
    assert empty["count"] == 0 and empty["spearman"] is None and empty["mae"] is None
    with pytest.raises(UsageError, match="finite"):
        regression(np.array([1.0]), np.array([np.nan]))
    with pytest.raises(UsageError, match="predicted ones"):
        regression(np.zeros(2), np.zeros(3))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_f1_and_mcc_agree_with_the_definitions(pairs: list[tuple[bool, bool]]) -> None:
    truth = np.array([t for t, _ in pairs], dtype=bool)
    guess = np.array([g for _, g in pairs], dtype=bool)
    found = Confusion.of(truth, guess)
    tp = sum(t and g for t, g in pairs)
    said, true = sum(g for _, g in pairs), sum(t for t, _ in pairs)
    assert found.tp + found.fp + found.fn + found.tn == len(pairs)
    if said + true == 0:
        assert found.f1 is None
    elif said and true and tp:
        p, r = tp / said, tp / true
        assert found.f1 == pytest.approx(2 * p * r / (p + r))
    else:
        assert found.f1 == 0.0
    if 0 < said < len(pairs) and 0 < true < len(pairs):
        expected = stats.pearsonr(truth.astype(float), guess.astype(float)).statistic
        assert found.mcc == pytest.approx(expected)
    else:
        assert found.mcc == 0.0


def test_sites_pool_their_counts() -> None:
    row = sites([np.array([1, 0, 1]), np.array([0, 0])], [np.array([1, 1, 0]), np.array([0, 1])])
    assert row["counts"] == {"tp": 1, "fp": 2, "fn": 1, "tn": 1} and row["proteins"] == 2
    assert row["f1"] == pytest.approx(2 / 5)
    assert row["precision"]["of"] == 3 and row["recall"]["of"] == 2
    with pytest.raises(ValueError):
        sites([np.zeros(1)], [])


def test_residues_without_resolution_do_not_count() -> None:
    row = residue_accuracy(["HHEC", "CC"], ["HEEC", "CH"], ["1101", "00"])
    assert row["residues"]["count"] == 2 and row["residues"]["of"] == 3
    assert row["proteins"] == {"mean": pytest.approx(2 / 3), "of": 1}
    assert row["malformed"] == 0
    flags = [np.array([True, True, False, True]), [0, 0]]
    assert residue_accuracy([list("HHEC"), "CC"], ["HEEC", list("CH")], flags) == row


def test_malformed_answers_lower_the_score() -> None:
    whole = residue_accuracy(["HHEC", "CC"], ["HHEC", "CC"])
    assert whole["residues"]["rate"] == 1.0
    for guesses, right in ((["HH", "CC"], 4), ([None, "CC"], 2), (["", "C"], 1)):
        row = residue_accuracy(["HHEC", "CC"], guesses)
        assert row["residues"]["count"] == right and row["residues"]["of"] == 6
        assert row["malformed"] == 2 - (guesses[1] == "CC")
    with pytest.raises(UsageError, match="mask"):
        residue_accuracy(["HH"], ["HH"], ["1"])


def test_accuracy_of_classes() -> None:
    row = accuracy(["a", "a", "b", "c"], ["a", "b", "b", None])
    assert row["accuracy"]["count"] == 2 and row["classes"] == 3
    assert row["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def slow_fmax(truth: list[set[str]], scores: list[dict[str, float]]) -> float:
    best = 0.0
    for step in range(101):
        threshold = step / 100
        precisions, recalls = [], []
        for true, told in zip(truth, scores, strict=True):
            said = {t for t, s in told.items() if s >= threshold and s > 0}
            if not true:
                continue
            if said:
                precisions.append(len(said & true) / len(said))
            recalls.append(len(said & true) / len(true))
        if precisions and recalls:
            p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
            best = max(best, 2 * p * r / (p + r) if p + r else 0.0)
    return best


TERMS = st.sampled_from("abcdef")
PROTEINS = st.lists(
    st.tuples(
        st.sets(TERMS, max_size=4),
        st.dictionaries(TERMS, st.integers(0, 100).map(lambda n: n / 100), max_size=6),
    ),
    min_size=1,
    max_size=8,
)


@given(PROTEINS)
def test_fmax_agrees_with_the_definition(proteins: list[tuple[set, dict]]) -> None:
    truth, scores = [t for t, _ in proteins], [s for _, s in proteins]
    row = fmax(truth, scores)
    assert row["without_terms"] == sum(not t for t in truth)
    if row["proteins"]:
        assert row["fmax"] == pytest.approx(slow_fmax(truth, scores), abs=1e-9)
    else:
        assert row["fmax"] is None


def test_fmax_closes_upward() -> None:
    parents = {"leaf": ("middle", "root"), "other": ("root",), "middle": ("root",)}

    def ancestors(term: str) -> tuple[str, ...]:
        return parents.get(term, ())

    assert closed_scores({"leaf": 0.4, "other": 0.7}, ancestors) == {
        "leaf": 0.4, "middle": 0.4, "root": 0.7, "other": 0.7
    }  # fmt: skip
    # The sibling is wrong, but two of its three closed terms are right.
    row = fmax([{"leaf"}], [{"other": 1.0}], ancestors)
    assert (row["precision"], row["recall"]) == (0.5, pytest.approx(1 / 3))
    with pytest.raises(UsageError, match="between 0 and 1"):
        fmax([{"a"}], [{"a": 1.5}])


def test_perfect_scores_give_one() -> None:
    row = fmax([{"a"}, {"b", "c"}], [{"a": 0.9, "b": 0.2}, {"b": 0.8, "c": 0.9}])
    assert row["fmax"] == 1.0 and row["covered"] == row["proteins"] == 2
    assert 0.2 < row["threshold"] <= 0.8
