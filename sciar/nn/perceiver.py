"""All later slots from a prefix, through a few latents (Jaegle et al., arXiv:2103.03206).

Learned latents look at the states of the prefix; queries, which know only where they stand, look at
the latents. However long the prefix, what is known of it is as wide as the latents.

Shape letters: B sequences, L longest, S splits of each, R latents, Q queries, H width, N heads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.nn.decoder import DecoderConfig, SwiGLU
from sciar.nn.patches import PatchReadout
from sciar.tokenization.vocabulary import Vocabulary

OCTAVES = 8


class NextAll(nn.Module):
    """Payloads of slots anywhere behind a prefix; an extra of a model.

    Args:
        vocabulary: of the model; its first slot is what is predicted.
        decoder: of the model; its axes and unit say how places are read.
        latents: R.
        layers: how often queries look at the latents.

    Raises:
        UsageError: the decoder has no axes, so that a query would not know where it stands.
    """

    def __init__(
        self, vocabulary: Vocabulary, decoder: DecoderConfig, latents: int = 32, layers: int = 2
    ) -> None:
        super().__init__()
        if not decoder.axes:
            raise UsageError("what follows is asked for by its place: set decoder.axes")
        hidden = decoder.hidden
        self.unit, self.heads = decoder.unit, decoder.heads
        self.latents = nn.Parameter(0.02 * torch.randn(latents, hidden))
        self.read = nn.Linear(hidden, 2 * hidden, bias=False)
        self.mix = Block(decoder)
        # Where a query stands, and where it is as seen from the end of the prefix.
        self.place = nn.Linear(2 * decoder.axes * (1 + 2 * OCTAVES), hidden)
        self.layers = nn.ModuleList(Look(decoder) for _ in range(layers))
        self.readout = PatchReadout(vocabulary, decoder)

    def forward(self, states_BLH: Tensor, seen_BSL: Tensor, places: Tensor, ends: Tensor) -> Tensor:
        """(B, S, Q, V) standardised payloads.

        Args:
            states_BLH: of whole sequences; padding is never seen.
            seen_BSL: what belongs to the prefix of each split; at least one position.
            places: (B, Q, axes) where the queries stand.
            ends: (B, S, axes) where the last token of each prefix stands.
        """
        latents_BSRH = self.resample(states_BLH, seen_BSL)
        splits = seen_BSL.shape[1]
        here = places[:, None].expand(-1, splits, -1, -1)
        x = self.place(torch.cat([self._waves(here), self._waves(here - ends[:, :, None])], -1))
        for layer in self.layers:
            x = layer(x, latents_BSRH)
        return self.readout(x)

    def resample(self, states_BLH: Tensor, seen_BSL: Tensor) -> Tensor:
        """(B, S, R, H) what the latents know of each prefix."""
        k, v = (_split(x, self.heads) for x in self.read(states_BLH).chunk(2, dim=-1))
        q_NRD = _split(self.latents[None], self.heads)[0]
        scores = torch.einsum("nrd,bnld->bnrl", q_NRD * q_NRD.shape[-1] ** -0.5, k)
        hidden = ~seen_BSL[:, :, None, None]
        weights = scores[:, None].masked_fill(hidden, float("-inf")).softmax(-1)
        found = torch.einsum("bsnrl,bnld->bsrnd", weights, v).flatten(-2)
        return self.mix(self.latents + found)

    def _waves(self, points: Tensor) -> Tensor:
        scaled = points.float() / self.unit
        scale = math.pi * 0.5 ** torch.arange(OCTAVES, device=points.device)
        angle = (scaled[..., None] * scale).flatten(-2)
        return torch.cat([0.1 * scaled, angle.sin(), angle.cos()], dim=-1)


class Block(nn.Module):
    """A pre-norm feed-forward block."""

    def __init__(self, decoder: DecoderConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(decoder.hidden, eps=1e-6)
        self.ffn = SwiGLU(decoder.hidden, decoder.ffn_width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.ffn(self.norm(x))


class Look(nn.Module):
    """Cross-attention of queries to latents, and a feed-forward block."""

    def __init__(self, decoder: DecoderConfig) -> None:
        super().__init__()
        hidden = decoder.hidden
        self.heads = decoder.heads
        self.norm, self.latent_norm = (nn.RMSNorm(hidden, eps=1e-6) for _ in range(2))
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.read = nn.Linear(hidden, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.block = Block(decoder)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        q = _split(self.query(self.norm(x)), self.heads)
        k, v = (_split(y, self.heads) for y in self.read(self.latent_norm(latents)).chunk(2, -1))
        found = F.scaled_dot_product_attention(q, k, v).transpose(-3, -2).flatten(-2)
        return self.block(x + self.out(found))


def _split(x: Tensor, heads: int) -> Tensor:
    """(..., L, H) -> (..., N, L, H / N)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)
