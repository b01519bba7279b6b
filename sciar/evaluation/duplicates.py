"""Which crystals of a set are the same structure, and which are known already."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from sciar.evaluation.inputs import reduced_composition
from sciar.evaluation.matching import primitive_size, same_structure
from sciar.evaluation.metre import candidate_pairs
from sciar.evaluation.processes import ProcessMap
from sciar.records import Crystal


@dataclass(frozen=True)
class Groups:
    """Attributes:
    group: per crystal, the index of the first crystal that it equals (itself if new).
    compared, timed_out, failed: numbers of comparisons.
    """

    group: list[int]
    compared: int
    timed_out: int
    failed: int


def group_duplicates(
    crystals: Sequence[Crystal],
    *,
    apart: Sequence[Hashable] | None = None,
    jobs: int = 1,
    timeout: float | None = 60.0,
    progress: bool = True,
) -> Groups:
    """Group equal structures as ``StructureMatcher.group_structures`` does, in parallel.

    In each round the first ungrouped crystal of every formula is compared with all ungrouped ones
    after it. Only crystals of one reduced formula and one number of atoms in the primitive cell
    are compared. Tolerances are pymatgen's defaults. With ``apart``, one key a crystal, those of
    different keys are never compared.
    """
    keys = [None] * len(crystals) if apart is None else apart
    with ProcessMap(primitive_size, jobs=jobs, timeout=timeout) as pool:
        sizes = pool.map(crystals, description="cells", progress=progress)
    waiting: dict[object, list[int]] = {}
    for i, (crystal, size) in enumerate(zip(crystals, sizes, strict=True)):
        key = i if size.value is None else (keys[i], reduced_composition(crystal), size.value)
        waiting.setdefault(key, []).append(i)
    group = list(range(len(crystals)))
    compared = timed_out = failed = 0
    with ProcessMap(same_structure, jobs=jobs, timeout=timeout) as pool:
        while True:
            pairs = [(m[0], other) for m in waiting.values() for other in m[1:]]
            if not pairs:
                return Groups(group, compared, timed_out, failed)
            items = [(crystals[i], crystals[j]) for i, j in pairs]
            outcomes = pool.map(items, description="duplicates", progress=progress)
            for (first, other), outcome in zip(pairs, outcomes, strict=True):
                if outcome.value:
                    group[other] = first
            compared += len(pairs)
            timed_out += sum(o.timed_out for o in outcomes)
            failed += sum(o.error is not None for o in outcomes)
            waiting = {k: [i for i in m[1:] if group[i] == i] for k, m in waiting.items()}


def known_structures(
    crystals: Sequence[Crystal],
    train: Sequence[Crystal],
    *,
    jobs: int = 1,
    timeout: float | None = 60.0,
    progress: bool = True,
) -> tuple[list[bool], int, int]:
    """Per crystal, whether it equals a training structure; numbers of comparisons and time-outs."""
    formulas = {reduced_composition(c) for c in crystals}
    relevant = [t for t in train if reduced_composition(t) in formulas]
    pairs = candidate_pairs(crystals, relevant, jobs=jobs, timeout=timeout, progress=progress)
    with ProcessMap(same_structure, jobs=jobs, timeout=timeout) as pool:
        items = [(crystals[i], relevant[j]) for i, j in pairs]
        outcomes = pool.map(items, description="novelty", progress=progress)
    known = [False] * len(crystals)
    for (i, _), outcome in zip(pairs, outcomes, strict=True):
        known[i] |= bool(outcome.value)
    return known, len(pairs), sum(o.timed_out for o in outcomes)
