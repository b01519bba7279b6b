"""Calibration: slow references, and answers drawn from known probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.calibration import (
    Choice,
    calibration,
    fit_offsets,
    fit_temperature,
    reliability,
    reliability_chart,
    tempered,
)
from sciar.evaluation.report import checked_svg

ANSWERS = st.lists(
    st.tuples(st.floats(0, 1, allow_nan=False), st.booleans()), min_size=1, max_size=60
)


@given(ANSWERS, st.integers(1, 20))
def test_agrees_with_the_definition(answers: list[tuple[float, bool]], bins: int) -> None:
    confidence = np.array([c for c, _ in answers])
    right = np.array([r for _, r in answers])
    expected = 0.0
    for b in range(bins):
        inside = [(c, r) for c, r in answers if min(int(c * bins), bins - 1) == b]
        if inside:
            gap = sum(r for _, r in inside) - sum(c for c, _ in inside)
            expected += abs(gap) / len(answers)
    row = calibration(confidence, right, bins)
    assert row["ece"] == pytest.approx(expected, abs=1e-9)
    assert row["brier"] == pytest.approx(np.mean([(c - r) ** 2 for c, r in answers]), abs=1e-9)
    assert sum(r["count"] for r in row["bins"]) == row["count"] == len(answers)


def drawn(sharpness: float, count: int = 3000) -> list[Choice]:
    """Choices whose truth follows the probabilities, which are then stated too sharply."""
    rng = np.random.default_rng(0)
    out = []
    for _ in range(count):
        logits = rng.normal(size=int(rng.integers(2, 6))) * 1.5
        p = np.exp(logits) / np.exp(logits).sum()
        out.append(Choice(logits * sharpness, int(rng.choice(len(p), p=p))))
    return out


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_wrong_sharpness(sharpness: float) -> None:
    choices = drawn(sharpness)
    fitted = fit_temperature(choices)
    assert fitted["temperature"] == pytest.approx(sharpness, rel=0.1)
    assert fitted["nll"] <= fitted["nll_before"] + 1e-9 and fitted["count"] == 3000
    grid = [fit_nll(choices, t) for t in np.geomspace(0.1, 10, 41)]
    assert fitted["nll"] <= min(grid) + 1e-6

    def stated(temperature: float) -> float:
        log_p = [tempered(c.log_probs, temperature) for c in choices]
        confidence = np.array([np.exp(x.max()) for x in log_p])
        right = np.array([x.argmax() == c.truth for x, c in zip(log_p, choices, strict=True)])
        return calibration(np.minimum(confidence, 1.0), right)["ece"]

    assert stated(fitted["temperature"]) < 0.03
    if sharpness == 3.0:
        assert stated(1.0) > 0.1


def fit_nll(choices: list[Choice], temperature: float) -> float:
    return float(np.mean([-tempered(c.log_probs, temperature)[c.truth] for c in choices]))


def test_forbidden_tokens_stay_forbidden() -> None:
    out = tempered(np.array([0.0, -np.inf, 0.0]), 3.0)
    np.testing.assert_allclose(np.exp(out), [0.5, 0.0, 0.5])
    with pytest.raises(UsageError, match="forbids"):
        fit_temperature([Choice(np.array([0.0, -np.inf]), 1)])
    with pytest.raises(UsageError, match="no choices"):
        fit_temperature([])


def test_the_diagram_has_its_edges() -> None:
    rows = reliability(np.array([0.0, 1.0, 0.999]), np.array([False, True, False]), bins=4)
    assert [(r["low"], r["count"], r["accuracy"]) for r in rows] == [(0.0, 1, 0.0), (0.75, 2, 0.5)]
    with pytest.raises(UsageError, match="between 0 and 1"):
        calibration(np.array([1.2]), np.array([True]))


def test_the_chart_shows_every_bin_and_the_diagonal() -> None:
    row = calibration(np.array([0.1, 0.1, 0.9]), np.array([False, True, True]))
    svg = checked_svg(reliability_chart({"before": row, "after": row}, title="bind"))
    assert svg.count("<circle") == 2 + 2 * len(row["bins"]) == 6
    assert "n = 3" in svg and f"ECE {row['ece']:.3f}" in svg and "bind" in svg
    empty = calibration(np.zeros(0), np.zeros(0))
    assert empty["count"] == 0 and empty["ece"] is None
    with pytest.raises(UsageError, match="no answers"):
        reliability_chart({"nothing": empty})


def macro_f1(said: np.ndarray, truth: np.ndarray) -> float:
    f1s = []
    for k in np.unique(truth):
        tp = ((said == k) & (truth == k)).sum()
        f1s.append(2 * tp / ((said == k).sum() + (truth == k).sum()))
    return float(np.mean(f1s))


def rare(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Decisions of a calibrated model about four classes, one of which never occurs."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) + np.log([0.9, 0.06, 0.04, 1e-9])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.log(p), np.array([rng.choice(4, p=row) for row in p])


@pytest.mark.parametrize("seed", range(5))
def test_offsets_find_rare_classes(seed: int) -> None:
    log_p, truth = rare(seed)
    offsets, facts = fit_offsets(log_p, truth)
    assert offsets[0] == offsets[3] == 0 and (offsets[1:3] > 0).all()
    said = (log_p + offsets).argmax(1)
    assert facts["macro_f1"] == pytest.approx(macro_f1(said, truth))
    assert facts["macro_f1_before"] == pytest.approx(macro_f1(log_p.argmax(1), truth))
    assert facts["count"] == 400
    # No other offset of one class would do better, on a fine grid.
    for k in (1, 2):
        for value in np.linspace(-2, 8, 201):
            other = offsets.copy()
            other[k] = value
            assert macro_f1((log_p + other).argmax(1), truth) <= facts["macro_f1"] + 1e-9


def test_equal_decisions_turn_together() -> None:
    log_p = np.log(np.array([[0.8, 0.2]] * 4 + [[0.6, 0.4]] * 2))
    truth = np.array([0, 0, 0, 1, 1, 1])
    offsets, facts = fit_offsets(log_p, truth)
    said = (log_p + offsets).argmax(1)
    assert said.tolist() == [0, 0, 0, 0, 1, 1]
    assert facts["macro_f1"] == pytest.approx(macro_f1(said, truth))


def test_offsets_need_decisions() -> None:
    with pytest.raises(UsageError, match="right classes"):
        fit_offsets(np.zeros((0, 3)), np.zeros(0))
    with pytest.raises(UsageError, match="right classes"):
        fit_offsets(np.zeros((2, 3)), np.zeros(3))
