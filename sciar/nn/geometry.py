"""Geometry that the decoder and the heads share: local frames, and differences on the torus."""

from __future__ import annotations

import torch
from torch import Tensor

from sciar.tokenization.frames import local_frames, placed_frames, to_global, to_local

__all__ = ["local_frames", "placed_frames", "to_global", "to_local", "wrap"]


def wrap(x: Tensor) -> Tensor:
    """Representative in [-1/2, 1/2) of a difference on the unit torus."""
    return x - torch.floor(x + 0.5)
