"""Categorical head: masks, nucleus, temperature, inversion of the distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sciar.heads.categorical import CategoricalHead, nucleus

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5])


def head_with(logits: Tensor, smoothing: float = 0.0) -> CategoricalHead:
    """A head that answers the condition 1 with these logits."""
    head = CategoricalHead(1, len(logits), smoothing)
    with torch.no_grad():
        head.out.weight.copy_(logits[:, None])
    return head


def test_starts_uniform() -> None:
    head = CategoricalHead(8, 5)
    loss = head.loss(torch.randn(3, 8), torch.tensor([0, 2, 4]))
    torch.testing.assert_close(loss, torch.full((3,), float(np.log(5))))


def test_loss_is_the_cross_entropy() -> None:
    targets = torch.arange(5)
    plain = head_with(LOGITS).loss(torch.ones(5, 1), targets)
    log_p = LOGITS.log_softmax(0)
    torch.testing.assert_close(plain, -log_p)
    smooth = head_with(LOGITS, 0.1).loss(torch.ones(5, 1), targets)
    torch.testing.assert_close(smooth, -(0.9 * log_p + 0.1 * log_p.mean()))


@given(st.integers(0, 10_000), st.floats(0, 2), st.floats(0.05, 1))
def test_a_mask_is_never_violated(seed: int, temperature: float, top_p: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    head = head_with(5 * torch.randn(9, generator=generator))
    allowed = torch.rand(64, 9, generator=generator) < 0.3
    allowed[torch.arange(64), torch.randint(9, (64,), generator=generator)] = True
    u = torch.rand(64, generator=generator, dtype=torch.float64)
    u[:4] = torch.tensor([0.0, 1e-16, 1 - 1e-16, 1.0])
    token, log_p = head.sample(torch.ones(64, 1), allowed, u, temperature, top_p)
    assert allowed[torch.arange(64), token].all()
    logits = head(torch.ones(64, 1)).masked_fill(~allowed, float("-inf"))
    expected = logits.log_softmax(-1).gather(1, token[:, None])[:, 0]
    torch.testing.assert_close(log_p, expected)


def test_frequencies_match_the_distribution() -> None:
    n = 20_000
    u = (torch.arange(n) + 0.5).double() / n
    everything = torch.ones(n, 5, dtype=torch.bool)
    token, _ = head_with(LOGITS).sample(torch.ones(n, 1), everything, u)
    found = token.bincount(minlength=5) / n
    torch.testing.assert_close(found, LOGITS.softmax(0), atol=2e-4, rtol=0)
    hot, _ = head_with(LOGITS).sample(torch.ones(n, 1), everything, u, temperature=2.0)
    torch.testing.assert_close(
        hot.bincount(minlength=5) / n, (LOGITS / 2).softmax(0), atol=2e-4, rtol=0
    )


def test_temperature_zero_takes_the_most_likely_allowed() -> None:
    allowed = torch.ones(2, 5, dtype=torch.bool)
    allowed[1, 0] = False
    u = torch.tensor([0.99, 0.99])
    token, _ = head_with(LOGITS).sample(torch.ones(2, 1), allowed, u, temperature=0.0)
    assert token.tolist() == [0, 1]


@given(st.integers(0, 10_000), st.floats(0.01, 0.999))
def test_nucleus_is_the_smallest_set(seed: int, top_p: float) -> None:
    p = torch.rand(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3
    p = p / p.sum()
    kept = nucleus(p[None], top_p)[0]
    chosen = kept > 0
    ordered = p.sort(descending=True).values
    size = next(k for k in range(1, 13) if ordered[:k].sum() >= top_p or k == 12)
    assert int(chosen.sum()) == size
    assert p[chosen].min() >= p[~chosen].max() if size < 12 else True
    torch.testing.assert_close(kept[chosen], p[chosen])


@pytest.mark.parametrize("rows", [1, 3])
def test_a_row_does_not_depend_on_its_batch(rows: int) -> None:
    torch.manual_seed(0)
    head = CategoricalHead(6, 9)
    torch.nn.init.normal_(head.out.weight)
    condition, u = torch.randn(12, 6), torch.rand(12)
    allowed = torch.rand(12, 9) < 0.7
    allowed[:, 0] = True
    together, _ = head.sample(condition, allowed, u)
    parts = [
        head.sample(c, a, v)[0]
        for c, a, v in zip(condition.split(rows), allowed.split(rows), u.split(rows), strict=True)
    ]
    assert torch.equal(torch.cat(parts), together)
