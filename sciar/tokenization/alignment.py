"""Crystals in the frame of another one: its cell, its origin and the order of its sites.

Two descriptions of similar crystals may differ in the basis of the cell, the origin and the order
of the sites. Here a crystal is described anew so that each of its sites is near the site of the
other one with the same number, and the cells are as alike as possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np

MARGIN = 0.02
"""Bases whose cell differs by so much more (mean squared strain) than the best one are tried."""
BASES = 48
"""At most so many bases, the number of proper and improper rotations of a cube."""
FINALISTS = 4
_BUDGET = 1_000_000
_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@cache
def unimodular() -> tuple[np.ndarray, np.ndarray]:
    """(B, 3, 3) integer matrices of determinant 1 with entries -1, 0, 1, the identity first, and
    their inverses."""
    entries = np.array(list(product((-1, 0, 1), repeat=9)), dtype=np.float64).reshape(-1, 3, 3)
    found = entries[np.rint(np.linalg.det(entries)) == 1]
    identity = (found == np.eye(3)).all((1, 2))
    found = np.concatenate([found[identity], found[~identity]])
    return found, np.rint(np.linalg.inv(found))


def aligned(
    species: Sequence[str],
    lattice: np.ndarray,
    frac: np.ndarray,
    onto_species: Sequence[str],
    onto_lattice: np.ndarray,
    onto_frac: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Describe a crystal in the frame of another one of the same composition.

    The search is over bases with small coefficients, origins that put a rare element on one of its
    own kind, and assignments of the sites of each element; the sum of the mean squared strain of
    the cell and the mean squared displacement, in units of (V/n)^(1/3), is the smallest of those
    tried. Volumes are not compared.

    Args:
        species: n symbols; lattice: (3, 3), rows are vectors; frac: (n, 3) of the crystal.
        onto_species, onto_lattice, onto_frac: of the other one; its first site is at the origin.

    Returns:
        (3, 3) lattice, (n, 3) coordinates, each at the image next to the site of the other crystal
        and the first one at the origin, and (n,) which of the sites each one was.
    """
    ours, theirs = np.array(species), np.array(onto_species)
    strain, bases = _alike(lattice, onto_lattice)
    metric = onto_lattice @ onto_lattice.T
    scale = abs(np.linalg.det(onto_lattice) / len(theirs)) ** (2 / 3)
    rare = _rarest(theirs)
    first = int(np.flatnonzero(theirs == rare)[0])
    starts = np.flatnonzero(ours == rare)
    blocks = [(np.flatnonzero(theirs == s), np.flatnonzero(ours == s)) for s in np.unique(theirs)]
    most = max(1, _BUDGET // (3 * len(starts) * sum(a.size * b.size for a, b in blocks)))
    strain, bases = strain[:most], bases[:most]
    turned = frac @ unimodular()[1][bases]  # (C, n, 3)
    moved = turned[:, None] - turned[:, starts, None] + onto_frac[first]  # (C, m, n, 3)
    bound = np.zeros(moved.shape[:2])
    for a, b in blocks:
        bound += _squares(moved[:, :, None, b], onto_frac[a][:, None], metric).min(-1).sum(-1)
    total = bound / len(theirs) / scale + strain[:, None]
    finalists = np.argsort(total, axis=None, kind="stable")[:FINALISTS]
    best: tuple[float, int, np.ndarray] | None = None
    for flat in finalists:
        basis, start = np.unravel_index(flat, total.shape)
        order, cost = _assigned(moved[basis, start], onto_frac, blocks, metric)
        cost = cost / scale + strain[basis]
        if best is None or cost < best[0] - 1e-9:
            best = (cost, int(basis), order)
    assert best is not None
    _, basis, order = best
    placed = turned[basis][order]
    gap = placed - placed[0] - (onto_frac - onto_frac[0])
    near = onto_frac + (gap - np.rint(gap))
    return unimodular()[0][bases[basis]] @ lattice, near, order


def _alike(lattice: np.ndarray, onto: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared strains and numbers of the bases that make the cells alike, best first."""
    volumes = abs(np.linalg.det(onto) / np.linalg.det(lattice))
    metric = lattice @ lattice.T * volumes ** (2 / 3)
    lengths, angles = _shape((_products() @ metric.ravel()).reshape(-1, 6))
    own = onto @ onto.T
    own_lengths, own_angles = _shape(np.array([[own[i, j] for i, j in _PAIRS]]))
    away = (lengths - own_lengths) ** 2 + (angles - own_angles) ** 2
    strain = away.mean(-1)
    near = np.flatnonzero(strain <= strain.min() + MARGIN)
    # Rounded, so that bases that a symmetry makes equal keep their order.
    order = near[np.argsort(np.round(strain[near], 9), kind="stable")][:BASES]
    return strain[order], order


@cache
def _products() -> np.ndarray:
    """(6 B, 9): the metric tensor of a lattice, as 9 numbers, to the 6 numbers of each basis."""
    bases = unimodular()[0]
    rows = [np.einsum("bk,bl->bkl", bases[:, i], bases[:, j]) for i, j in _PAIRS]
    return np.stack(rows, axis=1).reshape(-1, 9)


def _shape(metrics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, 3) logarithms of the lengths, and (B, 3) angles, of the (B, 6) numbers of ``_PAIRS``."""
    lengths = np.sqrt(metrics[:, :3])
    cosines = metrics[:, 3:] / (lengths[:, [1, 0, 0]] * lengths[:, [2, 2, 1]])
    return np.log(lengths), np.arccos(np.clip(cosines, -1, 1))


def _rarest(species: np.ndarray) -> str:
    names, counts = np.unique(species, return_counts=True)
    return str(names[counts.argmin()])


def _squares(ours: np.ndarray, theirs: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Squared distances of points that broadcast, each to the image within half a cell."""
    x, y, z = (ours[..., i] - theirs[..., i] for i in range(3))
    for gap in (x, y, z):
        gap -= np.rint(gap)
    # Written out, because products with a matrix of 3 x 3 cost several times as much.
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = metric
    return x * (xx * x + 2 * xy * y + 2 * xz * z) + y * (yy * y + 2 * yz * z) + zz * z * z


def _assigned(
    moved: np.ndarray,
    onto: np.ndarray,
    blocks: Sequence[tuple[np.ndarray, np.ndarray]],
    metric: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Which site stands for each, and the mean squared displacement without its common part."""
    from scipy.optimize import linear_sum_assignment

    order = np.empty(len(onto), dtype=np.int64)
    for a, b in blocks:
        rows, columns = linear_sum_assignment(_squares(moved[None, b], onto[a][:, None], metric))
        order[a[rows]] = b[columns]
    gap = moved[order] - onto
    gap -= np.rint(gap)
    gap -= gap.mean(0)
    return order, float(((gap @ metric) * gap).sum(-1).mean())
