"""Attention: one call site for packed training and cached generation.

Shape letters: T tokens of a pack, B sequences, L longest sequence, N query heads, K key heads,
D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


class Memory(Protocol):
    """Where the keys and values of one layer live, and who may see whom."""

    def attend(self, q_TND: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """Add keys and values; attend from the queries. Returns (T, N, D)."""
        ...


SHORT = 256
"""Up to this length, on CPU, attention is two batched products around a softmax. There PyTorch's
fused CPU kernel loses: its backward pass was measured eight times slower in bf16, and fifteen times
slower once ``set_float32_matmul_precision("medium")`` is on (benchmarks/README.md)."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """The one attention call: (B, heads, L, D).

    Args:
        q: queries.
        k: keys; as many heads, or a divisor of them (grouped-query attention).
        v: values.
        mask: additive, broadcastable to (B, heads, L, keys).
        causal: causal order instead of a mask.
    """
    grouped = q.shape[1] != k.shape[1]
    if q.device.type == "cpu" and k.shape[2] <= SHORT:
        return _attend_short(q, k, v, mask, causal)
    if mask is not None:
        mask = mask.to(q.dtype)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped
    )


def _attend_short(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    repeat = q.shape[1] // k.shape[1]
    if repeat > 1:
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(ahead, float("-inf"))
    elif mask is not None:
        scores = scores + mask.to(scores.dtype)
    return scores.softmax(-1).to(v.dtype) @ v


@dataclass(eq=False)
class PackedMemory:
    """Block-diagonal attention inside each sequence of a pack.

    Everything around attention works on the flat tokens, so no compute is spent on padding; inside
    attention, sequences of about equal length (the batches are bucketed) stand side by side. On
    CUDA the flat tokens go to FlexAttention with a document mask.

    Attributes:
        rows_BL: flat index of each position; the last token stands in for padding.
        flat_T: index into (B * L) of each flat token.
        mask: (B, 1, L, L) additive mask, or ``None`` when causal order alone is right.
        block_mask: FlexAttention mask, on CUDA.
        causal: without a mask, nobody sees what follows.
    """

    rows_BL: Tensor
    flat_T: Tensor | None
    mask: Tensor | None
    block_mask: BlockMask | None = None
    causal: bool = True

    @classmethod
    def build(
        cls,
        lengths: Tensor,
        contexts: Tensor,
        flex: bool | None = None,
        private: Tensor | None = None,
        floors: Tensor | None = None,
    ) -> PackedMemory:
        """From (B,) lengths and (B,) bidirectional prefixes.

        ``private``: (T,) positions that only they themselves attend to; ``None``: there are none.
        ``floors``: (T,) place in its sequence from which on a position attends to itself alone.
        """
        batch, longest = len(lengths), int(lengths.max())
        rows, flat, inside = cls._places(lengths)
        mask = None
        if private is not None or bool((contexts > 0).any()):
            seen = (inside[None, :] <= inside[:, None]) | (inside < contexts[:, None, None])
            if private is not None:
                itself = inside[None, :] == inside[:, None]
                seen = seen & (itself | ~private[rows][:, None, :])
                if floors is not None:
                    seen = seen & (itself | (inside < floors[rows][:, :, None]))
            mask = torch.zeros(batch, 1, longest, longest, device=lengths.device)
            mask.masked_fill_(~seen[:, None], float("-inf"))
        use_flex = lengths.is_cuda if flex is None else flex
        block = flex_mask(lengths, contexts, private, floors) if use_flex else None
        return cls(rows, flat, mask, block)

    @classmethod
    def both_ways(cls, lengths: Tensor, flex: bool | None = None) -> PackedMemory:
        """From (B,) lengths; every token sees its whole sequence."""
        rows, flat, inside = cls._places(lengths)
        mask = None
        if flat is not None:
            mask = torch.zeros(rows.shape, device=lengths.device)
            mask = mask.masked_fill_(inside >= lengths[:, None], float("-inf"))[:, None, None]
        use_flex = lengths.is_cuda if flex is None else flex
        block = flex_mask(lengths, lengths) if use_flex else None
        return cls(rows, flat, mask, block, causal=False)

    @staticmethod
    def _places(lengths: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """``rows_BL``, ``flat_T`` and the (L,) indices inside a sequence."""
        longest = int(lengths.max())
        starts = lengths.cumsum(0) - lengths
        inside = torch.arange(longest, device=lengths.device)
        rows = (starts[:, None] + inside).clamp_max(int(lengths.sum()) - 1)
        flat = None
        if int(lengths.min()) < longest:
            flat = (inside < lengths[:, None]).flatten().nonzero().squeeze(1)
        return rows, flat, inside

    def attend(self, q_TND: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        if self.block_mask is not None:
            return flex_attend(q_TND, k_TKD, v_TKD, self.block_mask)
        batch, longest = self.rows_BL.shape

        def spread(x: Tensor) -> Tensor:
            wide = x if self.flat_T is None else x[self.rows_BL.flatten()]
            return wide.view(batch, longest, *x.shape[1:]).transpose(1, 2)

        mask, causal = self.mask, self.causal and self.mask is None
        out = attend(spread(q_TND), spread(k_TKD), spread(v_TKD), mask, causal)
        out = out.transpose(1, 2).flatten(0, 1)
        return out if self.flat_T is None else out[self.flat_T]


def flex_mask(
    lengths: Tensor,
    contexts: Tensor,
    private: Tensor | None = None,
    floors: Tensor | None = None,
) -> BlockMask:
    """FlexAttention block mask: same sequence, and causal or inside the prefix."""
    from torch.nn.attention.flex_attention import create_block_mask

    total = int(lengths.sum())
    index = torch.arange(len(lengths), device=lengths.device)
    sequence = torch.repeat_interleave(index, lengths)
    starts = (lengths.cumsum(0) - lengths)[sequence]
    prefix_end = starts + contexts[sequence]

    def visible(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        return (sequence[q] == sequence[kv]) & ((kv <= q) | (kv < prefix_end[q]))

    def shown(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        assert private is not None
        return visible(b, h, q, kv) & (~private[kv] | (q == kv))

    def below(b: Tensor, h: Tensor, q: Tensor, kv: Tensor) -> Tensor:
        assert floors is not None
        return shown(b, h, q, kv) & ((kv - starts[kv] < floors[q]) | (q == kv))

    rule = visible if private is None else shown if floors is None else below
    return create_block_mask(rule, None, None, total, total, device=lengths.device.type)


def flex_attend(q_TND: Tensor, k_TKD: Tensor, v_TKD: Tensor, block_mask: BlockMask) -> Tensor:
    """FlexAttention over one flat pack; compiled on CUDA."""
    q, k, v = (x.transpose(0, 1)[None] for x in (q_TND, k_TKD, v_TKD))
    kernel = _flex_kernel(q_TND.is_cuda)
    out = kernel(q, k, v, block_mask=block_mask, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1)


@cache
def _flex_kernel(compiled: bool) -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    kernel: Callable[..., Tensor] = flex_attention
    return torch.compile(kernel) if compiled else kernel


@dataclass(frozen=True, eq=False)
class Rotary:
    """Cosine and sine of where the queries and the keys of T tokens stand."""

    queries: tuple[Tensor, Tensor]
    keys: tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Grouped-query attention with rotary positions and optional QK-norm.

    Queries may stand elsewhere than keys: ``rotary`` holds the angles of either.
    """

    def __init__(self, hidden: int, heads: int, kv_heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = heads, kv_heads, hidden // heads
        self.qkv = nn.Linear(hidden, (heads + 2 * kv_heads) * self.width, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.q_norm = nn.RMSNorm(self.width, eps=1e-6) if qk_norm else None
        self.k_norm = nn.RMSNorm(self.width, eps=1e-6) if qk_norm else None

    def forward(self, x_TH: Tensor, rotary: Rotary, memory: Memory) -> Tensor:
        sizes = [self.heads, self.kv_heads, self.kv_heads]
        q, k, v = self.qkv(x_TH).view(len(x_TH), -1, self.width).split(sizes, dim=1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, *rotary.queries), rotate(k, *rotary.keys)
        return self.out(memory.attend(q, k, v).flatten(1))


def rotary_angles(positions: Tensor, width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each (T, 1, width / 2), of the rotary embedding (Su et al., 2021).

    Args:
        positions: (T,) indices, or (T, D) points. For points the angles are shared out evenly: the
            first ``width / 2 / D`` turn with the first axis, and so on; what does not divide is
            not turned.
        width: of a head.
        base: the longest wavelength is nearly ``2 pi base``.
    """
    axes = positions.shape[1] if positions.ndim == 2 else 1
    each = width // 2 // axes
    frequency = base ** (-torch.arange(each, device=positions.device).float() / each)
    angle = positions.float().reshape(len(positions), axes, 1) * frequency
    angle = F.pad(angle.flatten(1), (0, width // 2 - axes * each))[:, None]
    return angle.cos(), angle.sin()


def rotate(x_TND: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotary embedding to queries or keys."""
    a, b = x_TND.chunk(2, dim=-1)
    cos, sin = cos.to(x_TND.dtype), sin.to(x_TND.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
