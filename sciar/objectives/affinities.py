"""Affinities of voxels: do they belong to the same object?

Targets follow the labels of a crop: one where both voxels have the same label above 0. Voxels at
borders of objects may be taken for background first, so that there is something between two objects
that touch. Shape letters: B crops, C affinities of a voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.affinities import AffinityDecoder
from sciar.objectives.both_ways import both_ways
from sciar.objectives.next_token import NextTokenObjective

LOSSES = ("bce", "mse")


@dataclass(frozen=True)
class AffinityObjective(NextTokenObjective):
    """Weighted loss of affinities, from states of patches that are read in both directions.

    Packs are those of ``sciar.datasets.volume_data`` with labels. Parts are ``affinity`` (to the
    three nearest voxels before) and ``affinity_long`` (the others, which are trained because they
    make the near ones better: Lee et al., arXiv:1706.00120), and in validation
    ``affinity_wrong``: share of the near ones on the wrong side of one half, weighted alike.

    Attributes:
        loss: ``bce`` (cross-entropy) or ``mse`` (squared error of the probability).
        widen: voxels at borders between objects of a section count as background.
        long_weight: weight of the long-range part.
        word_weight, slot_weight, noise: not used.
    """

    loss: str = "bce"
    widen: bool = True
    long_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError(f"loss {self.loss!r}: known are {', '.join(LOSSES)}")

    def losses(
        self, model: AutoregressiveModel, pack: Any, salt: int
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Part -> (weighted sum over the pairs of voxels, sum of weights)."""
        if not hasattr(pack, "objects"):
            raise UsageError("affinities are learnt from labels: set data.labelled")
        decoder = model.extra("affinities", AffinityDecoder, "segmentation")
        logits = affinity_logits(model, pack).float()
        labels = widened(pack.objects) if self.widen else pack.objects
        target, valid = affinities(labels, decoder.offsets)
        weight = balanced(target, valid)
        if self.loss == "bce":
            each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        else:
            each = (logits.sigmoid() - target).square()
        found = {}
        for name, part in (("affinity", slice(0, 3)), ("affinity_long", slice(3, None))):
            if logits[:, part].numel():
                w = weight[:, part]
                found[name] = ((each[:, part] * w).sum(), w.sum())
        if salt < 0:
            wrong = (logits[:, :3] > 0) != (target[:, :3] > 0.5)
            found["affinity_wrong"] = ((wrong * weight[:, :3]).sum(), weight[:, :3].sum())
        return found

    def total(self, losses: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The near part, and the long one by its weight."""
        scale = {"affinity": 1.0, "affinity_long": self.long_weight}
        parts = [
            (s / w.clamp_min(1e-9) * scale[k], w) for k, (s, w) in losses.items() if k in scale
        ]
        return torch.stack([v for v, _ in parts]).sum(), torch.stack([w for _, w in parts]).sum()


def affinity_logits(model: AutoregressiveModel, pack: Any) -> Tensor:
    """(B, C, Z, Y, X) logits of the crops of a pack that carries their ``voxels``."""
    decoder = model.extra("affinities", AffinityDecoder, "segmentation")
    voxels = pack.voxels
    if decoder.spread is None:
        return decoder(voxels.new_zeros(len(voxels), 0, 0), voxels)
    states = both_ways(model, pack)[pack.kinds > 0]
    return decoder(states.view(len(voxels), -1, states.shape[-1]), voxels)


def affinities(labels: Tensor, offsets: Sequence[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
    """Targets and which of them are known, both (B, C, Z, Y, X) float32.

    Args:
        labels: (B, Z, Y, X) integers, 0 for none.
        offsets: of the other voxel; where that lies outside the crop, nothing is known.
    """
    targets, known = [], []
    for offset in offsets:
        here: list[slice] = [slice(None)]
        there: list[slice] = [slice(None)]
        for by, size in zip(offset, labels.shape[1:], strict=True):
            by = max(-size, min(size, by))
            here.append(slice(max(0, -by), size - max(0, by)))
            there.append(slice(max(0, by), size - max(0, -by)))
        target = torch.zeros(labels.shape, device=labels.device)
        valid = torch.zeros_like(target)
        a, b = labels[tuple(here)], labels[tuple(there)]
        target[tuple(here)] = ((a == b) & (a > 0)).float()
        valid[tuple(here)] = 1.0
        targets.append(target)
        known.append(valid)
    return torch.stack(targets, 1), torch.stack(known, 1)


def widened(labels: Tensor) -> Tensor:
    """(B, Z, Y, X) labels, 0 where more than one object is within the 3 x 3 pixels of a section."""
    padded = F.pad(labels.double(), (1, 1, 1, 1), mode="replicate")
    high, low = padded, torch.where(padded > 0, padded, torch.inf)
    for axis in (-2, -1):
        high = high.unfold(axis, 3, 1).amax(-1)
        low = low.unfold(axis, 3, 1).amin(-1)
    return torch.where((high != low) & low.isfinite(), 0, labels)


def balanced(target: Tensor, valid: Tensor) -> Tensor:
    """Weights that give the ones and the zeros of a crop the same sum: 1 for the more frequent.

    The share of the ones is taken as between 0.05 and 0.99, so that no weight is above 99.
    """
    dims = tuple(range(1, target.ndim))
    share = (target * valid).sum(dims) / valid.sum(dims).clamp_min(1)
    share = share.clamp(0.05, 0.99).view(-1, *(1,) * len(dims))
    ones = torch.where(share > 0.5, 1.0, (1 - share) / share)
    zeros = torch.where(share > 0.5, share / (1 - share), 1.0)
    return valid * torch.where(target > 0.5, ones, zeros)
