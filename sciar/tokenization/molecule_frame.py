"""Coordinates of molecules in their canonical orientation, hydrogens in canonical order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sciar.tokenization.frames import COLLINEAR, fixed_frames, local_frames, to_local
from sciar.tokenization.layout import SlotSpec
from sciar.tokenization.molecule_plan import REFERENCES


def reference_arrays(specs: Sequence[SlotSpec]) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, R) slot indices of the references (0 where missing), and (N, R) whether they exist."""
    index = np.full((len(specs), REFERENCES), -1, dtype=np.int64)
    for row, spec in zip(index, specs, strict=True):
        row[: len(spec.references)] = spec.references
    tensor = torch.from_numpy(index)
    return tensor.clamp_min(0), tensor >= 0


def local_positions(specs: Sequence[SlotSpec], positions: np.ndarray, first: int = 0) -> np.ndarray:
    """(N - first, 3) positions of the slots from ``first`` on, each in its local frame."""
    points = torch.from_numpy(np.ascontiguousarray(positions, dtype=np.float64))
    index, valid = reference_arrays(specs[first:])
    origin, axes = local_frames(points[index], valid)
    return to_local(points[first:], origin, axes).numpy()


def order_hydrogens(
    specs: Sequence[SlotSpec], groups: Sequence[tuple[int, ...]], positions: np.ndarray
) -> np.ndarray:
    """(n,) order of the slots that sorts the equivalent hydrogens of each heavy atom.

    They are sorted by the angle atan2(z, y), from -pi on, in the local frame of the group's first
    slot, whose references all come before the group. Where these leave the rotation about the bond
    open (as in ethane's first methyl), the hydrogen with the shortest bond comes first and the
    others follow by their angle from it; a lone heavy atom's first hydrogen also gives the axis.
    """
    order = np.arange(len(positions))
    sortable = [group for group in groups if len(group) > 1]
    if not sortable:
        return order
    index, valid = reference_arrays([specs[group[0]] for group in sortable])
    # A frame may rest on a hydrogen of an earlier group. Dependence only goes forward, so repeated
    # sorting settles after at most one round a group, mostly after two.
    for _ in range(len(sortable) + 1):
        points = torch.from_numpy(positions[order])
        near = points[index]
        origin, axes = local_frames(near, valid)
        fixed = fixed_frames(near, valid)
        previous = order.copy()
        for g, group in enumerate(sortable):
            slots = np.array(group)
            own = points[slots] - origin[g]
            if fixed[g]:
                seen = (own @ axes[g].T).numpy()
                ranking = np.argsort(np.arctan2(seen[:, 2], seen[:, 1]), kind="stable")
            else:
                ranking = _free_order(own.numpy(), axes[g, 0].numpy() if valid[g, 1] else None)
            order[slots] = previous[slots][ranking]
        if (order == previous).all():
            break
    return order


def _free_order(vectors: np.ndarray, axis: np.ndarray | None) -> np.ndarray:
    """Order of (k, 3) bonds from one atom, starting with the shortest; see above."""
    shortest = int(np.argmin(np.round(np.linalg.norm(vectors, axis=1), 6)))
    if axis is None:
        rest = np.delete(np.arange(len(vectors)), shortest)
        if not len(rest):
            return np.array([shortest])
        axis = -vectors[shortest] / np.linalg.norm(vectors[shortest])
        return np.concatenate([[shortest], rest[_free_order(vectors[rest], axis)]])
    flat = vectors - np.outer(vectors @ axis, axis)
    start = flat[shortest]
    angle = np.arctan2(np.cross(start, flat) @ axis, flat @ start)
    angle[shortest] = 0.0
    return np.argsort(np.where(angle < 0, angle + 2 * np.pi, angle), kind="stable")


def canonical_orientation(positions: np.ndarray) -> np.ndarray:
    """(n, 3) the same points with the first at the origin, the second on +x, the third at z = 0.

    "The third" is the first later point far enough from the x axis (by the rule of the local
    frames), with y > 0; earlier, nearly collinear points keep what little y and z they have. Only
    rotations and translations, no reflection.
    """
    moved = positions - positions[0]
    if len(moved) == 1:
        return moved
    x = moved[1] / max(float(np.linalg.norm(moved[1])), 1e-12)
    off = moved - np.outer(moved @ x, x)
    sine = np.linalg.norm(off, axis=1) / np.maximum(np.linalg.norm(moved, axis=1), 1e-12)
    sine[:2] = 0.0
    far = np.flatnonzero(sine > COLLINEAR)
    third = off[far[0]] if len(far) else np.eye(3)[np.argmin(np.abs(x))]
    y = third - (third @ x) * x
    y /= np.linalg.norm(y)
    return moved @ np.stack([x, y, np.cross(x, y)]).T
