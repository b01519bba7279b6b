"""The state-space scan against the plain recurrence and the quadratic form."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sciar.nn.ragged import Ragged
from sciar.nn.ssd import convolve, scan

HEADS, WIDTH, STATE, CHANNELS, BEFORE = 2, 3, 4, 5, 3


def inputs(total: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """u, log a, b and c; some decays are strong."""
    g = torch.Generator().manual_seed(seed)
    shapes = [(total, HEADS, WIDTH), (total, HEADS), (total, STATE), (total, STATE)]
    u, a, b, c = (torch.randn(s, generator=g, dtype=torch.float64) for s in shapes)
    return [x.to(dtype) for x in (u, -(2 * a).exp(), b, c)]


def layout(lengths: Sequence[int], chunk: int) -> Ragged:
    return Ragged.build(torch.tensor(lengths), chunk, BEFORE)


def naive(u: Tensor, log_a: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The recurrence of one sequence, token by token."""
    out = []
    for t in range(len(u)):
        state = log_a[t].exp()[:, None, None] * state + u[t][:, :, None] * b[t]
        out.append(state @ c[t])
    return torch.stack(out), state


def quadratic(u: Tensor, log_a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The masked product of one sequence."""
    out = torch.zeros_like(u)
    for i in range(len(u)):
        for j in range(i + 1):
            out[i] += (c[i] @ b[j]) * log_a[j + 1 : i + 1].sum(0).exp()[:, None] * u[j]
    return out


def by_sequence(parts: list[Tensor], lengths: Sequence[int]) -> list[list[Tensor]]:
    return [list(own) for own in zip(*(p.split(list(lengths)) for p in parts), strict=True)]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    chunk=st.integers(1, 24),
    begun=st.booleans(),
)
def test_chunks_equal_the_recurrence_in_every_sequence(
    lengths: list[int], chunk: int, begun: bool
) -> None:
    parts = inputs(sum(lengths))
    start = torch.zeros(len(lengths), HEADS, WIDTH, STATE, dtype=torch.float64)
    if begun:
        start = torch.randn(start.shape, generator=torch.Generator().manual_seed(1)).double()
    y, last = scan(*parts, layout(lengths, chunk), start if begun else None)
    for i, (own, found) in enumerate(
        zip(by_sequence(parts, lengths), y.split(lengths), strict=True)
    ):
        expected, state = naive(*own, start[i])
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(last[i], state, atol=1e-12, rtol=1e-12)


def test_the_quadratic_form_is_the_same() -> None:
    parts = inputs(13)
    y, _ = scan(*parts, layout([13], 4))
    torch.testing.assert_close(y, quadratic(*parts), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("chunk", [16, 64, 300])
def test_single_precision_is_close_over_many_tokens(chunk: int) -> None:
    parts = inputs(300)
    parts[1] = parts[1] * 0.02  # long memory
    expected, _ = naive(*parts, torch.zeros(HEADS, WIDTH, STATE, dtype=torch.float64))
    y, _ = scan(*(p.float() for p in parts), layout([300], chunk))
    assert (y - expected).abs().max() < 5e-5 * expected.abs().max().clamp_min(1)


def test_a_sequence_may_be_cut_anywhere() -> None:
    """Two passes with the state carried over, the second one token long or longer."""
    parts = inputs(11)
    whole, last = scan(*parts, layout([11], 4))
    for cut in (1, 4, 6, 10):
        first, state = scan(*(p[:cut] for p in parts), layout([cut], 4))
        second, end = scan(*(p[cut:] for p in parts), layout([11 - cut], 4), state)
        torch.testing.assert_close(torch.cat([first, second]), whole, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(end, last, atol=1e-12, rtol=1e-12)


def test_gradients_are_those_of_the_formula() -> None:
    parts = [p.requires_grad_() for p in inputs(7)]
    lengths = layout([5, 2], 3)
    assert torch.autograd.gradcheck(lambda *x: scan(*x, lengths), parts)


def test_strong_decays_give_finite_gradients() -> None:
    """Differences that the mask hides would overflow if they were exponentiated."""
    parts = inputs(8, torch.float32)
    parts[1] = torch.full_like(parts[1], -80.0)
    for p in parts:
        p.requires_grad_()
    y, _ = scan(*parts, layout([8], 8))
    y.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parts)


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), begun=st.booleans())
def test_convolution_stays_inside_each_sequence(lengths: list[int], begun: bool) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(sum(lengths), CHANNELS, generator=g).double()
    weight = torch.randn(CHANNELS, 1, BEFORE + 1, generator=g).double()
    bias = torch.randn(CHANNELS, generator=g).double()
    before = torch.randn(len(lengths), BEFORE, CHANNELS, generator=g).double() * begun
    y, window = convolve(x, weight, bias, layout(lengths, 8), before if begun else None)
    for i, (own, found) in enumerate(zip(x.split(lengths), y.split(lengths), strict=True)):
        all_of_it = torch.cat([before[i], own])
        for t in range(len(own)):
            expected = (all_of_it[t : t + BEFORE + 1] * weight[:, 0].T).sum(0) + bias
            torch.testing.assert_close(found[t], expected)
        torch.testing.assert_close(window[i], all_of_it[-BEFORE:])
