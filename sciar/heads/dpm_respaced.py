"""DPM-Solver++(2M) on a respaced table, as UniGenX runs it (spec 4.2), for its checkpoints.

It differs from the solver of :class:`~sciar.heads.diffusion.DiffusionHead` in three things, kept on
purpose: the table has as many levels as the ancestral sampler has steps, the level that the
network is told may be one beside that of the table, and the last estimate is not denoised.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One step from a noisy to a cleaner level.

    Attributes:
        level: what the network is told, a level of the whole schedule.
        alpha: signal and ``sigma``: noise, where the step begins.
        sigma: see ``alpha``.
        later_alpha: signal and ``later_sigma``: noise, where it ends.
        later_sigma: see ``later_alpha``.
        gap: rise of the log of signal over noise.
    """

    level: int
    alpha: float
    sigma: float
    later_alpha: float
    later_sigma: float
    gap: float


def plan(alpha_bar: np.ndarray, levels: int, evaluations: int, faintest: float) -> list[Step]:
    """The steps of the solver.

    Args:
        alpha_bar: (1000,) cumulative signal of the whole schedule.
        levels: of the respaced table.
        evaluations: of the network.
        faintest: log of signal over noise below which the table is cut off.
    """
    index = np.round(np.linspace(0, len(alpha_bar) - 1, levels)).astype(int)
    log_alpha = 0.5 * np.log(alpha_bar[index])
    log_snr = log_alpha - 0.5 * np.log1p(-np.exp(2 * log_alpha))
    kept = int((log_snr >= faintest).sum())
    log_alpha, log_snr = log_alpha[:kept], log_snr[:kept]
    times = np.arange(1, kept + 1) / kept

    def signal(t: float) -> tuple[float, float, float]:
        """Signal, noise, and log of their quotient, linear in the log of the signal between."""
        log = float(np.interp(t, times, log_alpha))
        sigma = float(np.sqrt(-np.expm1(2 * log)))
        return float(np.exp(log)), sigma, log - float(np.log(sigma))

    wanted = np.linspace(log_snr[-1], log_snr[0], evaluations + 1)
    at = np.interp(-wanted, -log_snr, times)
    steps = []
    for now, later in itertools.pairwise(at.tolist()):
        (a, s, snr), (b, r, snr_later) = signal(now), signal(later)
        told = index[min(int(np.floor(now * (levels - 1))), levels - 1)]
        steps.append(Step(int(told), a, s, b, r, snr_later - snr))
    return steps


def solve(
    field: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    steps: list[Step],
    temperature: float = 1.0,
) -> Tensor:
    """Follow the steps.

    Args:
        field: (N, W) noisy numbers and (N,) levels -> (N, W or more), the noise first.
        start: (N, W) standard normal numbers.
        steps: of :func:`plan`.
        temperature: factor of the predicted noise.
    """
    x, width = start, start.shape[1]
    before: tuple[Tensor, float] | None = None
    for step in steps:
        level = torch.full((len(x),), float(step.level), device=x.device)
        noise = temperature * field(x, level)[:, :width]
        clean = (x - step.sigma * noise) / step.alpha
        drift = -step.later_alpha * float(np.expm1(-step.gap))
        mixed = drift * clean
        if before is not None:
            last, gap = before
            mixed = mixed + 0.5 * drift * (step.gap / gap) * (clean - last)
        x = step.later_sigma / step.sigma * x + mixed
        before = clean, step.gap
    return x
