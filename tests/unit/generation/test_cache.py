"""Key-value caches: rows that grow, steps of several positions, nothing seen ahead."""

from __future__ import annotations

import pytest
import torch

from sciar.generation.cache import KVCache, StepMemory, StepPlan
from sciar.nn.attention import PackedMemory


def test_growing_keeps_the_content() -> None:
    cache = KVCache.empty(2, 3, 4, 5, 8, torch.zeros(()))
    cache.keys.normal_()
    cache.values.normal_()
    bigger = cache.grown(9)
    assert bigger.length == 9
    assert torch.equal(bigger.keys[:, :, :, :5], cache.keys)
    assert torch.equal(bigger.values[:, :, :, :5], cache.values)
    assert not bigger.keys[:, :, :, 5:].any()


@pytest.mark.parametrize(
    ("counts", "parts"),
    [([1, 1, 1], 1), ([3, 1, 2], 1), ([1, 20, 1, 1, 3], 3), ([1, 9, 6, 30], 3)],
)
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_steps_equal_the_whole_sequence(counts: list[int], parts: int, kv_heads: int) -> None:
    """Rows of different length, fed in steps of ``counts`` positions, beside leftovers."""
    generator = torch.Generator().manual_seed(0)
    rows, width, before = len(counts), 8, [2, 4, 1, 7, 3][: len(counts)]
    lengths = [b + c for b, c in zip(before, counts, strict=True)]
    q, k, v = (
        [torch.randn(n, heads, width, generator=generator) for n in lengths]
        for heads in (4, kv_heads, kv_heads)
    )
    cache = KVCache.empty(1, rows, kv_heads, max(lengths) + 3, width, torch.zeros(()))
    cache.keys.normal_()
    cache.values.normal_()
    for r in range(rows):
        cache.keys[0, r, :, : before[r]] = k[r][: before[r]].transpose(0, 1)
        cache.values[0, r, :, : before[r]] = v[r][: before[r]].transpose(0, 1)
    row = torch.cat([torch.full((c,), r) for r, c in enumerate(counts)])
    position = torch.cat([torch.arange(b, n) for b, n in zip(before, lengths, strict=True)])
    plan = StepPlan(before, counts, row.device)
    assert len(plan.parts) == parts
    assert torch.equal(plan.row, row) and torch.equal(plan.position, position)
    new = [torch.cat([x[r][before[r] :] for r in range(rows)]) for x in (q, k, v)]
    found = StepMemory(cache, 0, plan).attend(*new)
    for r in range(rows):
        alone = PackedMemory.build(torch.tensor([lengths[r]]), torch.tensor([0]))
        expected = alone.attend(q[r], k[r], v[r])[before[r] :]
        torch.testing.assert_close(found[row == r], expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(cache.keys[0, r, :, : lengths[r]], k[r].transpose(0, 1))
