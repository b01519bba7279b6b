"""Transforms: inverses, monotone, and inside the range whatever a head says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.tokenization.programs.transforms import Transform

ALL = (
    Transform("linear", -3.0, 5.0),
    Transform("log", 0.5, 200.0, scale=4.0),
    Transform("asinh", -2000.0, 2000.0, scale=50.0),
    Transform("logit", 0.0, 1.0),
    Transform("logit", -1.0, 3.0),
    Transform("torus", -0.5, 0.25),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALL), st.floats(0.001, 0.999))
def test_the_inverse_gives_it_back(transform: Transform, part: float) -> None:
    x = transform.low + part * (transform.high - transform.low)
    span = transform.high - transform.low
    assert float(transform.inverse(transform.forward(x))) == pytest.approx(x, abs=1e-9 * span)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALL), st.floats(-1e6, 1e6))
def test_any_number_of_a_head_lies_in_the_range(transform: Transform, u: float) -> None:
    x = float(transform.inverse(u))
    assert transform.low <= x <= transform.high


@pytest.mark.parametrize("transform", ALL, ids=lambda t: t.kind)
def test_order_is_kept_so_that_quantiles_carry_over(transform: Transform) -> None:
    x = np.linspace(transform.low, transform.high, 203)[1:-1]
    assert (np.diff(transform.forward(x)) > 0).all()


def test_values_by_hand() -> None:
    assert float(ALL[1].forward(4.0 * math.e)) == pytest.approx(1.0)
    assert float(ALL[2].forward(50.0 * math.sinh(1.5))) == pytest.approx(1.5)
    assert float(ALL[3].forward(0.75)) == pytest.approx(math.log(3.0))
    assert np.isfinite(ALL[3].forward(np.array([0.0, 1.0]))).all()
    assert float(ALL[5].forward(0.25)) == 0.0 and ALL[5].geometry == "torus"


def test_transforms_that_are_none() -> None:
    for options, reason in (
        (("cube", 0.0, 1.0), "'cube' is none of"),
        (("linear", 1.0, 1.0), "low must be below high"),
        (("log", 0.0, 1.0), "positive range"),
        (("asinh", 0.0, 1.0, 0.0), "a scale is positive"),
    ):
        with pytest.raises(UsageError, match=reason):
            Transform(*options)
