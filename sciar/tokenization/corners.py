"""Unit cells from their eight corners, as Uni-3DAR describes a lattice (arXiv:2503.16278)."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from sciar.errors import RecordError

UNIT = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)], dtype=np.float64)
"""Corners of the unit cube."""

TOLERANCE = 0.1
"""Largest error of a corner that is accepted, in angstrom: spec 8.4.2."""


def corners(lattice: np.ndarray) -> np.ndarray:
    """(8, 3) corners of the cell spanned by the rows of a (3, 3) lattice."""
    return UNIT @ lattice


def fit_cell(points: np.ndarray, tolerance: float = TOLERANCE) -> tuple[np.ndarray, np.ndarray]:
    """The cell whose corners are eight points, given in any order.

    Every three points are tried as the ends of the vectors from the first one; the cell that meets
    the others best is then fitted to all eight by least squares.

    Returns:
        (3, 3) right-handed lattice, rows are vectors, and (3,) the origin.

    Raises:
        RecordError: there are not eight points, or no cell meets them all within ``tolerance``.
    """
    if len(points) != 8:
        raise RecordError(f"{len(points)} corners instead of 8", field="lattice")
    best: tuple[float, np.ndarray] | None = None
    for triple in combinations(range(1, 8), 3):
        made = points[0] + corners(points[list(triple)] - points[0])
        away = np.linalg.norm(made[:, None] - points[None], axis=-1)
        nearest = away.argmin(1)
        if len(set(nearest.tolist())) < 8:
            continue
        error = float(away.min(1).max())
        if best is None or error < best[0]:
            best = (error, nearest)
    if best is None:
        raise RecordError("the corners are those of no cell", field="lattice")
    design = np.concatenate([np.ones((8, 1)), UNIT], axis=1)
    found = points[best[1]]
    solution = np.linalg.lstsq(design, found, rcond=None)[0]
    worst = float(np.linalg.norm(design @ solution - found, axis=1).max())
    origin, lattice = solution[0], solution[1:]
    if worst > tolerance:
        raise RecordError(
            f"a corner is {worst:.2f} angstrom from where the cell has it", field="lattice"
        )
    if abs(np.linalg.det(lattice)) < 1e-3:
        raise RecordError("the corners span no volume", field="lattice")
    return (lattice if np.linalg.det(lattice) > 0 else lattice[[1, 0, 2]]), origin
