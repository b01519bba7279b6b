"""Patterns of counts: which cells can stand for each other when their elements are exchanged.

The pattern of a cell is the list of its counts in falling order, so Na4Cl4 and Mg4O4 share (4, 4).
Its reduced pattern is divided by the common divisor; cells of one reduced pattern have one
anonymous formula (AB, A2B, ...).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import permutations
from math import factorial, gcd

import numpy as np

from sciar.errors import UsageError
from sciar.retrieval.elements import index_of, property_columns

Pattern = tuple[int, ...]

PERMUTATION_LIMIT = 5040
"""Above this many ways to pair elements of equal counts, only the order by Mendeleev number is
tried (eight or more elements of one count)."""


def ordered(composition: Mapping[str, int]) -> tuple[Pattern, np.ndarray]:
    """Counts in falling order, and (m,) element rows in that order (ties by Mendeleev number).

    Raises:
        UsageError: an unknown element, or a count below 1.
    """
    unknown = [s for s in composition if s not in index_of()]
    if unknown:
        raise UsageError(f"unknown element {unknown[0]!r}; give symbols such as Na or Cl")
    if not composition or any(n < 1 for n in composition.values()):
        raise UsageError("a composition needs at least one element, each with a count of 1 or more")
    mendeleev = property_columns()["mendeleev"]
    items = [(n, index_of()[s]) for s, n in composition.items()]
    items.sort(key=lambda item: (-item[0], mendeleev[item[1]], item[1]))
    return tuple(n for n, _ in items), np.array([row for _, row in items])


def reduced(pattern: Pattern) -> Pattern:
    """The pattern divided by the greatest common divisor of its counts."""
    divisor = reduce(gcd, pattern)
    return tuple(n // divisor for n in pattern)


def anonymous(pattern: Iterable[int]) -> str:
    """A pattern as it is written: ``(3, 1, 1)`` is ``A3BC``."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "".join(
        f"{letters[i % 26]}{i // 26 or ''}{n if n > 1 else ''}" for i, n in enumerate(pattern)
    )


def counted(offsets: np.ndarray, elements: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elements of many cells, each in the order of :func:`ordered`.

    Args:
        offsets: (N + 1,) where the sites of each of N cells begin.
        elements: (sites,) element rows.

    Returns:
        (N + 1,) where the elements of each cell begin, and for each of them its row and count.
    """
    cells = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    width = len(index_of())
    codes, counts = np.unique(cells * width + elements, return_counts=True)
    cell, row = codes // width, codes % width
    order = np.lexsort((row, property_columns()["mendeleev"][row], -counts, cell))
    starts = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(offsets) - 1))])
    return starts, row[order], counts[order]


def best_assignment(
    pattern: Pattern, wanted: np.ndarray, rows: np.ndarray, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cheapest way to put the wanted elements in the places of those of each row.

    Elements of equal counts may be exchanged, others may not, so blocks of equal counts are
    independent of each other.

    Args:
        pattern: m counts in falling order.
        wanted: (m,) element rows, in the order of the pattern.
        rows: (n, m) elements of known structures, in the order of the pattern.
        distances: (elements, elements) dissimilarities.

    Returns:
        (n,) mean dissimilarity over the atoms, and (n, m) the wanted elements by place.
    """
    counts = np.array(pattern)
    weights = counts / counts.sum()
    total = np.zeros(len(rows))
    assigned = np.empty(rows.shape, dtype=np.int64)
    for count in sorted(set(pattern), reverse=True):
        block = np.flatnonzero(counts == count)
        tries = (
            [wanted[block]]
            if factorial(len(block)) > PERMUTATION_LIMIT
            else [np.array(order) for order in permutations(wanted[block])]
        )
        best = np.full(len(rows), np.inf)
        for order in tries:
            costs = distances[rows[:, block], order] @ weights[block]
            better = costs < best - 1e-12
            best[better] = costs[better]
            assigned[np.ix_(better, block)] = order
        total += best
    return total, assigned
