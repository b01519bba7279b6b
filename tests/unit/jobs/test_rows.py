"""Rows that do not depend on what else was in a batch."""

from __future__ import annotations

import pytest

from sciar.jobs.rows import Answer, checked

TASKS = {"heat": "number", "place": "text"}


def test_what_rounding_of_sums_could_change_is_cut_off() -> None:
    """Two batches differ in the seventh digit of a number, and the fifth of a confidence."""
    rows = [
        checked([Answer(value=heat), Answer(value="in", confidence=sure)], TASKS)
        for heat, sure in ((52.703374, 0.12342), (52.703377, 0.12344))
    ]
    assert rows[0] == rows[1]
    assert rows[0][0].value == pytest.approx(52.7034, abs=1e-9) and rows[0][1].confidence == 0.1234
    (small, _) = checked([Answer(value=1.23456789e-5), Answer(value="in")], TASKS)
    assert small.value == 1.23457e-5


def test_a_number_that_is_none_fails() -> None:
    (heat, _) = checked([Answer(value=float("nan")), Answer(value="in")], TASKS)
    assert not heat.ok and "no finite number" in heat.message
