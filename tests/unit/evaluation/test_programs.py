"""Scores of programs against golden cases and brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation.programs import Protocol, match, score
from sciar.records import Call, Program

SCENE = Protocol(words=("color",), gates=(0.25, 1.0))


def scene(*objects: tuple[float, float, str]) -> Program:
    return Program(tuple(Call("add", {"loc": (x, y), "color": c}) for x, y, c in objects))


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 1000))
def test_matching_is_the_best_of_all(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, found = rng.random((n, 2)), rng.random((m, 2))
    i, j, distance = match(true, found)
    assert len(distance) == min(n, m) == len(set(i)) == len(set(j))
    few, many = (true, found) if n <= m else (found, true)
    every = [
        sum(np.linalg.norm(few[a] - many[b]) for a, b in enumerate(chosen))
        for chosen in permutations(range(len(many)), len(few))
    ]
    assert distance.sum() == pytest.approx(min(every))


def test_a_golden_case() -> None:
    true = [scene((0, 0, "red"), (1, 0, "blue")), scene((0, 0, "red"))]
    found = [scene((1.1, 0, "blue"), (0, 0.5, "red"), (3, 3, "red")), scene((0, 0.1, "blue"))]
    result = score(true, found, SCENE, resamples=50)
    assert result["exact_count"]["count"] == 1 and result["exact_count"]["of"] == 2
    assert result["exact_count"]["interval"] is not None
    assert result["distance"]["mean"] == pytest.approx((0.3 + 0.1) / 2)
    near, far = result["within_0.25"], result["within_1"]
    assert (near["precision"]["count"], near["precision"]["of"]) == (2, 4)
    assert (near["recall"]["count"], near["recall"]["of"]) == (2, 3)
    assert near["f1"]["rate"] == pytest.approx(4 / 7)
    assert near["color"] == {"count": 1, "of": 3, "rate": pytest.approx(1 / 3)}
    assert far["recall"]["count"] == 3 and far["color"]["count"] == 2


def test_nothing_found_and_nothing_there() -> None:
    result = score([scene((0, 0, "red")), scene()], [None, scene()], SCENE)
    assert result["decoded"]["count"] == 1 and result["distance"] == {
        "mean": None, "count": 0, "of": 2,
    }  # fmt: skip
    assert result["within_1"]["precision"] == {"count": 0, "of": 0, "rate": None}
    assert result["within_1"]["recall"]["of"] == 1


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="1 programs for 2"):
        score([scene(), scene()], [scene()], SCENE)
    with pytest.raises(UsageError, match="no place x"):
        score([scene((0, 0, "red"))], [scene((0, 0, "red"))], Protocol(place=("x",)))
