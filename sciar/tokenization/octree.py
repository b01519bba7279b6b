"""Octrees: occupied cells as breadth-first 8-bit occupancy masks, and back.

The root is one node of level L and covers the grid; nodes of level l have an edge of 2^l cells;
level 0 are the leaf cells. Child ``b = bx + 2 by + 4 bz`` lies in the half ``bx, by, bz`` of each
axis, and only occupied children exist. One mask a node, from 1 to 255, says which. Breadth first in
the order of children is ascending Morton code within each level, x in the lowest bit.

A node is named by its Morton code *within its level*: its parent is ``code >> 3``, and ``code & 7``
is which child it is.

Shape letters: N points, K occupied cells, T inner nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.tokenization.octree_grid import MAX_LEVELS, OctreeGrid, Placement, place, points

_SPREAD = ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249))
"""Shifts and masks that put two zero bits behind each of 10 bits."""


def morton(cells: np.ndarray) -> np.ndarray:
    """(..., 3) cells below 2^10 -> (...) int64 Morton codes."""
    x = np.asarray(cells, dtype=np.int64)
    if x.size and (x.min() < 0 or x.max() >= 1 << MAX_LEVELS):
        raise UsageError(f"cells from {x.min()} to {x.max()}; Morton codes take 0 to 1023")
    for shift, mask in _SPREAD:
        x = (x | (x << shift)) & mask
    return x[..., 0] | (x[..., 1] << 1) | (x[..., 2] << 2)


def unmorton(codes: np.ndarray) -> np.ndarray:
    """Inverse of :func:`morton`: (...) codes -> (..., 3) int64 cells."""
    code = np.asarray(codes, dtype=np.int64)
    x = np.stack([code, code >> 1, code >> 2], axis=-1) & _SPREAD[-1][1]
    before = [mask for _, mask in _SPREAD[-2::-1]] + [(1 << MAX_LEVELS) - 1]
    for (shift, _), mask in zip(reversed(_SPREAD), before, strict=True):
        x = (x | (x >> shift)) & mask
    return x


@dataclass(frozen=True, eq=False)
class Octree:
    """The occupied nodes of one octree, breadth first.

    Attributes:
        depth: levels above the leaf cells.
        codes: (T,) int64 Morton code of each inner node within its level.
        levels: (T,) int64 level of each, from ``depth`` down to 1.
        masks: (T,) uint8 occupancy of its children, 1 to 255.
        leaves: (K,) int64 Morton codes of the occupied cells, ascending.
    """

    depth: int
    codes: np.ndarray
    levels: np.ndarray
    masks: np.ndarray
    leaves: np.ndarray

    def per_level(self) -> np.ndarray:
        """(depth + 1,) number of nodes of each level, from the root to the leaves."""
        inner = np.bincount(self.depth - self.levels, minlength=self.depth)
        return np.append(inner, len(self.leaves))


def build(leaves: np.ndarray, depth: int) -> Octree:
    """The octree over a set of occupied cells.

    Args:
        leaves: (N,) Morton codes, in any order and perhaps repeated; at least one.
        depth: levels above the cells.

    Raises:
        UsageError: no cell is occupied, or a cell lies outside a grid of this depth.
    """
    cells = np.unique(np.asarray(leaves, dtype=np.int64))
    if not len(cells):
        raise UsageError("an octree needs at least one occupied cell")
    if cells[0] < 0 or cells[-1] >> 3 * depth:
        raise UsageError(f"a cell lies outside a grid of {depth} levels")
    # One row a level, from the root to the cells: the ancestor of each cell. A node begins wherever
    # its code differs from the one before, because the cells are sorted.
    above = cells >> (3 * np.arange(depth, -1, -1))[:, None]
    begins = np.ones(above.shape, dtype=bool)
    begins[:, 1:] = above[:, 1:] != above[:, :-1]
    child = above[1:][begins[1:]]
    first_child = np.flatnonzero(begins[:-1][begins[1:]])
    return Octree(
        depth=depth,
        codes=above[:-1][begins[:-1]],
        levels=np.repeat(np.arange(depth, 0, -1), begins[:-1].sum(1)),
        masks=np.add.reduceat(1 << (child & 7), first_child).astype(np.uint8),
        leaves=cells,
    )


def children(codes: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Codes of the occupied children of some nodes of one level, in order."""
    occupied = np.unpackbits(np.asarray(masks, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    node, child = occupied.nonzero()
    return (np.asarray(codes, dtype=np.int64)[node] << 3) | child


def from_masks(masks: np.ndarray, depth: int) -> Octree:
    """The octree that breadth-first masks describe; inverse of ``build(...).masks``.

    Raises:
        UsageError: a mask outside 1 to 255, too few masks, or some left over.
    """
    given = np.asarray(masks)
    if len(given) and (given.min() < 1 or given.max() > 255):
        raise UsageError("an occupancy mask must lie between 1 and 255")
    level, at = np.zeros(1, dtype=np.int64), 0
    codes = []
    for depth_left in range(depth, 0, -1):
        row = given[at : at + len(level)]
        if len(row) < len(level):
            raise UsageError(
                f"level {depth_left} of the octree has {len(level)} nodes but {len(row)} masks"
            )
        codes.append(level)
        at, level = at + len(level), children(level, row)
    if at != len(given):
        raise UsageError(f"{len(given) - at} masks are left over after the last level")
    return Octree(
        depth=depth,
        codes=np.concatenate(codes),
        levels=np.repeat(np.arange(depth, 0, -1), [len(c) for c in codes]),
        masks=given.astype(np.uint8),
        leaves=level,
    )


def centres(codes: np.ndarray, levels: np.ndarray | int, edge: float) -> np.ndarray:
    """(n, 3) centres of nodes of given levels (0: leaf cells), in units of ``edge``'s."""
    size = np.left_shift(1, np.asarray(levels, dtype=np.int64))[..., None]
    return (unmorton(codes) + 0.5) * size * edge


@dataclass(frozen=True, eq=False)
class EncodedPoints:
    """N labelled points as an octree and one entry a point.

    A cell with several points keeps them all: they follow each other, and ``counts`` says how many
    belong to each leaf. Points stand in the order of their cells, inside a cell by bins, then
    label, so that the code of a set of points does not depend on their order.

    Attributes:
        tree: the octree over the occupied cells.
        counts: (K,) int64 points in each occupied cell, at least 1.
        bins: (N, 3) int64 place of each point in its cell.
        labels: (N,) what each point is.
        order: (N,) index of each point in the input.
        placement: the grid and the way back to the input's frame.
    """

    tree: Octree
    counts: np.ndarray
    bins: np.ndarray
    labels: np.ndarray
    order: np.ndarray
    placement: Placement

    @property
    def firsts(self) -> np.ndarray:
        """(N,) whether a point is the first of its cell."""
        first = np.zeros(len(self.labels), dtype=bool)
        first[np.cumsum(self.counts) - self.counts] = True
        return first

    def positions(self) -> np.ndarray:
        """(N, 3) the points in the box, from masks, counts and bins alone."""
        return decode(self.tree.masks, self.counts, self.bins, self.placement.grid)

    def restored(self) -> np.ndarray:
        """(N, 3) the points in the frame of the input, in the order of :attr:`labels`."""
        return self.positions() @ self.placement.rotation + self.placement.origin


def encode(
    positions: np.ndarray,
    labels: Sequence[int] | Sequence[str] | np.ndarray,
    grid: OctreeGrid,
    augment: np.random.Generator | None = None,
    *,
    grow: bool = False,
) -> EncodedPoints:
    """Labelled points -> octree, bins and labels.

    Args:
        positions: (N, 3) in the unit of the grid, N at least 1. Points may share a cell, or even
            coincide.
        labels: N integers or names.
        grid, augment, grow: see :func:`~sciar.tokenization.octree_grid.place`.

    Raises:
        RecordError: no points, as many labels as points are not there, a coordinate is not finite,
            or the points do not fit the grid.
    """
    names = np.asarray(labels)
    placed = place(positions, grid, augment, grow=grow)
    if names.shape != (len(placed.cells),):
        raise RecordError(
            f"{len(placed.cells)} points but labels of shape {names.shape}", field="labels"
        )
    codes = morton(placed.cells)
    x, y, z = placed.bins.T
    order = np.lexsort((names, z, y, x, codes))
    tree = build(codes, placed.grid.levels)
    return EncodedPoints(
        tree=tree,
        counts=np.diff(np.append(np.searchsorted(codes[order], tree.leaves), len(codes))),
        bins=placed.bins[order],
        labels=names[order],
        order=order,
        placement=placed,
    )


def decode(masks: np.ndarray, counts: np.ndarray, bins: np.ndarray, grid: OctreeGrid) -> np.ndarray:
    """Masks, points a leaf and bins -> (N, 3) coordinates in the box.

    Raises:
        UsageError: they do not belong together.
    """
    tree = from_masks(masks, grid.levels)
    counts, bins = np.asarray(counts), np.asarray(bins)
    if len(counts) != len(tree.leaves) or (counts < 1).any() or counts.sum() != len(bins):
        raise UsageError(
            f"{len(counts)} counts with {counts.sum()} points in all do not fit an octree of "
            f"{len(tree.leaves)} leaves and {len(bins)} points"
        )
    return points(unmorton(np.repeat(tree.leaves, counts)), bins, grid)
