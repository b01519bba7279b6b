"""Hierarchical agglomeration of a region graph by mean affinity, as waterz does it.

The two regions with the highest mean affinity on their common border are merged, borders that
become parallel add up, and so on while 1 - affinity is below a threshold. The mean of two parallel
borders is never above the higher of them (the linkage is reducible), so pairs that are each other's
best may be merged in any order (Bruynooghe 1978), and here all such pairs of a round are merged at
once, in NumPy: the same partition as from a queue, at a few tens of bytes an edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from sciar.errors import UsageError
from sciar.segmentation.fragments import LEVELS
from sciar.segmentation.graph import Edges


def agglomerate(edges: Edges, ids: np.ndarray, threshold: float) -> np.ndarray:
    """(n,) uint64 region of each fragment: the smallest id in it.

    Args:
        edges: graph of the fragments.
        ids: (n,) uint64 fragments, rising; all of the graph are among them.
        threshold: regions are merged while 1 - mean affinity is below it.
    """
    return next(iter(sweep(edges, ids, [threshold])))


def sweep(edges: Edges, ids: np.ndarray, thresholds: Sequence[float]) -> Iterator[np.ndarray]:
    """Regions at several rising thresholds, each from the one before.

    Raises:
        UsageError: thresholds do not rise, or lie outside [0, 1].
    """
    rising = all(a < b for a, b in pairwise(thresholds))
    if not rising or not all(0 <= t <= 1 for t in thresholds):
        raise UsageError(f"thresholds rise within [0, 1], unlike {list(thresholds)}")
    ends = np.searchsorted(ids, edges.pairs.reshape(-1)).reshape(-1, 2).astype(np.int64)
    count, total = edges.count, edges.total
    root = np.arange(len(ids))
    for threshold in thresholds:
        while True:
            merged = _round(ends, count, total, len(ids), threshold)
            if merged is None:
                break
            root = merged[root]
            ends, count, total = _contracted(merged[ends], count, total)
        yield ids[root]


def _round(
    ends: np.ndarray, count: np.ndarray, total: np.ndarray, nodes: int, threshold: float
) -> np.ndarray | None:
    """(nodes,) where each node goes when all pairs that are each other's best are merged."""
    # Integers over integers: equal fractions are equal floats, so ties are ties.
    score = 1.0 - total / (LEVELS * count)
    live = score < threshold
    if not live.any():
        return None
    ends, score = ends[live], score[live]
    # The total order of the edges: score, then the ends.
    order = np.lexsort((ends[:, 1], ends[:, 0], score))
    ends = ends[order]
    best = np.full(nodes, len(ends), np.int64)
    place = np.arange(len(ends))
    # Written from the worst to the best, so that the best stays.
    best[ends[::-1, 0]] = place[::-1]
    second = np.full(nodes, len(ends), np.int64)
    second[ends[::-1, 1]] = place[::-1]
    best = np.minimum(best, second)
    mutual = (best[ends[:, 0]] == place) & (best[ends[:, 1]] == place)
    moved = np.arange(nodes)
    moved[ends[mutual].max(1)] = ends[mutual].min(1)
    return moved


def _contracted(
    ends: np.ndarray, count: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges between the merged nodes, parallel ones added up."""
    ends = np.sort(ends, axis=1)
    kept = ends[:, 0] != ends[:, 1]
    ends, count, total = ends[kept], count[kept], total[kept]
    if not len(ends):
        return ends, count, total
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, count, total = ends[order], count[order], total[order]
    new = np.ones(len(ends), bool)
    new[1:] = (ends[1:] != ends[:-1]).any(1)
    first = new.nonzero()[0]
    return ends[first], np.add.reduceat(count, first), np.add.reduceat(total, first)
