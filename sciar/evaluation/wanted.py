"""Wanted against obtained properties, and the bounds of EDM's protocol.

Hoogeboom et al., arXiv:2203.17003: the error of samples stands between that of an
oracle on real molecules ("L") and those of random labels ("U") and of the number of atoms alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.evaluation.properties import score_numbers


def mean_by_size(
    sizes: Sequence[int], labels: Sequence[float | None], asked: Sequence[int]
) -> list[float | None]:
    """The mean label of training structures of each size, of all for a size that never occurs.

    Args:
        sizes: atoms of N training structures.
        labels: N labels, ``None`` where nothing is known.
        asked: atoms of M structures.
    """
    known = [(n, y) for n, y in zip(sizes, labels, strict=True) if y is not None]
    if not known:
        return [None] * len(asked)
    counts, values = np.array([n for n, _ in known]), np.array([y for _, y in known])
    usual = float(values.mean())
    found = {n: float(values[counts == n].mean()) for n in set(counts.tolist())}
    return [found.get(n, usual) for n in asked]


def bounds(
    judged: Sequence[float | None],
    labels: Sequence[float | None],
    sizes: Sequence[int],
    train_labels: Sequence[float | None],
    train_sizes: Sequence[int],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Scores of what stands beside conditional samples, over the same real structures.

    Args:
        judged: N values of the oracle.
        labels: N labels, ``None`` where nothing is known.
        sizes: atoms of each.
        train_labels: labels of other structures, for the bound by the number of atoms.
        train_sizes: atoms of each.
        bootstrap: resamples of the 95 % intervals.
        seed: of the bootstrap and of the random labels.

    Returns:
        ``random`` (labels dealt out anew), ``atoms`` and ``oracle``.

    Raises:
        UsageError: lists of different lengths.
    """
    if not len(judged) == len(labels) == len(sizes):
        raise UsageError("give one value, one label and one size for each structure")
    options = {"bootstrap": bootstrap, "seed": seed}
    known = [i for i, label in enumerate(labels) if label is not None]
    dealt: list[float | None] = [None] * len(labels)
    shuffled = np.random.default_rng(seed).permutation(known)
    for i, j in zip(known, shuffled.tolist(), strict=True):
        dealt[i] = labels[j]
    by_size = mean_by_size(train_sizes, train_labels, list(sizes))
    return {
        "random": score_numbers(judged, dealt, **options),
        "atoms": score_numbers(by_size, labels, **options),
        "oracle": score_numbers(judged, labels, **options),
    }
