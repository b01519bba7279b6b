"""De novo crystals: validity, coverage, property distributions, uniqueness, novelty.

After CDVAE and DiffCSP. Coverage and distributions are taken over a random sample of the valid
structures (1,000 there), everything else over all structures asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from pymatgen.core import Element
from scipy.stats import wasserstein_distance

from sciar.errors import UsageError
from sciar.evaluation.coverage import CUTOFFS, coverage, features
from sciar.evaluation.duplicates import group_duplicates, known_structures
from sciar.evaluation.inputs import CrystalLike, as_crystal, as_reference, checked_ids
from sciar.evaluation.statistics import rate, ratio
from sciar.evaluation.validity import composition_is_valid, structure_is_valid
from sciar.records import Crystal

_GRAMS_PER_CUBIC_CM = 1.66053906660  # of one dalton per cubic angstrom (CODATA 2018)


@dataclass(frozen=True)
class DenovoRow:
    """The verdict on one generated crystal.

    Attributes:
        id: identifier.
        parsed, structure_valid, composition_valid, valid: its quality; valid is both.
        first_of: id of the first generated crystal that it equals (its own if new); ``None`` if
            it did not parse.
        novel: it equals no training structure; ``None`` without a training set.
    """

    id: str
    parsed: bool
    structure_valid: bool
    composition_valid: bool
    valid: bool
    first_of: str | None
    novel: bool | None


@dataclass(frozen=True)
class DenovoResult:
    """Rows in the order of the input, and the metrics of the whole set."""

    rows: list[DenovoRow]
    sets: dict[str, Any] = field(default_factory=dict)
    bootstrap: int = 1000
    seed: int = 0

    def summary(self) -> dict[str, Any]:
        """Every rate with its counts; rates are over all structures asked for."""
        rows, draws = self.rows, {"resamples": self.bootstrap, "seed": self.seed}
        unique = [r.first_of == r.id for r in rows]
        summary: dict[str, Any] = {
            "structures": len(rows),
            "parsed": rate([r.parsed for r in rows]),
            "structure_valid": rate([r.structure_valid for r in rows], **draws),
            "composition_valid": rate([r.composition_valid for r in rows], **draws),
            "valid": rate([r.valid for r in rows], **draws),
            "unique": ratio(sum(unique), len(rows)),
        }
        if any(r.novel is not None for r in rows):
            summary["novel"] = rate([bool(r.novel) for r in rows], **draws)
            both = [u and bool(r.novel) for u, r in zip(unique, rows, strict=True)]
            summary["unique_and_novel"] = ratio(sum(both), len(rows))
            all_three = [b and r.valid for b, r in zip(both, rows, strict=True)]
            summary["valid_unique_and_novel"] = ratio(sum(all_three), len(rows))
        return {**summary, **self.sets}

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries."""
        return [asdict(row) for row in self.rows]


def density(crystal: Crystal) -> float:
    """Mass density in g/cm^3."""
    mass = sum(float(Element(s).atomic_mass) * n for s, n in crystal.composition.items())
    return mass / crystal.volume * _GRAMS_PER_CUBIC_CM


def evaluate_denovo_crystals(
    generated: Sequence[CrystalLike],
    references: Sequence[CrystalLike],
    *,
    ids: Sequence[str] | None = None,
    train: Sequence[CrystalLike] | None = None,
    cutoffs: str | tuple[float, float] = "mp_20",
    sample: int = 1000,
    jobs: int = 1,
    timeout: float | None = 60.0,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> DenovoResult:
    """Score generated crystals against a reference (test) set.

    Args:
        generated: generated structures; ``None`` is a failed one.
        references: the set whose distribution is aimed at.
        ids: identifiers of the generated structures; indices by default.
        train: training structures, for novelty.
        cutoffs: of coverage: a data set of :data:`sciar.evaluation.coverage.CUTOFFS`, or the two
            numbers (structure, composition).
        sample: valid structures drawn for coverage and distributions; 0 leaves those out.
        jobs, timeout: worker processes, and seconds per comparison or fingerprint.
        bootstrap, seed: resamples of the 95 % intervals; seed of them and of the draw.
        progress: show a progress bar.

    Raises:
        UsageError: unknown cut-offs, ids that repeat or are of the wrong number.
        RecordError: an unusable reference.
    """
    if isinstance(cutoffs, str) and cutoffs not in CUTOFFS:
        raise UsageError(
            f"no coverage cut-offs are known for {cutoffs!r}; give one of {sorted(CUTOFFS)} or "
            "two numbers"
        )
    limits = CUTOFFS[cutoffs] if isinstance(cutoffs, str) else cutoffs
    names = checked_ids(ids, len(generated))
    if len(set(names)) < len(names):
        raise UsageError("ids of generated structures repeat; give each its own")
    work: dict[str, Any] = {"jobs": jobs, "timeout": timeout, "progress": progress}
    truths = [as_reference(r, str(i)) for i, r in enumerate(references)]
    places = {i: c for i, s in enumerate(generated) if (c := as_crystal(s)) is not None}
    crystals = list(places.values())
    sound = {i: structure_is_valid(c) for i, c in places.items()}
    groups = group_duplicates(crystals, **work)
    position = list(places)
    first = {i: names[position[g]] for i, g in zip(position, groups.group, strict=True)}
    sets: dict[str, Any] = {
        "duplicate_comparisons": groups.compared,
        "duplicate_comparisons_timed_out": groups.timed_out,
    }
    novel: dict[int, bool] = {}
    if train is not None:
        usable = [c for c in map(as_crystal, train) if c is not None]
        known, compared, late = known_structures(crystals, usable, **work)
        novel = {i: not k for i, k in zip(position, known, strict=True)}
        sets["novelty_comparisons"], sets["novelty_comparisons_timed_out"] = compared, late
    rows = []
    for i, name in enumerate(names):
        neutral = i in places and composition_is_valid(places[i].composition)
        whole = sound.get(i, False)
        fresh = None if train is None else novel.get(i, False)
        rows.append(
            DenovoRow(name, i in places, whole, neutral, whole and neutral, first.get(i), fresh)
        )
    valid = [places[i] for i, row in enumerate(rows) if row.valid]
    if sample > 0:
        sets.update(_distribution(valid, truths, limits, sample, seed, work))
    return DenovoResult(rows, sets, bootstrap, seed)


def _distribution(
    valid: Sequence[Crystal],
    truths: Sequence[Crystal],
    limits: tuple[float, float],
    sample: int,
    seed: int,
    work: dict[str, Any],
) -> dict[str, Any]:
    """Coverage and Wasserstein distances of a sample of the valid structures."""
    drawn = np.random.default_rng(seed).permutation(len(valid))[:sample]
    chosen = [valid[i] for i in sorted(drawn)]
    ours, theirs = features(chosen, **work), features(truths, **work)
    result: dict[str, Any] = {
        "sampled_valid": len(chosen),
        "references": len(truths),
        "fingerprints_failed": ratio(
            ours.failed + theirs.failed, ours.requested + theirs.requested
        ),
        "fingerprints_timed_out": ratio(
            ours.timed_out + theirs.timed_out, ours.requested + theirs.requested
        ),
        **coverage(ours, theirs, limits),
    }
    result["wasserstein_density"] = result["wasserstein_elements"] = None
    if chosen and truths:
        result["wasserstein_density"] = float(
            wasserstein_distance([density(c) for c in chosen], [density(c) for c in truths])
        )
        result["wasserstein_elements"] = float(
            wasserstein_distance(
                [len(c.composition) for c in chosen], [len(c.composition) for c in truths]
            )
        )
    return result
