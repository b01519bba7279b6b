"""Random numbers that depend on identities, not on the order of calls.

Each number is a hash of (key, salt, index): a counter-based generator in the sense of Salmon et
al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), with the SplitMix64 finaliser (Steele,
Lea and Flood, OOPSLA 2014) as the mixing function. A row of a batch gets the same numbers whatever
the batch, the device or the process it is computed in.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer
_MIX1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX1
    x = (x ^ _shift(x, 27)) * _MIX2
    return x ^ _shift(x, 31)


def derive(keys: Tensor, salt: int | Tensor) -> Tensor:
    """New int64 keys, one for each (key, salt)."""
    salted = torch.as_tensor(salt, dtype=torch.int64, device=keys.device) + 1
    return _mix(_mix(keys + _GOLDEN) + salted * _GOLDEN)


def sample_keys(seed: int, indices: Tensor) -> Tensor:
    """Key of each sample of a run: from the run's seed and the sample's index."""
    return derive(torch.full_like(indices, seed), indices)


def uniform(keys: Tensor, n: int) -> Tensor:
    """(N,) keys -> (N, n) float64 numbers in the open interval (0, 1)."""
    counters = torch.arange(1, n + 1, device=keys.device)
    bits = _shift(_mix(keys[:, None] + counters * _GOLDEN), 12)
    return (bits.double() + 0.5) * 2.0**-52


def normal(keys: Tensor, n: int) -> Tensor:
    """(N,) keys -> (N, n) float32 standard normal numbers, by the Box-Muller transform."""
    half = (n + 1) // 2
    u = uniform(keys, 2 * half)
    radius = torch.sqrt(-2.0 * torch.log(u[:, :half]))
    angle = (2.0 * math.pi) * u[:, half:]
    both = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return both[:, :n].float()
