"""The learning rate of every task: linear warm-up, then a cosine."""

from __future__ import annotations

import math

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig


def warmup_cosine(
    optimizer: torch.optim.Optimizer, total: float, warmup: int, final: float
) -> OptimizerLRSchedulerConfig:
    """An optimizer with its schedule, as Lightning wants it.

    Args:
        optimizer: with the peak rates.
        total: steps of the whole run.
        warmup: steps of linear warm-up.
        final: rate at the end, as a share of the peak.
    """
    steps = max(1, int(total))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
