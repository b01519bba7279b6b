"""The small residual network inside the iterative heads."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoid(t: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """(...,) times -> (..., width) features, cosines first."""
    half = width // 2
    frequency = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device) / half)
    angle = t.float()[..., None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


TIMES = 256
"""Training draws times from a grid of this many, so that their modulation is a table look-up."""


class ModulatedMLP(nn.Module):
    """Residual MLP blocks modulated by a condition and by time, added after their projections.

    Because the two modulations are summed, the condition is projected once per slot and time once
    per schedule; a solver step then costs only the blocks themselves. Outputs start at zero
    (adaLN-zero, Peebles and Xie, arXiv:2212.09748).
    """

    def __init__(self, features: int, condition: int, hidden: int, depth: int, out: int) -> None:
        super().__init__()
        self.hidden, self.depth = hidden, depth
        self.enter = nn.Linear(features, hidden)
        self.condition = nn.Linear(condition, hidden)
        self.time = nn.Sequential(nn.Linear(64, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        width = 3 * hidden * depth + 2 * hidden
        self.modulate_condition = nn.Linear(hidden, width)
        self.modulate_time = nn.Linear(hidden, width, bias=False)
        self.first = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth))
        self.second = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth))
        self.out = nn.Linear(hidden, out)
        for layer in (self.modulate_condition, self.modulate_time, self.out):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def project(self, condition_NC: Tensor) -> Tensor:
        """(N, M) modulation by the condition, once per slot."""
        return self.modulate_condition(F.silu(self.condition(condition_NC)))

    def clock(self, t: Tensor) -> Tensor:
        """(K,) times in [0, 1] -> (K, M) modulation."""
        return self.modulate_time(F.silu(self.time(sinusoid(100.0 * t, 64, 1000.0))))

    def grid(self, device: torch.device) -> Tensor:
        """(TIMES,) the times that training draws from."""
        return (torch.arange(TIMES, device=device) + 0.5) / TIMES

    def forward(self, features: Tensor, projected: Tensor, clock: Tensor, tick: Tensor) -> Tensor:
        """Velocities or noises of N slots at m times each.

        Args:
            features: (N, m, F) noisy payloads.
            projected: (N, M) from :meth:`project`.
            clock: (K, M) from :meth:`clock`.
            tick: (N, m) row of ``clock`` of each.

        Returns:
            (N, m, out).
        """
        return self._through(features, lambda span: projected[:, None, span] + clock[:, span][tick])

    def at(self, features: Tensor, modulation: Tensor) -> Tensor:
        """The same at one time, as (N, F) -> (N, out).

        Args:
            features: noisy payloads.
            modulation: (N, M) from :meth:`project`, with the row of :meth:`clock` added.
        """
        return self._through(features, lambda span: modulation[:, span])

    def _through(self, features: Tensor, modulation: Callable[[slice], Tensor]) -> Tensor:
        u = self.enter(features)
        n, mark = self.hidden, 0
        for first, second in zip(self.first, self.second, strict=True):
            shift, scale, gate = modulation(slice(mark, mark + 3 * n)).chunk(3, dim=-1)
            x = torch.addcmul(shift, F.layer_norm(u, (n,)), 1 + scale)
            u = torch.addcmul(u, gate, second(F.silu(first(x))))
            mark += 3 * n
        shift, scale = modulation(slice(mark, mark + 2 * n)).chunk(2, dim=-1)
        return self.out(torch.addcmul(shift, F.layer_norm(u, (n,)), 1 + scale))
