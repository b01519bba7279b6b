"""Numeric head: one scalar with its uncertainty."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.heads.base import Head, SamplerSettings
from sciar.nn.streams import normal
from sciar.tokenization.vocabulary import SlotKind


class NumericHead(Head):
    """Mean and standard deviation of a standardised scalar, trained by the Gaussian likelihood.

    Args:
        slot: slot kind of width 1.
        condition: width of the condition.
        hidden: width of the one hidden layer.
        min_std: smallest standard deviation, in standardised units.
    """

    def __init__(
        self, slot: SlotKind, condition: int, hidden: int = 128, min_std: float = 1e-3
    ) -> None:
        super().__init__(slot, condition)
        if slot.width != 1:
            raise UsageError(
                f"slot {slot.name} has width {slot.width}; a numeric head predicts one"
            )
        self.min_std = min_std
        enter, out = nn.Linear(condition, hidden), nn.Linear(hidden, 2)
        nn.init.zeros_(out.weight)
        nn.init.zeros_(out.bias)
        self.net = nn.Sequential(enter, nn.SiLU(), out)

    def forward(self, condition_NC: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1) mean and (N, 1) standard deviation."""
        with torch.autocast(condition_NC.device.type, enabled=False):
            mean, raw = self.net(condition_NC.float()).chunk(2, dim=-1)
        return mean, self.min_std + F.softplus(raw + math.log(math.e - 1))

    def answer(self, condition_NC: Tensor) -> Tensor:
        """(N, 2): mean and standard deviation, standardised as the targets are."""
        return torch.cat(self(condition_NC), dim=-1)

    def interval(self, condition_NC: Tensor, level: float) -> Tensor:
        """(N, 2) ends of the central interval that holds ``level`` of the probability."""
        mean, std = self(condition_NC)
        ends = torch.tensor([[0.5 - level / 2, 0.5 + level / 2]], dtype=torch.float64)
        return mean + std * torch.special.ndtri(ends).to(std)

    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor:
        mean, std = self(condition_NC)
        z = (target_NW.float() - mean) / std
        return (-0.5 * z.square() - std.log() - 0.5 * math.log(2 * math.pi))[:, 0]

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        return -self.log_prob(condition_NC, target_NW)

    @torch.no_grad()
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        """(N, 1) draws; temperature 0 gives the mean."""
        mean, std = self(condition_NC)
        return mean + (settings or SamplerSettings()).temperature * std * normal(keys_N, 1)
