"""The transformer of ESM-2, so that its published weights can be used without another library.

Pre-norm blocks, rotary positions on queries and keys, exact GELU, a final LayerNorm, and input
embeddings scaled by the share of masked tokens (Lin et al., Science 379, 1123 (2023)). The heads
for contacts and language modelling are not part of it.

All layers run on the flat tokens of a pack, without padding. Shapes: T tokens of S sequences back
to back, or B sequences of N padded tokens; D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciar.errors import UsageError
from sciar.nn.attention import PackedMemory, Rotary, rotary_angles, rotate

TRAINED_MASK_SHARE = 0.15 * 0.8
"""Share of tokens that were ``<mask>`` in the original training."""


@dataclass(frozen=True)
class Esm2Config:
    """Sizes of the encoder.

    Attributes:
        layers: number of blocks.
        width: D.
        heads: H; the width of a head must be even.
        feed_forward: hidden width of the feed-forward part; 4 D in the published models.
        vocabulary: number of token ids.
        pad: id of padding.
        mask: id of the mask token.
        token_dropout: zero the embeddings of mask tokens and scale the others.
        eps: of all LayerNorms.

    Raises:
        UsageError: the width does not divide into heads of even width.
    """

    layers: int
    width: int
    heads: int
    feed_forward: int
    vocabulary: int = 33
    pad: int = 1
    mask: int = 32
    token_dropout: bool = True
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise UsageError(f"a width of {self.width} has no {self.heads} heads of even width")


class Esm2(nn.Module):
    """Token ids -> one vector a token."""

    def __init__(self, config: Esm2Config) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.width, padding_idx=config.pad)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.eps)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, N) ids, padded at the end -> (B, N, D); zeros at padding."""
        known = ids != self.config.pad
        flat = self.packed(ids[known], known.sum(1))
        x = flat.new_zeros(*ids.shape, flat.shape[1])
        return x.masked_scatter(known[..., None], flat)

    def packed(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """(T,) ids of S sequences, back to back, and their (S,) lengths -> (T, D)."""
        return self.upper(self.lower(ids, lengths, self.config.layers), lengths)

    def lower(self, ids: Tensor, lengths: Tensor, layers: int) -> Tensor:
        """What the first ``layers`` blocks make of (T,) ids: (T, D), before the final norm."""
        return self._through(self.layers[:layers], self._embedded(ids, lengths), lengths)

    def upper(self, x: Tensor, lengths: Tensor, layers: int = 0) -> Tensor:
        """The last ``layers`` blocks and the final norm: (T, D) of :meth:`lower` -> (T, D)."""
        first = self.config.layers - layers
        return self.norm(self._through(self.layers[first:], x, lengths))

    def _through(self, layers: nn.ModuleList, x: Tensor, lengths: Tensor) -> Tensor:
        if not len(layers):
            return x
        starts = lengths.cumsum(0) - lengths
        place = torch.arange(len(x), device=x.device) - starts.repeat_interleave(lengths)
        turns = rotary_angles(place, self.config.width // self.config.heads)
        rotary, memory = Rotary(turns, turns), PackedMemory.both_ways(lengths)
        for layer in layers:
            x = layer(x, rotary, memory)
        return x

    def _embedded(self, ids: Tensor, lengths: Tensor) -> Tensor:
        x = self.embed(ids)
        if not self.config.token_dropout:
            return x
        masked = ids == self.config.mask
        owner = torch.arange(len(lengths), device=ids.device).repeat_interleave(lengths)
        count = torch.zeros(len(lengths), device=ids.device).index_add_(0, owner, masked.float())
        scale = (1 - TRAINED_MASK_SHARE) / (1 - count / lengths).clamp_min(1e-6)
        return x.masked_fill(masked[:, None], 0.0) * scale[owner, None].to(x.dtype)


class Block(nn.Module):
    """Attention and feed-forward, each after a LayerNorm and added to the stream."""

    def __init__(self, config: Esm2Config) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.attention_norm = nn.LayerNorm(width, eps=config.eps)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width, eps=config.eps)
        self.up = nn.Linear(width, config.feed_forward)
        self.down = nn.Linear(config.feed_forward, width)

    def forward(self, x_TD: Tensor, rotary: Rotary, memory: PackedMemory) -> Tensor:
        """(T, D) vectors of a pack -> (T, D)."""
        y = self.attention_norm(x_TD)
        q, k, v = (
            layer(y).view(len(y), self.heads, -1) for layer in (self.query, self.key, self.value)
        )
        mixed = memory.attend(rotate(q, *rotary.queries), rotate(k, *rotary.keys), v)
        x_TD = x_TD + self.output(mixed.flatten(1))
        return x_TD + self.down(F.gelu(self.up(self.feed_norm(x_TD))))


def buckets(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in batches of similar length; a batch holds at most ``budget`` tokens with padding.

    A sequence that is longer than the budget makes a batch of its own.

    Raises:
        UsageError: the budget is not positive.
    """
    if budget < 1:
        raise UsageError(f"a batch holds at least one token, got a budget of {budget}")
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and lengths[index] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def embed_all(
    encoder: Esm2, sequences: Sequence[Tensor], budget: int = 16_384, *, gradients: bool = False
) -> list[Tensor]:
    """Encode sequences of different lengths; the results come in the order of the input.

    Args:
        encoder: the encoder; it runs as it is, in training or evaluation mode.
        sequences: (N_i,) token ids each.
        budget: most tokens in a batch, with the padding that attention sees.
        gradients: whether gradients flow into the encoder.

    Returns:
        (N_i, D) vectors each, on the encoder's device.
    """
    device = encoder.embed.weight.device
    found: dict[int, Tensor] = {}
    with torch.set_grad_enabled(gradients):
        for batch in buckets([len(s) for s in sequences], budget):
            lengths = [len(sequences[i]) for i in batch]
            flat = torch.cat([sequences[i].to(device) for i in batch])
            rows = encoder.packed(flat, torch.tensor(lengths, device=device)).split(lengths)
            found |= dict(zip(batch, rows, strict=True))
    return [found[i] for i in range(len(sequences))]
