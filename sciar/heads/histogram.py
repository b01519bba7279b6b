"""Histogram head: a number by the probabilities of bins, trained on smeared targets.

Cross-entropy against a Gaussian spread over the bins, as in the histogram loss of Imani and White,
"Improving regression performance with distributional losses" (ICML 2018).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import SamplerSettings
from sciar.heads.mixture import wrapped
from sciar.heads.scalar import ScalarHead, network
from sciar.nn.streams import uniform
from sciar.tokenization.vocabulary import SlotKind


class HistogramHead(ScalarHead):
    """Probabilities of K equal bins: of the circle, or of [-span, span] with an exponential tail of
    scale 1 beyond either end (standardised units).

    Args:
        slot: a scalar slot.
        condition: width of the condition.
        bins: K.
        span: half of the range on the line, in standard deviations.
        smear: deviation of the smeared target, in bins; 0 trains on the bin itself.
        hidden: width of the one hidden layer.
    """

    def __init__(
        self,
        slot: SlotKind,
        condition: int,
        bins: int = 128,
        span: float = 4.0,
        smear: float = 1.0,
        hidden: int = 128,
    ) -> None:
        super().__init__(slot, condition)
        if bins < 2 or span <= 0 or smear < 0:
            raise UsageError(
                f"{bins} bins over {span} deviations, smeared by {smear}: no histogram"
            )
        self.bins, self.smear = bins, smear
        self.low, self.high = (0.0, 1.0) if self.circular else (-span, span)
        self.width = (self.high - self.low) / bins
        # The last two outputs of a histogram on the line are its tails.
        self.net = network(condition, hidden, bins + (0 if self.circular else 2))

    def forward(self, condition_NC: Tensor) -> Tensor:
        """(N, K) log-probabilities of bins; on the line the lower and the upper tail follow."""
        with torch.autocast(condition_NC.device.type, enabled=False):
            return self.net(condition_NC.float()).log_softmax(-1)

    def smeared(self, target_NW: Tensor) -> Tensor:
        """(N, K or K + 2) target probabilities."""
        place = (target_NW.double() - self.low) / self.width
        if self.circular:
            place = place % self.bins
        if self.smear == 0:
            return F.one_hot(self._index(target_NW)[:, 0], self._outputs).float()
        edges = torch.arange(self.bins + 1, device=place.device) - place
        if self.circular:
            # a normal of several bins reaches a few times around at most
            turns = torch.arange(-3, 4, device=place.device) * self.bins
            below = torch.special.ndtr((edges[..., None] + turns) / self.smear).sum(-1)
            inside = below.diff(dim=-1)
            return (inside / inside.sum(-1, keepdim=True)).float()
        below = torch.special.ndtr(edges / self.smear)
        return torch.cat([below.diff(dim=-1), below[:, :1], 1 - below[:, -1:]], dim=-1).float()

    @property
    def _outputs(self) -> int:
        return self.bins + (0 if self.circular else 2)

    def _index(self, x: Tensor) -> Tensor:
        """Bin or tail of each number."""
        place = ((x.double() - self.low) / self.width).floor().long()
        if self.circular:
            return place % self.bins
        index = place.clamp(0, self.bins - 1)
        index = torch.where(x < self.low, self.bins, index)
        return torch.where(x >= self.high, self.bins + 1, index)

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) cross-entropy with the smeared target, in nats."""
        return -(self.smeared(target_NW) * self(condition_NC)).sum(-1)

    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor:
        x = target_NW.float()
        log_p = self(condition_NC).gather(1, self._index(x))
        if self.circular:
            return (log_p - math.log(self.width))[:, 0]
        beyond = (self.low - x).clamp_min(0) + (x - self.high).clamp_min(0)
        inside = (x >= self.low) & (x < self.high)
        return torch.where(inside, log_p - math.log(self.width), log_p - beyond)[:, 0]

    def _middles(self, like: Tensor) -> Tensor:
        bins = torch.arange(self.bins, device=like.device, dtype=like.dtype)
        return self.low + self.width * (bins + 0.5)

    def center(self, condition_NC: Tensor) -> Tensor:
        p = self(condition_NC).exp()
        middles = self._middles(p)
        if self.circular:
            angle = 2 * math.pi * middles
            y, x = ((p * f(angle)).sum(-1, keepdim=True) for f in (torch.sin, torch.cos))
            return wrapped(torch.atan2(y, x) / (2 * math.pi))
        tails = torch.tensor([self.low - 1.0, self.high + 1.0], device=p.device)
        return (p * torch.cat([middles, tails])).sum(-1, keepdim=True)

    def mass(self, condition_NC: Tensor, begin_N1: Tensor, end_NQ: Tensor) -> Tensor:
        p = self(condition_NC).double().exp()
        begins = F.pad(p[:, : self.bins].cumsum(-1), (1, 0))

        def below(x: Tensor) -> Tensor:
            turn = torch.zeros_like(x)
            place = (x - self.low) / self.width
            if self.circular:
                turn = (place / self.bins).floor()
                place = place - turn * self.bins
            place = place.clamp(0, self.bins)
            index = place.floor().long().clamp_max(self.bins - 1)
            part = begins.gather(1, index) + (place - index) * p.gather(1, index)
            if self.circular:
                return turn + part
            lower = p[:, -2:-1] * torch.exp(-(self.low - x).clamp_min(0))
            upper = p[:, -1:] * -torch.expm1(-(x - self.high).clamp_min(0))
            return lower + part + upper

        return below(end_NQ) - below(begin_N1)

    def reach(self, condition_NC: Tensor) -> tuple[Tensor, Tensor]:
        ones = condition_NC.new_ones(len(condition_NC), 1)
        return ones * (self.low - 30.0), ones * (self.high + 30.0)

    @torch.no_grad()
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        """(N, 1) draws; temperature 0 gives the mean, which uses the whole resolution."""
        heat = (settings or SamplerSettings()).temperature
        if heat <= 0:
            return self.center(condition_NC)
        cumulative = (self(condition_NC).double() / heat).softmax(-1).cumsum(-1)
        u = uniform(keys_N, 2)
        chosen = (cumulative < u[:, :1] * cumulative[:, -1:]).sum(-1, keepdim=True)
        chosen = chosen.clamp_max(self._outputs - 1)
        x = self.low + self.width * (chosen + u[:, 1:])
        if self.circular:
            return wrapped(x.float())
        depth = -torch.log(u[:, 1:])
        x = torch.where(chosen == self.bins, self.low - depth, x)
        return torch.where(chosen == self.bins + 1, self.high + depth, x).float()
