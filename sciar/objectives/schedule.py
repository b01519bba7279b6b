"""Which of several objectives a step of training has.

The choice hangs on (seed, step) alone, so all processes agree without asking each other, and a run
that goes on chooses as it would have.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sciar.errors import UsageError
from sciar.nn.streams import sample_keys, uniform

OBJECTIVES = ("random", "next", "next_all")
PRESETS = ("progressive", "joint", "alternate", "single")
_STAGES = (
    (0.3, (1.0, 0.0, 0.0)),
    (0.6, (0.5, 0.5, 0.0)),
    (1.0, (0.2, 0.3, 0.5)),
)
"""Of the progressive schedule: end of each stage, and shares of the objectives in it."""


@dataclass(frozen=True)
class MixtureSchedule:
    """Objectives over the course of a training.

    Attributes:
        preset: ``progressive`` (first random, then also next, then all three), ``joint`` (all in
            every step), ``alternate`` (one after the other) or ``single``.
        only: the one of ``single``: ``random``, ``next`` or ``next_all``.
        period: steps of each turn of ``alternate``.
        seed: of the choices of ``progressive``.
    """

    preset: str = "progressive"
    only: str = "next"
    period: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"schedule {self.preset!r}: known are {', '.join(PRESETS)}")
        if self.only not in OBJECTIVES:
            raise UsageError(f"objective {self.only!r}: known are {', '.join(OBJECTIVES)}")
        if self.period < 1:
            raise UsageError(f"a turn lasts at least one step, not {self.period}")

    def shares(self, done: float) -> tuple[float, float, float]:
        """Chances of the progressive schedule after a share of the training."""
        return next((shares for end, shares in _STAGES if done < end), _STAGES[-1][1])

    def choose(self, step: int, total: int) -> tuple[str, ...]:
        """The objectives of one step of so many."""
        if self.preset == "joint":
            return OBJECTIVES
        if self.preset == "single":
            return (self.only,)
        if self.preset == "alternate":
            return (OBJECTIVES[step // self.period % len(OBJECTIVES)],)
        left = float(uniform(sample_keys(self.seed, torch.tensor([step])), 1))
        for name, share in zip(OBJECTIVES, self.shares(step / max(1, total)), strict=True):
            left -= share
            if left < 0:
                return (name,)
        return (OBJECTIVES[-1],)
