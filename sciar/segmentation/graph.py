"""Region graphs: which fragments touch, on how many voxels, with which affinity.

Affinities are bytes and their sums integers, so tables of disjoint blocks add up to the table of
the volume exactly, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sciar.merging import merged


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of fragments that touch, sorted by the pair; N of them.

    Attributes:
        pairs: (N, 2) uint64 ids, the smaller first.
        count: (N,) int64 pairs of voxels on their common border.
        total: (N,) int64 sum of the affinities of these pairs, in bytes.
    """

    pairs: np.ndarray
    count: np.ndarray
    total: np.ndarray

    def __len__(self) -> int:
        return len(self.count)

    @classmethod
    def of(cls, affinities: np.ndarray, fragments: np.ndarray, halo: bool = False) -> Edges:
        """The graph of a block.

        Args:
            affinities: (3, Z, Y, X) uint8, of each voxel to the one before it along z, y, x.
            fragments: (Z, Y, X) ids, 0 for none.
            halo: the first plane along each axis belongs to the blocks before; pairs between its
                voxels are theirs.
        """
        pairs, values = [], []
        ids = fragments.astype(np.uint64)
        for axis in range(3):
            here, before = [slice(1 if halo else 0, None)] * 3, [slice(1 if halo else 0, None)] * 3
            here[axis], before[axis] = slice(1, None), slice(None, -1)
            a, b = ids[tuple(here)], ids[tuple(before)]
            border = (a != b) & (a > 0) & (b > 0)
            a, b = a[border], b[border]
            pairs.append(np.stack([np.minimum(a, b), np.maximum(a, b)], 1))
            values.append(affinities[axis][tuple(here)][border].astype(np.int64))
        flat, value = np.concatenate(pairs), np.concatenate(values)
        return _summed(flat, np.ones(len(flat), np.int64), value)

    @classmethod
    def merged(cls, tables: Iterable[Edges]) -> Edges:
        """The graph of several disjoint blocks."""
        none = np.zeros(0, np.int64)
        return merged(tables, cls(np.zeros((0, 2), np.uint64), none, none))

    def __add__(self, other: Edges) -> Edges:
        return _summed(
            np.concatenate([self.pairs, other.pairs]),
            np.concatenate([self.count, other.count]),
            np.concatenate([self.total, other.total]),
        )


def _summed(pairs: np.ndarray, count: np.ndarray, total: np.ndarray) -> Edges:
    """Equal pairs added up."""
    if not len(pairs):
        return Edges(pairs, count, total)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, count, total = pairs[order], count[order], total[order]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(1)
    first = new.nonzero()[0]
    return Edges(pairs[first], np.add.reduceat(count, first), np.add.reduceat(total, first))
