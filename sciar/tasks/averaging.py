"""An exponential average of the weights in training, for short runs and frozen weights too.

Lightning's callback copies the average into the model for validation and at the end, and keeps
both in checkpoints; here is what it averages by.
"""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from sciar.errors import UsageError


class EMAWeightAveraging(WeightAveraging):
    """Averages weights exponentially, with a warm-up: average n + 1 keeps the share

        d_n = min(decay, (1 + n) / (10 + n))

    of average n. So an average of few steps is one of its last steps, not of the first weights:
    after N steps it reaches back over about N / 10 of them, until that is 1 / (1 - decay).

    Weights that do not move, such as frozen ones and the old rows of a table of which only new
    rows are trained, keep all their bits.

    Args:
        decay: largest share of the former average, in [0, 1).
        every: average after every n-th step. Buffers are not averaged.

    Raises:
        UsageError: a decay outside [0, 1), or ``every`` below 1.
    """

    def __init__(self, decay: float = 0.999, every: int = 1) -> None:
        if not 0 <= decay < 1 or every < 1:
            raise UsageError(
                f"an average of weights takes a decay in [0, 1) and every of at least 1, "
                f"not {decay} and {every}"
            )
        self.decay, self.every = decay, every
        super().__init__(use_buffers=False, multi_avg_fn=self._average)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every ``every``-th step."""
        return step_idx is not None and step_idx % self.every == 0

    def share(self, averaged: int) -> float:
        """Share of the former average in the one after ``averaged`` sets of weights."""
        return min(self.decay, (1 + averaged) / (10 + averaged))

    @torch.no_grad()
    def _average(
        self, averages: list[Tensor], currents: list[Tensor], averaged: Tensor | int
    ) -> None:
        new = 1 - self.share(int(averaged))
        for average, current in zip(averages, currents, strict=True):
            # lerp(x, x) is x but for the sign of zero.
            moved = torch.lerp(average, current, new)
            average.copy_(torch.where(average == current, average, moved))
