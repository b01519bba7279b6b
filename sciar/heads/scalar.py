"""Heads of one number with a distribution: what histograms and mixtures share.

The number lies on the line (standardised) or on the circle (a place in its period, in [0, 1)). On
the circle quantiles count from a cut, which lies opposite the circular mean.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.heads.base import Head
from sciar.tokenization.vocabulary import SlotKind

HALVINGS = 40


def network(condition: int, hidden: int, out: int, start: Tensor | None = None) -> nn.Sequential:
    """Condition -> one hidden layer -> outputs, which begin at ``start`` (zero by default)."""
    last = nn.Linear(hidden, out)
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.zeros(out) if start is None else start)
    return nn.Sequential(nn.LayerNorm(condition), nn.Linear(condition, hidden), nn.SiLU(), last)


class ScalarHead(Head):
    """A distribution over one number.

    Args:
        slot: slot kind of width 1, of geometry ``euclidean`` or ``torus``.
        condition: width of the condition.

    Raises:
        UsageError: another slot.
    """

    def __init__(self, slot: SlotKind, condition: int) -> None:
        super().__init__(slot, condition)
        if slot.width != 1 or slot.geometry not in ("euclidean", "torus"):
            raise UsageError(
                f"slot {slot.name} ({slot.width} numbers, {slot.geometry}): a "
                f"{type(self).__name__} predicts one number on the line or on the circle"
            )
        self.circular = slot.geometry == "torus"

    @abstractmethod
    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor:
        """(N,) log-density, in nats."""

    @abstractmethod
    def center(self, condition_NC: Tensor) -> Tensor:
        """(N, 1) mean; on the circle the circular mean."""

    @abstractmethod
    def mass(self, condition_NC: Tensor, begin_N1: Tensor, end_NQ: Tensor) -> Tensor:
        """(N, Q) probability between two numbers, both unrolled on the circle; ``begin`` may be
        minus infinity on the line."""

    @abstractmethod
    def reach(self, condition_NC: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1) bounds that hold all quantiles asked for on the line."""

    @torch.no_grad()
    def quantile(self, condition_NC: Tensor, levels_NQ: Tensor) -> Tensor:
        """(N, Q) numbers below which the levels of probability lie, by bisection.

        On the circle they are unrolled: they lie within one period, which begins at the cut.
        """
        n = len(condition_NC)
        levels = levels_NQ.double().expand(n, -1)
        if self.circular:
            low = self.center(condition_NC).double() - 0.5
            high, begin = low + 1.0, low
        else:
            low, high = (bound.double() for bound in self.reach(condition_NC))
            begin = torch.full_like(low, -math.inf)
        low, high = low.expand_as(levels).clone(), high.expand_as(levels).clone()
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            below = self.mass(condition_NC, begin, middle) < levels
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (0.5 * (low + high)).float()

    def interval(self, condition_NC: Tensor, level: float) -> Tensor:
        """(N, 2) ends of the central interval that holds ``level`` of the probability.

        On the circle the ends are unrolled: the upper one is never below the lower one, and either
        may lie outside [0, 1).
        """
        ends = torch.tensor([[0.5 - level / 2, 0.5 + level / 2]], device=condition_NC.device)
        return self.quantile(condition_NC, ends)
