"""From the states of patches to affinities between voxels: a small convolutional decoder.

States are as coarse as patches; what is finer comes from the voxels themselves, by a convolution at
full resolution whose features skip to the end, as in a U-Net.

Shape letters: B crops, K patches, H width of the decoder, C affinities of a voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.nn.decoder import DecoderConfig
from sciar.tokenization.vocabulary import Vocabulary

NEAREST = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))


class AffinityDecoder(nn.Module):
    """(B, K, H) states and (B, Z, Y, X) voxels -> (B, C, Z, Y, X) logits; an extra of a model.

    Args:
        vocabulary: of the model; its first slot is the patch.
        decoder: of the model.
        patch: voxels of a patch along z, y, x.
        offsets: where the other voxel of each affinity is; the first three are the nearest before.
        channels: features at full resolution; twice as many at the coarser one.
        stride: voxels of the coarser resolution; divides the patch.
        states: whether the states of the patches are used; without them the decoder is a plain
            convolutional network, the baseline.

    Raises:
        UsageError: sizes that do not fit.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        decoder: DecoderConfig,
        patch: Sequence[int] = (8, 8, 8),
        offsets: Sequence[Sequence[int]] = NEAREST,
        channels: int = 8,
        stride: Sequence[int] = (2, 2, 2),
        states: bool = True,
    ) -> None:
        super().__init__()
        if prod(patch) != vocabulary.slots[0].width or any(
            p % s for p, s in zip(patch, stride, strict=True)
        ):
            raise UsageError(
                f"affinities: patches of {tuple(patch)} voxels do not fit slots of "
                f"{vocabulary.slots[0].width} or a stride of {tuple(stride)}"
            )
        self.offsets = tuple(_triple(o) for o in offsets)
        if self.offsets[:3] != NEAREST:
            raise UsageError(f"the first three offsets are {NEAREST}, in this order")
        self.patch, self.stride, self.channels = _triple(patch), _triple(stride), channels
        self.coarse = tuple(p // s for p, s in zip(patch, stride, strict=True))
        wide = 2 * channels
        self.stem = nn.Sequential(nn.Conv3d(1, channels, 3, padding=1), *_norm(channels))
        self.down = nn.Conv3d(channels, wide, self.stride, stride=self.stride)
        self.spread = nn.Sequential(
            nn.LayerNorm(decoder.hidden), nn.Linear(decoder.hidden, wide * prod(self.coarse))
        ) if states else None  # fmt: skip
        self.mix = nn.Sequential(
            nn.Conv3d(2 * wide if states else wide, wide, 3, padding=1), *_norm(wide),
            nn.Conv3d(wide, wide, 3, padding=1), *_norm(wide),
        )  # fmt: skip
        self.up = nn.Conv3d(wide, channels, 1)
        self.last = nn.Sequential(
            nn.Conv3d(2 * channels, channels, 3, padding=1), *_norm(channels),
            nn.Conv3d(channels, len(self.offsets), 1),
        )  # fmt: skip

    def forward(self, states_BKH: Tensor, voxels: Tensor) -> Tensor:
        fine = self.stem(voxels[:, None] - 0.5)
        coarse = self.down(fine)
        if self.spread is not None:
            coarse = torch.cat([coarse, self._unfolded(self.spread(states_BKH), coarse)], 1)
        coarse = self.up(self.mix(coarse))
        back = F.interpolate(coarse, size=voxels.shape[1:], mode="trilinear", align_corners=False)
        return self.last(torch.cat([fine, back], 1))

    def _unfolded(self, features: Tensor, like: Tensor) -> Tensor:
        """(B, K, W * voxels) features of patches -> (B, W, Z, Y, X) at the coarser resolution."""
        counts = [n // c for n, c in zip(like.shape[2:], self.coarse, strict=True)]
        split = features.view(len(features), *counts, 2 * self.channels, *self.coarse)
        return split.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(like.shape)


def _triple(numbers: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = map(int, numbers)
    return z, y, x


def _norm(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.GroupNorm(1, channels), nn.SiLU()
