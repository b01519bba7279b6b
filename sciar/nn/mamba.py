"""The Mamba-2 mixer (Dao and Gu, arXiv:2405.21060): a layer whose memory has a constant size.

It is causal throughout, also inside prefixes that attention reads in both directions, and needs no
positions.

Shape letters: T flat tokens, B sequences, H heads, P head width, N state width, E channels of the
convolution, K inputs that it remembers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.nn.ragged import Ragged
from sciar.nn.ssd import convolve, scan, wide


@dataclass(frozen=True)
class MambaConfig:
    """Size of the Mamba-2 layers of a decoder.

    Attributes:
        state: N, width of the state of a head.
        head: P, width of a head; must divide ``expand`` times the width of the decoder.
        expand: inner width over the width of the decoder.
        taps: tokens that the convolution sees.
        chunk: tokens whose interactions are computed as one matrix; changes speed, not results.
    """

    state: int = 64
    head: int = 64
    expand: int = 2
    taps: int = 4
    chunk: int = 64

    def __post_init__(self) -> None:
        if min(self.state, self.head, self.expand, self.chunk) < 1 or self.taps < 2:
            raise UsageError(f"sizes of a Mamba-2 layer must be positive, taps at least 2: {self}")

    def heads(self, hidden: int) -> int:
        """H.

        Raises:
            UsageError: the inner width does not split into heads.
        """
        inner = self.expand * hidden
        if inner % self.head:
            raise UsageError(
                f"the inner width {inner} of a Mamba-2 layer does not split into heads of "
                f"{self.head}: set mamba.head to a divisor"
            )
        return inner // self.head

    def channels(self, hidden: int) -> int:
        """E: inputs, and the vectors that write to the state and read from it."""
        return self.expand * hidden + 2 * self.state


@dataclass(frozen=True, eq=False)
class MambaState:
    """What B sequences leave behind.

    Attributes:
        window: (B, K, E) last inputs of the convolution.
        state: (B, H, P, N), in single precision or better.
    """

    window: Tensor
    state: Tensor


class StateMemory(Protocol):
    """Where the sequences of a pass are, and where their states of one layer live."""

    @property
    def layout(self) -> Ragged:
        """The sequences."""
        ...

    def load(self) -> MambaState | None:
        """States to begin with; ``None``: every sequence begins anew."""
        ...

    def save(self, state: MambaState) -> None:
        """Take the states after the pass."""
        ...


@dataclass(frozen=True, eq=False)
class PackedStates:
    """Sequences of a pack in training: all begin anew, and nothing is kept."""

    layout: Ragged

    def load(self) -> None:
        """No state to begin with."""

    def save(self, state: MambaState) -> None:
        """Forget the states."""


class Mamba2(nn.Module):
    """(T, hidden) -> (T, hidden), by a gated state-space scan."""

    def __init__(self, hidden: int, config: MambaConfig) -> None:
        super().__init__()
        self.config, self.inner = config, config.expand * hidden
        self.heads, channels = config.heads(hidden), config.channels(hidden)
        self.project = nn.Linear(hidden, self.inner + channels + self.heads, bias=False)
        self.conv = nn.Conv1d(channels, channels, config.taps, groups=channels)
        # Rates of forgetting and time steps begin spread over their range, as published.
        self.log_rate = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        low, high = math.log(1e-3), math.log(0.1)
        time = torch.empty(self.heads).uniform_(low, high).exp().clamp_min(1e-4)
        self.time_bias = nn.Parameter(time + (-(-time).expm1()).log())
        self.skip = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.RMSNorm(self.inner, eps=1e-6)
        self.out = nn.Linear(self.inner, hidden, bias=False)

    def forward(self, x_TD: Tensor, memory: StateMemory) -> Tensor:
        config, layout, before = self.config, memory.layout, memory.load()
        begun = (None, None) if before is None else (before.window, before.state)
        sizes = [self.inner, config.channels(x_TD.shape[1]), self.heads]
        gate, x_TE, time = self.project(x_TD).split(sizes, dim=1)
        x_TE, window = convolve(x_TE, self.conv.weight, self._conv_bias(), layout, begun[0])
        x, b, c = F.silu(x_TE).split([self.inner, config.state, config.state], dim=1)
        x_THP = wide(x).unflatten(1, (self.heads, config.head))
        time_TH = F.softplus(wide(time) + wide(self.time_bias))
        u_THP = x_THP * time_TH[..., None]
        log_a_TH = -wide(self.log_rate).exp() * time_TH
        y_THP, state = scan(u_THP, log_a_TH, b, c, layout, begun[1])
        memory.save(MambaState(window, state))
        y = (y_THP + wide(self.skip)[:, None] * x_THP).flatten(1).to(gate.dtype)
        return self.out(self.norm(y * F.silu(gate)))

    def _conv_bias(self) -> Tensor:
        assert self.conv.bias is not None
        return self.conv.bias
