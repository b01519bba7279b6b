"""How sure a model says it is, and whether it was right: the pairs behind a reliability plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sciar.api.answers import Answer

Pairs = tuple[np.ndarray, np.ndarray]


def of_classes(truth: Iterable[Any], made: Iterable[Answer]) -> Pairs:
    """(n,) confidence of each answer, and (n,) whether it is the label."""
    pairs = [
        (p.confidence, p.value == t)
        for t, p in zip(truth, made, strict=True)
        if p.ok and p.confidence is not None
    ]
    return _arrays(pairs)


def of_residues(
    truth: Iterable[Sequence[str]], masks: Iterable[str], made: Iterable[Answer]
) -> Pairs:
    """(n,) confidence of each residue's class, and (n,) whether it is right, where labels count."""
    pairs = []
    for labels, mask, p in zip(truth, masks, made, strict=True):
        if p.ok and isinstance(p.scores, list):
            rows = zip(p.scores, p.value, labels, mask, strict=True)
            pairs += [(sure, said == label) for sure, said, label, seen in rows if seen == "1"]
    return _arrays(pairs)


def of_members(truth: Iterable[Iterable[Any]], made: Iterable[Answer]) -> Pairs:
    """(n,) chance of each possible member of a list, and (n,) whether it is one."""
    pairs = []
    for members, p in zip(truth, made, strict=True):
        if p.ok and isinstance(p.scores, dict):
            known = set(members)
            pairs += [(chance, member in known) for member, chance in p.scores.items()]
    return _arrays(pairs)


def _arrays(pairs: list[tuple[float, bool]]) -> Pairs:
    sure = np.array([s for s, _ in pairs], dtype=np.float64)
    return np.clip(sure, 0.0, 1.0), np.array([r for _, r in pairs], dtype=bool)
