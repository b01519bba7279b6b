"""Local frames: points seen from the points that a slot refers to.

Shape letters: N slots, R references.
"""

from __future__ import annotations

import torch
from torch import Tensor


def local_frames(points_NR3: Tensor, valid_NR: Tensor) -> tuple[Tensor, Tensor]:
    """Origin and orthonormal axes of each slot.

    The origin is the first reference, the first axis points from the second reference to it, and the
    plane is completed by the first later reference that is not collinear. What is missing is taken
    from the global axes, so the first slots of a sequence are well defined too.

    Returns:
        (N, 3) origins and (N, 3, 3) rotations whose rows are the axes.
    """
    n, r = points_NR3.shape[:2]
    if r == 0:
        eye = torch.eye(3, dtype=points_NR3.dtype, device=points_NR3.device)
        return points_NR3.new_zeros(n, 3), eye.expand(n, 3, 3)
    origin_N3 = torch.where(valid_NR[:, :1], points_NR3[:, 0], torch.zeros_like(points_NR3[:, 0]))
    globe = torch.eye(3, dtype=points_NR3.dtype, device=points_NR3.device)
    first = globe[0].expand(n, 3)
    if r > 1:
        first = torch.where(valid_NR[:, 1:2], origin_N3 - points_NR3[:, 1], first)
    axis1 = _unit(first)
    # Candidates for the plane: later references, then the global y and z axes.
    rays = points_NR3[:, 2:] - origin_N3[:, None]
    candidates = torch.cat([rays, globe[1:].expand(n, 2, 3)], dim=1)
    usable = torch.cat([valid_NR[:, 2:], valid_NR.new_ones(n, 2)], dim=1)
    normal = torch.linalg.cross(axis1[:, None].expand_as(candidates), candidates)
    sine = normal.norm(dim=-1) / candidates.norm(dim=-1).clamp_min(1e-6)
    chosen = (usable & (sine > 0.2)).float().argmax(dim=1)
    pick = chosen[:, None, None].expand(-1, 1, 3)
    axis3 = _unit(normal.gather(1, pick)[:, 0])
    axis2 = torch.linalg.cross(axis3, axis1)
    return origin_N3, torch.stack([axis1, axis2, axis3], dim=1)


def to_local(points: Tensor, origin_N3: Tensor, axes_N33: Tensor) -> Tensor:
    """Global (N, ..., 3) points -> the coordinates of their slot's frame."""
    shape = points.shape
    flat = points.reshape(shape[0], -1, 3) - origin_N3[:, None]
    return (flat @ axes_N33.transpose(1, 2)).reshape(shape)


def to_global(points: Tensor, origin_N3: Tensor, axes_N33: Tensor) -> Tensor:
    """Inverse of :func:`to_local`."""
    shape = points.shape
    flat = points.reshape(shape[0], -1, 3) @ axes_N33
    return (flat + origin_N3[:, None]).reshape(shape)


def wrap(x: Tensor) -> Tensor:
    """Representative in [-1/2, 1/2) of a difference on the unit torus."""
    return x - torch.floor(x + 0.5)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-6)
