"""Attention: one call site for packed training and cached generation.

Shape letters: T tokens of a pack, B sequences, L longest sequence, N query heads, K key heads,
D head width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


SCORES = 1 << 14
"""Most scores of one head that are computed at once for several sequences of a pack. Beyond the
processor's cache the same products take up to four times as long (benchmarks/README.md)."""
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
    if q.device.type == "cpu":
        # The fused kernel is the faster one forwards, unless there is but a query or two.
        fused = not (torch.is_grad_enabled() and q.requires_grad) and q.shape[2] > 2
        if k.shape[2] <= SHORT and not (fused and not grouped):
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


@dataclass(frozen=True, eq=False)
class Block:
    """Some sequences of a pack side by side, B of up to L tokens.

    Attributes:
        rows: (B, L) index, among the tokens of the block, of each position; the last token stands
            in for padding.  ``None``: nothing is padded.
        flat: index into (B * L) of each token; ``None``: nothing is padded.
        shape: B and L.
        mask: additive, broadcastable to (B, 1, L, L), or ``None``.
        causal: without a mask, nobody sees what follows.
    """

    rows: Tensor | None
    flat: Tensor | None
    shape: tuple[int, int]
    mask: Tensor | None
    causal: bool

    @classmethod
    def build(
        cls,
        lengths: Tensor,
        contexts: Tensor,
        private: Tensor | None = None,
        floors: Tensor | None = None,
    ) -> Block:
        """Arguments as for :meth:`PackedMemory.build`, of these sequences alone."""
        longest, total = int(lengths.max()), int(lengths.sum())
        starts = lengths.cumsum(0) - lengths
        inside = torch.arange(longest, device=lengths.device)
        real = inside < lengths[:, None]
        rows = (starts[:, None] + inside).clamp_max(total - 1)
        mask, causal = None, True
        if private is None and bool((contexts >= lengths).all()):
            causal = False
            if total < rows.numel():
                mask = torch.zeros(rows.shape, device=lengths.device)
                mask = mask.masked_fill_(~real, float("-inf"))[:, None, None]
        elif private is not None or bool((contexts > 0).any()):
            seen = (inside[None, :] <= inside[:, None]) | (inside < contexts[:, None, None])
            if private is not None:
                itself = inside[None, :] == inside[:, None]
                seen = seen & (itself | ~private[rows][:, None, :])
                if floors is not None:
                    seen = seen & (itself | (inside < floors[rows][:, :, None]))
            mask = torch.zeros(*rows.shape, longest, device=lengths.device)[:, None]
            mask.masked_fill_(~seen[:, None], float("-inf"))
        shape = (len(lengths), longest)
        if total == rows.numel():
            return cls(None, None, shape, mask, causal)
        return cls(rows, real.flatten().nonzero().squeeze(1), shape, mask, causal)

    def attend(self, q_TND: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """Of the tokens of the block."""

        def spread(x: Tensor) -> Tensor:
            wide = x if self.rows is None else x[self.rows.flatten()]
            return wide.view(*self.shape, *x.shape[1:]).transpose(1, 2)

        out = attend(spread(q_TND), spread(k_TKD), spread(v_TKD), self.mask, self._is_causal)
        out = out.transpose(1, 2).flatten(0, 1)
        return out if self.flat is None else out[self.flat]

    @property
    def _is_causal(self) -> bool:
        return self.causal and self.mask is None


@dataclass(eq=False)
class PackedMemory:
    """Block-diagonal attention inside each sequence of a pack.

    Everything around attention works on the flat tokens, so no compute is spent on padding; inside
    attention, a few sequences at a time stand side by side, as many as keep the scores in the
    processor's cache. On CUDA the flat tokens go to FlexAttention with a document mask.

    Attributes:
        lengths: of the sequences.
        blocks: of sequences that follow each other; none on CUDA.
        sizes: tokens of each block.
        block_mask: FlexAttention mask, on CUDA.
        both: every token sees its whole sequence.
    """

    lengths: list[int]
    blocks: list[Block]
    sizes: list[int]
    block_mask: BlockMask | None
    both: bool

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
        counts = lengths.tolist()
        both = private is None and bool((contexts >= lengths).all())
        if lengths.is_cuda if flex is None else flex:
            return cls(counts, [], [], flex_mask(lengths, contexts, private, floors), both)
        blocks, sizes, at = [], [], 0
        for some in _blocks(counts):
            size = sum(counts[some])
            span = slice(at, at + size)
            given = [None if x is None else x[span] for x in (private, floors)]
            blocks.append(Block.build(lengths[some], contexts[some], *given))
            sizes.append(size)
            at += size
        return cls(counts, blocks, sizes, None, both)

    @classmethod
    def both_ways(cls, lengths: Tensor, flex: bool | None = None) -> PackedMemory:
        """From (B,) lengths; every token sees its whole sequence."""
        return cls.build(lengths, lengths, flex)

    def attend(self, q_TND: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        if self.block_mask is not None:
            return flex_attend(q_TND, k_TKD, v_TKD, self.block_mask)
        if len(self.blocks) == 1:
            return self.blocks[0].attend(q_TND, k_TKD, v_TKD)
        parts = zip(*(x.split(self.sizes) for x in (q_TND, k_TKD, v_TKD)), strict=True)
        return torch.cat([b.attend(*part) for b, part in zip(self.blocks, parts, strict=True)])

    def reading(self, at: Tensor) -> ReadMemory | None:
        """For the queries of some rising positions alone, where everything sees its sequence."""
        if not self.both or self.block_mask is not None:
            return None
        ends = torch.tensor(self.lengths, device=at.device).cumsum(0)
        owner = torch.bucketize(at, ends, right=True)
        return ReadMemory(self.lengths, owner.bincount(minlength=len(self.lengths)).tolist())


@dataclass(frozen=True, eq=False)
class ReadMemory:
    """Some queries of each sequence of a pack, which see all of their sequence.

    Attributes:
        lengths: of the sequences.  queries: of each sequence, as many as are asked.
    """

    lengths: list[int]
    queries: list[int]

    def attend(self, q_RND: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """(R, N, D) of the R queries."""
        parts = zip(
            q_RND.split(self.queries),
            k_TKD.split(self.lengths),
            v_TKD.split(self.lengths),
            strict=True,
        )
        made = []
        for part in parts:
            if len(part[0]):
                q, k, v = (x.transpose(0, 1)[None] for x in part)
                made.append(attend(q, k, v, None, causal=False)[0].transpose(0, 1))
        return torch.cat(made) if made else torch.empty_like(q_RND)


def _blocks(lengths: list[int]) -> Iterator[slice]:
    """Sequences that stand side by side: as many as keep the scores small."""
    first = longest = 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        if i > first and (i + 1 - first) * longest**2 > SCORES:
            yield slice(first, i)
            first, longest = i, length
    yield slice(first, len(lengths))


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

    def read(self, x_TH: Tensor, rotary: Rotary, memory: Memory, at: Tensor) -> Tensor:
        """(R, hidden) of the positions ``at`` alone; keys and values are those of all."""
        cut = self.heads * self.width
        q = F.linear(x_TH[at], self.qkv.weight[:cut]).view(len(at), -1, self.width)
        kv = F.linear(x_TH, self.qkv.weight[cut:]).view(len(x_TH), -1, self.width)
        k, v = kv.chunk(2, dim=1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        cos, sin = rotary.queries
        q, k = rotate(q, cos[at], sin[at]), rotate(k, *rotary.keys)
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
