"""Invertible maps between numbers as users read them and numbers as heads predict them.

Losses are taken on the mapped side (spec 6.1), where the house then standardises; a monotone map
carries quantiles over, so predictive intervals are mapped back end by end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sciar.errors import UsageError

KINDS = ("linear", "log", "asinh", "logit", "torus")
EDGE = 1e-4
"""Fraction of the range that ``logit`` keeps from both ends, where it would be infinite."""


@dataclass(frozen=True)
class Transform:
    """x in [low, high] <-> u.

    Attributes:
        kind: ``linear`` (u = x), ``log`` (ln(x / scale), for x > 0), ``asinh`` (asinh(x / scale)),
            ``logit`` (log-odds of the place in the range) or ``torus`` (place in the range, whose
            ends are one point).
        low: smallest x.
        high: largest x; excluded on the torus.
        scale: unit of ``log`` and ``asinh``.

    Raises:
        UsageError: no such kind, an empty range, or one that the kind cannot map.
    """

    kind: str
    low: float
    high: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"transform {self.kind!r} is none of {', '.join(KINDS)}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"low must be below high and both finite, got {self.low}, {self.high}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise UsageError(f"a scale is positive, not {self.scale}")
        if self.kind == "log" and self.low <= 0:
            raise UsageError(f"a logarithm needs a positive range, which begins at {self.low}")

    @property
    def geometry(self) -> str:
        """Geometry of the slot that holds u."""
        return "torus" if self.kind == "torus" else "euclidean"

    def forward(self, x: np.ndarray | float) -> np.ndarray:
        """x -> u."""
        x = np.asarray(x, dtype=np.float64)
        part = (x - self.low) / (self.high - self.low)
        match self.kind:
            case "log":
                return np.log(x / self.scale)
            case "asinh":
                return np.arcsinh(x / self.scale)
            case "logit":
                part = np.clip(part, EDGE, 1 - EDGE)
                return np.log(part) - np.log1p(-part)
            case "torus":
                return part % 1.0
        return x

    def inverse(self, u: np.ndarray | float) -> np.ndarray:
        """u -> x, kept inside the range whatever u is."""
        u = np.asarray(u, dtype=np.float64)
        span = self.high - self.low
        match self.kind:
            case "torus":
                return self.low + span * (u % 1.0)
            case "logit":
                return self.low + span * 0.5 * (1 + np.tanh(0.5 * u))
            case "log":
                ends = math.log(self.low / self.scale), math.log(self.high / self.scale)
                x = np.exp(np.clip(u, *ends)) * self.scale
            case "asinh":
                ends = math.asinh(self.low / self.scale), math.asinh(self.high / self.scale)
                x = np.sinh(np.clip(u, *ends)) * self.scale
            case _:
                x = u
        return np.clip(x, self.low, self.high)
