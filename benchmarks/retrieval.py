"""The index of known structures at growing size: building, loading, searching, memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sciar.retrieval.elements import index_of
from sciar.retrieval.index import StructureIndex
from sciar.retrieval.store import from_files, to_files

QUERIES = 200
# Shares of common patterns of inorganic crystals, so that groups are as uneven as real ones.
PATTERNS = [(3, 1, 1), (4, 4), (2, 1), (1, 1), (2, 1, 1), (6, 2, 1, 1), (4, 4, 4), (8, 2, 2)]
SHARES = [0.25, 0.15, 0.15, 0.05, 0.15, 0.1, 0.1, 0.05]


def run(quick: bool) -> list[dict[str, Any]]:
    """Synthetic crystals with patterns in fixed shares and elements at random."""
    return [measured(size) for size in ((1_000, 10_000) if quick else (10_000, 100_000, 1_000_000))]


def measured(size: int) -> dict[str, Any]:
    """One size; times are of one pass, in seconds but for the search."""
    rng = np.random.default_rng(0)
    arrays = synthetic(size, rng)
    begun = time.perf_counter()
    index = StructureIndex([str(i) for i in range(size)], *arrays)
    built = time.perf_counter() - begun
    files = to_files(index)
    begun = time.perf_counter()
    from_files(files)
    loaded = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(QUERIES):
        pattern = PATTERNS[rng.choice(len(PATTERNS), p=SHARES)]
        names = rng.choice(list(index_of())[:83], len(pattern), replace=False)
        index.nearest(dict(zip(map(str, names), pattern, strict=True)), 3, exclude=True)
    searched = (time.perf_counter() - begun) / QUERIES
    held = sum(array.nbytes for array in arrays)
    held += sum(g.entries.nbytes + g.rows.nbytes for g in index._groups.values())
    return {
        "structures": size,
        "sites": len(arrays[2]),
        "build s": round(built, 2),
        "load s": round(loaded, 2),
        "search ms": round(searched * 1e3, 2),
        "memory MB": round(held / 1e6, 1),
        "file MB": round(sum(map(len, files.values())) / 1e6, 1),
    }


def synthetic(
    size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lattices, offsets, elements and coordinates of ``size`` crystals."""
    which = rng.choice(len(PATTERNS), size, p=SHARES)
    widest = max(map(len, PATTERNS))
    chosen = rng.random((size, 83)).argpartition(widest, axis=1)[:, :widest]
    counts = np.array([pattern + (0,) * (widest - len(pattern)) for pattern in PATTERNS])[which]
    elements = np.repeat(chosen.ravel(), counts.ravel()).astype(np.uint8)
    offsets = np.concatenate([[0], np.cumsum(counts.sum(1))])
    lattices = np.eye(3) * rng.uniform(3, 9, (size, 1, 3))
    return lattices, offsets, elements, rng.random((len(elements), 3))
