"""The released TokenUnify objective on our decoder, for comparison: nothing in it is causal.

One random prefix of each crop is kept, the rest is overwritten by noise, and a network that reads
both ways predicts every slot (dense), and from the state where the noise begins the slot that was
there (next): one next-token target a crop, where the causal objective has one a slot. What the
release got wrong is right here: the noise has the mean and deviation of what is visible, the ratio
is explicit, and the losses of visible and overwritten slots are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.patches import PatchReadout
from sciar.nn.streams import derive, normal
from sciar.objectives.both_ways import both_ways
from sciar.objectives.mixture_token import (
    SLOT,
    Losses,
    MixtureTokenObjective,
    padded,
    split_points,
)
from sciar.objectives.next_token import position_keys
from sciar.tokenization.packing import Pack

FILLS = ("noise", "zero")


@dataclass(frozen=True)
class PrefixMaskedObjective(MixtureTokenObjective):
    """Dense and next-token error of crops of which a prefix is visible.

    The schedule has no part in it: both losses are taken in every step (``auto_mode = 1``).

    Attributes:
        fill: what overwrites the rest: ``noise`` or ``zero`` (black).
    """

    fill: str = "noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fill not in FILLS:
            raise UsageError(f"fill {self.fill!r}: known are {', '.join(FILLS)}")

    def at(self, step: int, total: int) -> PrefixMaskedObjective:
        """Always both."""
        return replace(self, chosen=("dense", "next"))

    def losses(self, model: AutoregressiveModel, pack: Pack, salt: int) -> Losses:
        """``visible``, ``masked`` and ``next`` -> (sum over slots, number of slots)."""
        dense = model.extra("random", PatchReadout, "dense prediction")
        following = model.extra("next", PatchReadout, "prediction of the next patch")
        prefix = split_points(pack, 1, salt)[:, 0]
        rows_BL, _ = padded(pack.lengths)
        inside = torch.arange(len(pack), device=pack.ids.device) - (
            pack.lengths.cumsum(0) - pack.lengths
        ).repeat_interleave(pack.lengths)
        slots = pack.kinds == SLOT
        masked = slots & (inside > prefix.repeat_interleave(pack.lengths))
        filled = replace(pack, values=self._filled(pack, masked, slots, salt))
        states = both_ways(model, filled)
        predicted = dense(states)
        first = rows_BL.gather(1, prefix[:, None] + 1)[:, 0]
        measure = not self.chosen
        found: Losses = {}
        for name, where in (("visible", slots & ~masked), ("masked", masked)):
            found |= self._parts(name, model, pack, predicted[where], where, measure)
        return found | self._parts("next", model, pack, following(states[first]), first, measure)

    def total(self, losses: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The mean over all slots, and the mean over the next ones."""
        dense = [losses[k] for k in ("visible", "masked")]
        weight = torch.stack([w for _, w in dense]).sum()
        value = torch.stack([s for s, _ in dense]).sum() / weight.clamp_min(1e-9)
        s, w = losses["next"]
        return value + s / w.clamp_min(1e-9), weight + w

    def _filled(self, pack: Pack, masked: Tensor, slots: Tensor, salt: int) -> Tensor:
        """(T, V) payloads; the noise is like what is visible of the same sequence, not the rest."""
        if self.fill == "zero":
            return pack.values.masked_fill(masked[:, None], 0.0)
        visible = (slots & ~masked).float()
        owner = torch.arange(len(pack.lengths), device=visible.device)
        owner = owner.repeat_interleave(pack.lengths)
        width = pack.values.shape[1]

        def over_sequences(x: Tensor) -> Tensor:
            return x.new_zeros(len(pack.lengths)).index_add(0, owner, x * visible)

        count = over_sequences(visible).clamp_min(1) * width
        mean = over_sequences(pack.values.sum(1)) / count
        square = over_sequences(pack.values.square().sum(1)) / count
        deviation = (square - mean.square()).clamp_min(0).sqrt()
        noise = normal(derive(position_keys(pack), salt + 19), width)
        noise = mean[owner, None] + deviation[owner, None] * noise
        return torch.where(masked[:, None], noise, pack.values)
