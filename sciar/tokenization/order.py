"""Canonical order and origin of the sites of a crystal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sciar.tokenization.elements import canonical_key

GRID = 20
"""Coordinates are compared on a grid of so many steps a cell, so that noise rarely swaps sites."""


def canonical_order(
    species: Sequence[str], frac: np.ndarray, augment: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Order of the sites, and their coordinates with the first site at the origin.

    Elements come by electronegativity. The origin is an atom of the first element: the one from
    which the sorted list of coordinates is lexicographically smallest, or a random one if
    ``augment`` is given. Inside an element, sites are sorted by their coordinates from that origin.

    Args:
        species: n element symbols.
        frac: (n, 3) fractional coordinates.
        augment: generator that picks the origin.

    Returns:
        (n,) indices into the input, and (n, 3) coordinates in [0, 1) in the new order.
    """
    keys = [canonical_key(s) for s in species]
    ranks = {key: i for i, key in enumerate(sorted(set(keys)))}
    rank = np.array([ranks[k] for k in keys])
    candidates = np.flatnonzero(rank == 0)
    if augment is not None:
        candidates = augment.choice(candidates, 1)
    best: tuple[tuple[int, ...], np.ndarray, np.ndarray] | None = None
    for origin in candidates:
        shifted = (frac - frac[origin]) % 1.0
        grid = np.rint(shifted * GRID).astype(np.int64) % GRID
        order = np.lexsort((shifted[:, 2], grid[:, 2], grid[:, 1], grid[:, 0], rank))
        order = np.concatenate([[origin], order[order != origin]])
        key = tuple(grid[order].ravel().tolist())
        if best is None or key < best[0]:
            best = (key, order, shifted[order])
    assert best is not None
    frac_out = best[2] % 1.0
    frac_out[frac_out >= 1.0] = 0.0
    return best[1], frac_out
