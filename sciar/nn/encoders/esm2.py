"""The transformer of ESM-2, so that its published weights can be used without another library.

Pre-norm blocks, rotary positions on queries and keys, exact GELU, a final LayerNorm, and input
embeddings scaled by the share of masked tokens (Lin et al., Science 379, 1123 (2023)). The heads
for contacts and language modelling are not part of it.

Shapes: B sequences, N tokens, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciar.errors import UsageError

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
        """(B, N) ids, padded at the end -> (B, N, D); what stands at padding is meaningless."""
        known = ids != self.config.pad
        x = self._embedded(ids, known)
        cos, sin = rotary_tables(ids.shape[1], self.config.width // self.config.heads, x)
        for layer in self.layers:
            x = layer(x, known[:, None, None, :], cos, sin)
        return self.norm(x)

    def _embedded(self, ids: Tensor, known: Tensor) -> Tensor:
        x = self.embed(ids)
        if self.config.token_dropout:
            masked = ids == self.config.mask
            share = masked.sum(1) / known.sum(1)
            scale = (1 - TRAINED_MASK_SHARE) / (1 - share).clamp_min(1e-6)
            x = x.masked_fill(masked[..., None], 0.0) * scale[:, None, None].to(x.dtype)
        return x * known[..., None]


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

    def forward(self, x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, N, D), (B, 1, 1, N) bool, tables (N, D / H) -> (B, N, D)."""
        b, n, d = x.shape
        y = self.attention_norm(x)
        q, k, v = (
            layer(y).view(b, n, self.heads, d // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.output(mixed.transpose(1, 2).reshape(b, n, d))
        return x + self.down(F.gelu(self.up(self.feed_norm(x))))


def rotary_tables(length: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (length, width), in the type and on the device of ``like``."""
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=like.device) / width
    place = torch.arange(length, dtype=torch.float32, device=like.device)
    angles = torch.outer(place, 10000.0**-steps).repeat(1, 2)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: component i is paired with component i + width / 2."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


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
        budget: most tokens in a batch, padding included.
        gradients: whether gradients flow into the encoder.

    Returns:
        (N_i, D) vectors each, on the encoder's device.
    """
    with torch.set_grad_enabled(gradients):
        return _embed_all(encoder, sequences, budget)


def _embed_all(encoder: Esm2, sequences: Sequence[Tensor], budget: int) -> list[Tensor]:
    device = encoder.embed.weight.device
    found: dict[int, Tensor] = {}
    for batch in buckets([len(s) for s in sequences], budget):
        longest = max(len(sequences[i]) for i in batch)
        ids = torch.full((len(batch), longest), encoder.config.pad, device=device)
        for row, index in enumerate(batch):
            ids[row, : len(sequences[index])] = sequences[index].to(device)
        for row, index in zip(encoder(ids), batch, strict=True):
            found[index] = row[: len(sequences[index])].clone()
    return [found[i] for i in range(len(sequences))]
