"""Local frames: points seen from the points that a slot refers to.

Shape letters: N slots, R references.
"""

from __future__ import annotations

import torch
from torch import Tensor

COLLINEAR = 0.2
"""Sine below which a reference is too close to the first axis to give the plane."""

SAME = 0.01
"""Distance (angstrom) below which two points give no direction."""


def local_frames(points_NR3: Tensor, valid_NR: Tensor) -> tuple[Tensor, Tensor]:
    """Origin and orthonormal axes of each slot.

    The origin is the first reference, the first axis points from the second reference to it, and
    the plane is completed by the first later reference that is not collinear. What is missing is
    taken from the global axes, so the first slots of a sequence are well defined too.

    Returns:
        (N, 3) origins and (N, 3, 3) rotations whose rows are the axes.
    """
    n, r = points_NR3.shape[:2]
    if r == 0:
        eye = torch.eye(3, dtype=points_NR3.dtype, device=points_NR3.device)
        return points_NR3.new_zeros(n, 3), eye.expand(n, 3, 3)
    origin_N3, axis1 = _first_axis(points_NR3, valid_NR)
    normal, usable = _planes(points_NR3, valid_NR, origin_N3, axis1)
    pick = usable.float().argmax(dim=1)[:, None, None].expand(-1, 1, 3)
    axis3 = _unit(normal.gather(1, pick)[:, 0])
    axis2 = torch.linalg.cross(axis3, axis1)
    return origin_N3, torch.stack([axis1, axis2, axis3], dim=1)


def fixed_frames(points_NR3: Tensor, valid_NR: Tensor) -> Tensor:
    """(N,) whether the references alone fix the frame, without help of the global axes."""
    n, r = points_NR3.shape[:2]
    if r < 3:
        return torch.zeros(n, dtype=torch.bool, device=points_NR3.device)
    usable = _planes(points_NR3, valid_NR, *_first_axis(points_NR3, valid_NR))[1]
    return valid_NR[:, 1] & usable[:, :-2].any(dim=1)


def placed_frames(points_NR3: Tensor, exact_NR: Tensor, place_N3: Tensor) -> tuple[Tensor, Tensor]:
    """Frames of slots that are known to be near some place, from points that are known exactly.

    As :func:`local_frames` of the exact points, the nearest to the place first, and then of the
    place itself: it helps where they are too few. Without any the origin is the place.

    Returns:
        (N, 3) origins and (N, 3, 3) rotations whose rows are the axes.
    """
    square = (points_NR3 - place_N3[:, None]).square().sum(-1)
    order = torch.where(exact_NR, square, torch.inf).argsort(dim=1, stable=True)
    index = torch.cat([order, torch.full_like(order[:, :1], order.shape[1])], dim=1)
    many = exact_NR.sum(1, keepdim=True)
    index = index.scatter(1, many, index[:, -1:])
    # A place where a point is known to be adds no direction.
    apart = torch.where(exact_NR, square, torch.inf).amin(1, keepdim=True) > SAME**2
    known = torch.arange(index.shape[1], device=index.device) < many + apart
    given = torch.cat([points_NR3, place_N3[:, None]], dim=1)
    return local_frames(given.gather(1, index[..., None].expand(-1, -1, 3)), known)


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


def _first_axis(points_NR3: Tensor, valid_NR: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3) origins and first axes."""
    origin_N3 = torch.where(valid_NR[:, :1], points_NR3[:, 0], torch.zeros_like(points_NR3[:, 0]))
    globe = torch.eye(3, dtype=points_NR3.dtype, device=points_NR3.device)
    first = globe[0].expand_as(origin_N3)
    if points_NR3.shape[1] > 1:
        first = torch.where(valid_NR[:, 1:2], origin_N3 - points_NR3[:, 1], first)
    return origin_N3, _unit(first)


def _planes(
    points_NR3: Tensor, valid_NR: Tensor, origin_N3: Tensor, axis1: Tensor
) -> tuple[Tensor, Tensor]:
    """Normals of the candidate planes (later references, then global y and z), and their use."""
    n = len(points_NR3)
    globe = torch.eye(3, dtype=points_NR3.dtype, device=points_NR3.device)
    rays = points_NR3[:, 2:] - origin_N3[:, None]
    candidates = torch.cat([rays, globe[1:].expand(n, 2, 3)], dim=1)
    exists = torch.cat([valid_NR[:, 2:], valid_NR.new_ones(n, 2)], dim=1)
    normal = torch.linalg.cross(axis1[:, None].expand_as(candidates), candidates)
    sine = normal.norm(dim=-1) / candidates.norm(dim=-1).clamp_min(1e-6)
    return normal, exists & (sine > COLLINEAR)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-6)
