"""Which of some points are nearest to each of others, in an order that rounding cannot change."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 8
"""How many points near it a token of an octree refers to."""


def squares(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, M) squared distances of (N, 3) places and (M, 3) points, rounded so that ties tie."""
    return np.asarray(((points[None] - places[:, None]) ** 2).sum(-1).round(6))


def nearest(square: np.ndarray, known: np.ndarray, most: int = NEIGHBOURS) -> list[list[int]]:
    """Up to ``most`` nearest points of each row, ties by index.

    Args:
        square: (N, M) squared distances.
        known: (N, M) which points count.
        most: points a row.
    """
    away = np.where(known, square, np.inf)
    rows = np.argsort(away, axis=1, kind="stable")[:, :most].tolist()
    return [row[:k] for row, k in zip(rows, known.sum(1).tolist(), strict=True)]
