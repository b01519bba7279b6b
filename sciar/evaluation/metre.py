"""METRe: match everyone to reference.

When a data set holds several structures of one composition (carbon-24 is the extreme), pairing
the i-th prediction with the i-th reference punishes a model for the order of its samples. METRe
(Martirosyan et al., "All that structure matches does not glitter", 2025) compares every reference
with all predictions of its composition and keeps the best RMSE; cRMSE counts an unmatched
reference with the matcher's stol. No validity rule is applied here.

The cost grows with the square of a composition's structures: 1,624 samples against the 1,624
shared test crystals of carbon_24 are 440,000 comparisons of about 7 ms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sciar.evaluation.inputs import reduced_composition
from sciar.evaluation.matching import primitive_size, rms_distance
from sciar.evaluation.processes import ProcessMap
from sciar.records import Crystal

_BLOCK = 20_000  # pairs held in memory at once


@dataclass(frozen=True)
class MetreResult:
    """Best RMSE per reference (``None`` if unmatched) and the counts behind it."""

    rmse: list[float | None]
    pairs: int
    timed_out: int
    failed: int


def candidate_pairs(
    predictions: Sequence[Crystal],
    references: Sequence[Crystal],
    *,
    jobs: int = 1,
    timeout: float | None = None,
    progress: bool = True,
) -> list[tuple[int, int]]:
    """(prediction, reference) indices that could match: equal reduced composition, and equally
    many atoms in the primitive cell. A structure whose cell cannot be reduced matches nothing.
    """
    with ProcessMap(primitive_size, jobs=jobs, timeout=timeout) as pool:
        sizes = pool.map([*predictions, *references], description="cells", progress=progress)
    keys = [
        None if size.value is None else (reduced_composition(c), size.value)
        for c, size in zip([*predictions, *references], sizes, strict=True)
    ]
    by_key = defaultdict(list)
    for i, key in enumerate(keys[: len(predictions)]):
        by_key[key].append(i)
    by_key.pop(None, None)
    offset = len(predictions)
    return [(i, r) for r in range(len(references)) for i in by_key.get(keys[offset + r], ())]


def match_everyone(
    predictions: Sequence[Crystal],
    references: Sequence[Crystal],
    *,
    jobs: int = 1,
    timeout: float | None = None,
    progress: bool = True,
) -> MetreResult:
    """Best RMSE of each reference over all predictions; see the module's description."""
    pairs = candidate_pairs(predictions, references, jobs=jobs, timeout=timeout, progress=progress)
    best: list[float | None] = [None] * len(references)
    timed_out = failed = 0
    with ProcessMap(rms_distance, jobs=jobs, timeout=timeout) as pool:
        for start in range(0, len(pairs), _BLOCK):
            block = pairs[start : start + _BLOCK]
            label = f"METRe {start // _BLOCK + 1}/{-(-len(pairs) // _BLOCK)}"
            items = [(predictions[i], references[r]) for i, r in block]
            outcomes = pool.map(items, description=label, progress=progress)
            for (_, r), outcome in zip(block, outcomes, strict=True):
                timed_out += outcome.timed_out
                failed += outcome.error is not None
                known = best[r]
                if outcome.value is not None and (known is None or outcome.value < known):
                    best[r] = outcome.value
    return MetreResult(best, len(pairs), timed_out, failed)


def match_polymorphs(
    groups: Sequence[Sequence[Crystal | None]],
    references: Sequence[Crystal],
    known: Sequence[Crystal] = (),
    *,
    jobs: int = 1,
    timeout: float | None = None,
    progress: bool = True,
) -> MetreResult:
    """Best RMSE of each reference's own predictions over all known polymorphs.

    Polymorphs of a reference are itself, the other references and the known structures of its
    composition. A prediction may so be right although it is not the structure that was asked for;
    unlike METRe, the predictions for other references do not count.

    Args:
        groups: predictions of each reference.
        references: the structures asked for.
        known: further structures, such as those of the training part.
        jobs, timeout, progress: of the comparisons.
    """
    owners = [i for i, group in enumerate(groups) for p in group if p is not None]
    flat = [p for group in groups for p in group if p is not None]
    asked = {reduced_composition(c) for c in references}
    polymorphs = [*references, *(c for c in known if reduced_composition(c) in asked)]
    pairs = candidate_pairs(flat, polymorphs, jobs=jobs, timeout=timeout, progress=progress)
    wanted = [reduced_composition(c) for c in references]
    pairs = [(i, p) for i, p in pairs if wanted[owners[i]] == reduced_composition(polymorphs[p])]
    best: list[float | None] = [None] * len(references)
    timed_out = failed = 0
    with ProcessMap(rms_distance, jobs=jobs, timeout=timeout) as pool:
        for start in range(0, len(pairs), _BLOCK):
            block = pairs[start : start + _BLOCK]
            items = [(flat[i], polymorphs[p]) for i, p in block]
            outcomes = pool.map(items, description="polymorphs", progress=progress)
            for (i, _), outcome in zip(block, outcomes, strict=True):
                timed_out += outcome.timed_out
                failed += outcome.error is not None
                before = best[owners[i]]
                if outcome.value is not None and (before is None or outcome.value < before):
                    best[owners[i]] = outcome.value
    return MetreResult(best, len(pairs), timed_out, failed)
