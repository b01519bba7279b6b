"""Mixture head: several normal distributions, wrapped around the circle for periodic slots.

Mixture density network after Bishop, "Mixture density networks" (1994); wrapped normals as in
Mardia and Jupp, "Directional statistics" (2000), section 3.5.7.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings
from sciar.heads.scalar import ScalarHead, network
from sciar.nn.streams import derive, normal, uniform
from sciar.tokenization.vocabulary import SlotKind

TURNS = 3
"""Turns to either side that a wrapped normal is summed over; with a deviation of at most half a
period what is left out is below 1e-9."""


class MixtureHead(ScalarHead):
    """K normals with their weights, means and deviations.

    Args:
        slot: a scalar slot.
        condition: width of the condition.
        components: K.
        hidden: width of the one hidden layer.
        min_std: smallest deviation, standardised or in periods.
    """

    def __init__(
        self,
        slot: SlotKind,
        condition: int,
        components: int = 5,
        hidden: int = 128,
        min_std: float = 1e-3,
    ) -> None:
        super().__init__(slot, condition)
        if components < 1 or not 0 < min_std < 0.5:
            raise UsageError(f"{components} components of deviation at least {min_std} make no sum")
        self.components, self.min_std = components, min_std
        # Components begin side by side, else they would all learn the same.
        place = (torch.arange(components) + 0.5) / components
        place = place if self.circular else 2.0 * (place - 0.5)
        rest = torch.zeros(components)
        self.net = network(condition, hidden, components * 3, torch.cat([rest, place, rest]))

    def forward(self, condition_NC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, K) log-weights, means and deviations, fp32."""
        with torch.autocast(condition_NC.device.type, enabled=False):
            weight, mean, raw = self.net(condition_NC.float()).chunk(3, dim=-1)
        if self.circular:
            std = self.min_std + (0.5 - self.min_std) * torch.sigmoid(raw - math.log(3.0))
        else:
            std = self.min_std + F.softplus(raw + math.log(math.e - 1))
        return weight.log_softmax(-1), mean, std

    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor:
        weight, mean, std = self(condition_NC)
        gap = (target_NW.float() - mean)[..., None]
        if self.circular:
            turns = torch.arange(-TURNS, TURNS + 1, device=gap.device)
            gap = torch.remainder(gap + 0.5, 1.0) - 0.5 + turns
        z = gap / std[..., None]
        each = -0.5 * z.square() - std.log()[..., None] - 0.5 * math.log(2 * math.pi)
        return (weight[..., None] + each).flatten(1).logsumexp(-1)

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) negative log-density."""
        return -self.log_prob(condition_NC, target_NW)

    def center(self, condition_NC: Tensor) -> Tensor:
        weight, mean, std = self(condition_NC)
        p = weight.exp()
        if not self.circular:
            return (p * mean).sum(-1, keepdim=True)
        # First Fourier coefficient of a wrapped normal.
        p = p * torch.exp(-2 * (math.pi * std).square())
        angle = 2 * math.pi * mean
        y, x = ((p * f(angle)).sum(-1, keepdim=True) for f in (torch.sin, torch.cos))
        return (torch.atan2(y, x) / (2 * math.pi)) % 1.0

    def mass(self, condition_NC: Tensor, begin_N1: Tensor, end_NQ: Tensor) -> Tensor:
        weight, mean, std = (part.double()[:, None] for part in self(condition_NC))

        def below(x: Tensor) -> Tensor:
            gap = x[..., None] - mean
            if self.circular:
                turns = torch.arange(-TURNS - 1, TURNS + 2, device=x.device)
                gap = (gap - torch.round(begin_N1[..., None] - mean))[..., None] + turns
                return torch.special.ndtr(gap / std[..., None]).sum(-1)
            return torch.special.ndtr(gap / std)

        return (weight.exp() * (below(end_NQ) - below(begin_N1))).sum(-1)

    def reach(self, condition_NC: Tensor) -> tuple[Tensor, Tensor]:
        _, mean, std = self(condition_NC)
        return (mean - 9 * std).amin(-1, True), (mean + 9 * std).amax(-1, True)

    @torch.no_grad()
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        """(N, 1) draws; temperature 0 gives the mean of the heaviest component."""
        heat = (settings or SamplerSettings()).temperature
        weight, mean, std = self(condition_NC)
        if heat <= 0:
            chosen = weight.argmax(-1, keepdim=True)
        else:
            cumulative = (weight.double() / heat).softmax(-1).cumsum(-1)
            u = uniform(keys_N, 1) * cumulative[:, -1:]
            chosen = (cumulative < u).sum(-1, keepdim=True).clamp_max(self.components - 1)
        x = mean.gather(1, chosen) + heat * std.gather(1, chosen) * normal(derive(keys_N, 1), 1)
        return wrapped(x) if self.circular else x


def wrapped(x: Tensor) -> Tensor:
    """Numbers on the circle, in [0, 1); a tiny negative one would round up to 1."""
    x = x % 1.0
    return torch.where(x < 1.0, x, torch.zeros_like(x))
