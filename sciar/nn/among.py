"""Attention among the few points that a slot refers to: how they lie to each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Among(nn.Module):
    """One round of attention among R points, biased by their distances, and a feed-forward network.

    Scores hang on what points are and on how far they are apart, so they do not turn with them.

    Args:
        width: of the vector of a point; a multiple of ``heads``.
        features: numbers that describe a distance.
        heads: attention heads.
    """

    def __init__(self, width: int, features: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.bias = nn.Linear(features, heads)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x_NRW: Tensor, apart_NRRF: Tensor, valid_NR: Tensor) -> Tensor:
        """(N, R, W) vectors of points, features of their distances, and which there are."""
        n, r, w = x_NRW.shape
        shape = (n, r, 3, self.heads, w // self.heads)
        q, k, v = self.qkv(self.norm(x_NRW)).view(shape).permute(2, 0, 3, 1, 4)
        bias = self.bias(apart_NRRF).permute(0, 3, 1, 2)
        # Where there is no point at all, all are attended to alike: nothing must become NaN.
        seen = valid_NR | ~valid_NR.any(1, keepdim=True)
        bias = bias.masked_fill(~seen[:, None, None], float("-inf")).to(q.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x_NRW = x_NRW + self.out(mixed.transpose(1, 2).reshape(n, r, w))
        return x_NRW + self.down(F.silu(self.up(self.second(x_NRW))))


def distances(points_NR3: Tensor, floor: float = 1e-6) -> Tensor:
    """(N, R, R, 1) distances of R points, with a gradient everywhere."""
    square = (points_NR3[:, :, None] - points_NR3[:, None]).square().sum(-1, keepdim=True)
    return torch.sqrt(square + floor)
