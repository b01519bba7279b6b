"""A transformer over the patches of a raster: images (a small ViT) and patterns (one axis).

Pre-norm blocks with full attention, fixed sine and cosine positions along each axis, after
Dosovitskiy et al., arXiv:2010.11929. The convolutional stem, which sees across the borders of
patches, is after Xiao et al., "Early convolutions help transformers see better", arXiv:2106.14881.

Shapes: B rasters of K patches of w numbers, C channels; D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciar.errors import UsageError
from sciar.nn.attention import attend

STEMS = ("linear", "convolution")


@dataclass(frozen=True)
class RasterConfig:
    """Sizes of the encoder.

    Attributes:
        grid: patches along each axis: two for images, one for patterns.
        patch: numbers in a patch, w.
        channels: C; a patch has the side (w / C)^(1 / axes).
        layers: number of blocks.
        width: D.
        heads: of the attention.
        stem: ``linear`` (each patch by itself) or ``convolution``.

    Raises:
        UsageError: sizes that do not fit together.
    """

    grid: tuple[int, ...]
    patch: int
    channels: int = 3
    layers: int = 4
    width: int = 128
    heads: int = 4
    stem: str = "convolution"

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", tuple(int(n) for n in self.grid))
        if len(self.grid) not in (1, 2) or min(self.grid) < 1:
            raise UsageError(f"a grid of patches has one or two axes, not {self.grid}")
        if self.patch != self.channels * self.side ** len(self.grid):
            raise UsageError(
                f"a patch of {self.patch} numbers in {self.channels} channels is no cube of "
                f"{len(self.grid)} axes"
            )
        if self.width % self.heads or self.width % (2 * len(self.grid)):
            raise UsageError(
                f"a width of {self.width} does not split into {self.heads} heads and "
                f"{2 * len(self.grid)} parts of positions"
            )
        if self.stem not in STEMS:
            raise UsageError(f"stem {self.stem!r} is none of {', '.join(STEMS)}")

    @property
    def count(self) -> int:
        """K."""
        return math.prod(self.grid)

    @property
    def side(self) -> int:
        """Side of a patch."""
        return round((self.patch / self.channels) ** (1 / len(self.grid)))


class RasterEncoder(nn.Module):
    """(B, K, w) patches with numbers in [0, 1] -> (B, K, D)."""

    positions: Tensor

    def __init__(self, config: RasterConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Stem(config)
        self.register_buffer("positions", positions(config.grid, config.width), persistent=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, patches_BKW: Tensor) -> Tensor:
        x = self.stem(patches_BKW) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Stem(nn.Module):
    """(B, K, w) patches -> (B, K, D)."""

    def __init__(self, config: RasterConfig) -> None:
        super().__init__()
        self.config = config
        if config.stem == "linear":
            self.linear = nn.Linear(config.patch, config.width)
            return
        kind: type[nn.Conv1d | nn.Conv2d] = nn.Conv2d if len(config.grid) == 2 else nn.Conv1d
        narrow = max(8, config.width // 8)
        self.near = kind(config.channels, narrow, 5, padding=2)
        self.cut = kind(narrow, config.width, config.side, stride=config.side)

    def forward(self, patches_BKW: Tensor) -> Tensor:
        centred = 2 * patches_BKW - 1
        if self.config.stem == "linear":
            return self.linear(centred)
        x = F.gelu(self.near(raster(centred, self.config)))
        return self.cut(x).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention and feed-forward, each after a LayerNorm and added to the stream."""

    def __init__(self, config: RasterConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BKD: Tensor) -> Tensor:
        shape = (*x_BKD.shape[:2], self.heads, -1)
        parts = self.qkv(self.attention_norm(x_BKD)).chunk(3, dim=-1)
        q, k, v = (part.view(shape).transpose(1, 2) for part in parts)
        mixed = attend(q, k, v, None, False).transpose(1, 2).flatten(2)
        x_BKD = x_BKD + self.out(mixed)
        return x_BKD + self.down(F.gelu(self.up(self.feed_norm(x_BKD))))


def raster(patches_BKW: Tensor, config: RasterConfig) -> Tensor:
    """(B, K, w) patches of (place in the patch, channel) -> (B, C, H, W), or (B, C, P)."""
    side, channels = config.side, config.channels
    if len(config.grid) == 1:
        return patches_BKW.reshape(len(patches_BKW), -1, channels).transpose(1, 2)
    rows, columns = config.grid
    cut = patches_BKW.view(-1, rows, columns, side, side, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, rows * side, columns * side)


def positions(grid: tuple[int, ...], width: int) -> Tensor:
    """(K, width): for each axis an equal share of sines and cosines of the middle of a patch."""
    each = width // (2 * len(grid))
    # From the length of the axis down to two patches, where neighbours differ most.
    places = torch.meshgrid(*(torch.arange(n).float() + 0.5 for n in grid), indexing="ij")
    parts = []
    for n, place in zip(grid, places, strict=True):
        wavelength = 2.0 * max(n, 2) * (1 / max(n, 2)) ** (torch.arange(each) / max(each - 1, 1))
        angle = 2 * math.pi * place.flatten()[:, None] / wavelength
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, dim=1)
