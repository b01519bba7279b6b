"""Attention against brute force: one sequence at a time, one query at a time."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sciar.nn.attention import (
    Attention,
    PackedMemory,
    Rotary,
    _attend_short,
    attend,
    rotary_angles,
    rotate,
)

LENGTHS = torch.tensor([5, 3, 9, 1])
CONTEXTS = torch.tensor([3, 0, 4, 1])


def qkv(total: int, heads: int, kv_heads: int, width: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = (heads, kv_heads, kv_heads)
    q, k, v = (torch.randn(total, n, width, generator=generator) for n in sizes)
    return q, k, v


def by_hand(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, contexts: Tensor) -> Tensor:
    """One query of one head at a time, in float64."""
    out = torch.zeros_like(q, dtype=torch.float64)
    group = q.shape[1] // k.shape[1]
    start = 0
    for length, context in zip(lengths.tolist(), contexts.tolist(), strict=True):
        for i in range(length):
            last = max(i + 1, context) if i < context else i + 1
            for h in range(q.shape[1]):
                keys = k[start : start + last, h // group].double()
                values = v[start : start + last, h // group].double()
                score = keys @ q[start + i, h].double() / math.sqrt(q.shape[-1])
                out[start + i, h] = score.softmax(0) @ values
        start += length
    return out


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("contexts", [CONTEXTS, torch.zeros(4, dtype=torch.long)])
@pytest.mark.parametrize("flex", [False, True])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_packed_attention_is_block_diagonal(kv_heads: int, contexts: Tensor, flex: bool) -> None:
    q, k, v = qkv(int(LENGTHS.sum()), 4, kv_heads)
    memory = PackedMemory.build(LENGTHS, contexts, flex=flex)
    assert (memory.block_mask is not None) == flex
    expected = by_hand(q, k, v, LENGTHS, contexts)
    torch.testing.assert_close(memory.attend(q, k, v).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scores", [1, 60, 1 << 14])
@pytest.mark.parametrize("contexts", [CONTEXTS, torch.zeros(4, dtype=torch.long), LENGTHS])
def test_blocks_of_sequences_change_nothing(
    scores: int, contexts: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sciar.nn.attention.SCORES", scores)
    q, k, v = qkv(int(LENGTHS.sum()), 4, 4)
    memory = PackedMemory.build(LENGTHS, contexts)
    assert len(memory.blocks) == {1: 4, 60: 3, 1 << 14: 1}[scores]
    expected = by_hand(q, k, v, LENGTHS, contexts)
    torch.testing.assert_close(memory.attend(q, k, v).double(), expected, atol=1e-5, rtol=1e-5)
    # The same sequences alone, with the gradient's written out products.
    q.requires_grad_()
    torch.testing.assert_close(memory.attend(q, k, v).double(), expected, atol=1e-5, rtol=1e-5)


def test_some_queries_are_read_alone() -> None:
    q, k, v = qkv(int(LENGTHS.sum()), 4, 2)
    memory = PackedMemory.both_ways(LENGTHS)
    expected = by_hand(q, k, v, LENGTHS, LENGTHS)
    at = torch.tensor([0, 3, 4, 9, 17])  # none of the second sequence
    reading = memory.reading(at)
    assert reading is not None and reading.queries == [3, 0, 1, 1]
    found = reading.attend(q[at], k, v)
    torch.testing.assert_close(found.double(), expected[at], atol=1e-5, rtol=1e-5)
    assert PackedMemory.build(LENGTHS, CONTEXTS).reading(at) is None


def test_equal_lengths_need_no_gather() -> None:
    lengths, contexts = torch.tensor([4, 4, 4]), torch.tensor([2, 0, 4])
    q, k, v = qkv(12, 4, 4)
    memory = PackedMemory.build(lengths, contexts)
    (block,) = memory.blocks
    assert block.rows is None and block.flat is None
    expected = by_hand(q, k, v, lengths, contexts)
    torch.testing.assert_close(memory.attend(q, k, v).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_short_path_is_pytorchs_attention(
    kv_heads: int, masked: bool, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(2)
    q = torch.randn(3, 4, 7, 16, generator=generator, dtype=dtype)
    k, v = (torch.randn(3, kv_heads, 7, 16, generator=generator, dtype=dtype) for _ in range(2))
    mask = None
    if masked:
        hidden = torch.rand(3, 1, 7, 7, generator=generator) < 0.4
        hidden[..., 0] = False
        mask = torch.zeros(3, 1, 7, 7).masked_fill(hidden, float("-inf")).to(dtype)
    expected = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=not masked, enable_gqa=True
    )
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    actual = _attend_short(q, k, v, mask, causal=not masked)
    assert actual.dtype == dtype
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


def test_long_and_short_paths_agree_at_the_boundary() -> None:
    generator = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(1, 2, 257, 8, generator=generator) for _ in range(3))
    long = attend(q, k, v, None, causal=True)
    torch.testing.assert_close(long, _attend_short(q, k, v, None, True), atol=1e-5, rtol=1e-5)


def test_scores_depend_on_distance_only() -> None:
    """The rotary property: shifting all positions changes no product of query and key."""
    generator = torch.Generator().manual_seed(3)
    q, k = (torch.randn(6, 2, 16, generator=generator) for _ in range(2))
    products = []
    for shift in (0, 11):
        angles = rotary_angles(torch.arange(6) + shift, 16)
        products.append(torch.einsum("ihd,jhd->hij", rotate(q, *angles), rotate(k, *angles)))
    torch.testing.assert_close(*products, atol=1e-4, rtol=1e-4)
    plain = torch.einsum("ihd,jhd->hij", q, k)
    torch.testing.assert_close(
        products[0].diagonal(dim1=1, dim2=2), plain.diagonal(dim1=1, dim2=2), atol=1e-5, rtol=1e-5
    )
    assert (products[0] - plain).abs().max() > 0.1


def test_points_turn_each_axis_by_its_own_angles() -> None:
    """Against the formula, one angle at a time; angles that do not divide among axes stay zero."""
    points = torch.tensor([[0.3, -1.2, 2.0], [4.0, 0.0, 7.5]])
    cos, sin = rotary_angles(points, 22)  # 11 angles: 3 an axis, 2 left over
    for row, point in enumerate(points.tolist()):
        expected = [x * 10_000 ** (-k / 3) for x in point for k in range(3)] + [0.0, 0.0]
        for i, angle in enumerate(expected):
            assert float(cos[row, 0, i]) == pytest.approx(math.cos(angle), abs=1e-5)
            assert float(sin[row, 0, i]) == pytest.approx(math.sin(angle), abs=1e-5)
    index = torch.arange(7)
    for one, other in zip(
        rotary_angles(index, 16), rotary_angles(index[:, None].float(), 16), strict=True
    ):
        assert torch.equal(one, other)


def test_scores_depend_on_the_vector_between_points() -> None:
    generator = torch.Generator().manual_seed(6)
    q, k = (torch.randn(6, 2, 24, generator=generator) for _ in range(2))
    points = torch.randn(6, 3, generator=generator)
    products = []
    for shift in (torch.zeros(3), torch.tensor([3.0, -1.0, 0.5]), None):
        moved = -points if shift is None else points + shift
        angles = rotary_angles(moved, 24)
        products.append(torch.einsum("ihd,jhd->hij", rotate(q, *angles), rotate(k, *angles)))
    torch.testing.assert_close(products[0], products[1], atol=1e-4, rtol=1e-4)
    assert (products[0] - products[2]).abs().max() > 0.1, "direction does not matter"


def test_rotation_keeps_lengths() -> None:
    x = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(4))
    turned = rotate(x, *rotary_angles(torch.arange(5) * 7, 8))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("qk_norm", [False, True])
def test_qk_norm_bounds_the_scores(qk_norm: bool) -> None:
    """With QK-norm, scaling the input of the norm leaves the output of attention as it is."""
    torch.manual_seed(0)
    layer = Attention(32, 4, 2, qk_norm=qk_norm)
    memory = PackedMemory.build(torch.tensor([6]), torch.tensor([0]))
    x, angles = torch.randn(6, 32), rotary_angles(torch.arange(6), 8)
    before = layer(x, Rotary(angles, angles), memory)
    with torch.no_grad():
        layer.qkv.weight[: (4 + 2) * 8] *= 50.0  # queries and keys, not values
    change = (layer(x, Rotary(angles, angles), memory) - before).abs().max()
    assert (change < 1e-3) if qk_norm else (change > 1e-2)
