"""Members of ranked lists by their chances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.generation.ranked import hazards, take_next


def test_chances_of_independent_members_are_found() -> None:
    """If each member belongs with its own chance, the next-token distribution gives it back."""
    chance = np.array([0.1, 0.7, 0.4, 0.9])
    before = np.concatenate([[1.0], np.cumprod(1 - chance)])
    q, end = before[:-1] * chance, before[-1]
    np.testing.assert_allclose(hazards(q, end), chance)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(0.05, 0.95))
def test_the_first_likely_member_is_taken(weights: list[float], threshold: float) -> None:
    p = np.array(weights) / sum(weights)
    order = np.arange(len(p) - 1)
    token, decided, chances = take_next(order, np.log(p), threshold)
    by_hand = [p[k] / p[k:].sum() for k in order]
    likely = [k for k in order if by_hand[k] >= threshold]
    assert token == (likely[0] if likely else len(p) - 1)
    assert decided.tolist() == list(range(likely[0] + 1 if likely else len(order)))
    np.testing.assert_allclose(chances, [by_hand[k] for k in decided])


def test_a_list_that_may_not_end_goes_on() -> None:
    log_p = np.log(np.array([0.2, 0.5, 0.3]))
    token, *_ = take_next(np.arange(3), log_p, threshold=1.1)
    assert token == 2  # the last is certain, once those before it are passed over


def test_nothing_is_certain_of_what_cannot_be() -> None:
    assert hazards(np.zeros(2), 0.0).tolist() == [0, 0]
    assert hazards(np.array([0.5]), 0.5)[0] == pytest.approx(0.5)
