"""Crystal structure prediction: match rate and RMSE, k of n, with and without the validity rule.

The rule of DiffCSP (Jiao et al., arXiv:2309.04475): ``StructureMatcher`` with ltol 0.3, stol 0.5,
angle_tol 10; an invalid prediction (structure or composition) counts as unmatched; with one
sample per composition the reference must be valid too, with several it need not be. A reference
is matched if any of its k predictions matches; its RMSE is the smallest of them; the mean RMSE is
taken over matched references only. Both readings, with validity and without, are reported.

One difference: DiffCSP also calls a prediction invalid when matminer's CrystalNN fingerprint of
it cannot be computed. That is a property of the fingerprint, and it is not applied here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sciar.errors import UsageError
from sciar.evaluation.inputs import CrystalLike, as_crystal, as_reference, checked_ids
from sciar.evaluation.matching import CSP_TOLERANCES, rms_distance
from sciar.evaluation.metre import MetreResult, match_everyone, match_polymorphs
from sciar.evaluation.processes import Outcome, ProcessMap
from sciar.evaluation.statistics import mean, rate, ratio
from sciar.evaluation.validity import is_valid
from sciar.records import Crystal


@dataclass(frozen=True)
class CSPRow:
    """The verdict on one reference.

    Attributes:
        id: identifier of the reference.
        matched, rmse: without the validity rule; ``rmse`` is ``None`` if unmatched.
        matched_valid, rmse_valid: with DiffCSP's validity rule.
        reference_valid: whether the reference passes the validity rule.
        requested, parsed, valid: predictions asked for, usable as structures, and valid.
        timed_out, failed: comparisons that took too long, or raised an error.
    """

    id: str
    matched: bool
    rmse: float | None
    matched_valid: bool
    rmse_valid: float | None
    reference_valid: bool
    requested: int
    parsed: int
    valid: int
    timed_out: int
    failed: int


@dataclass(frozen=True)
class CSPResult:
    """Rows in the order of the references, and how intervals are to be drawn.

    Attributes:
        rows: one a reference.
        k: predictions used of each.
        bootstrap, seed: of the intervals.
        metre: if every reference was matched against all predictions of its composition.
        polymorphs: if predictions were also matched against all known polymorphs.
        strata: name of a division -> group of each reference.
    """

    rows: list[CSPRow]
    k: int
    bootstrap: int
    seed: int
    metre: MetreResult | None = None
    polymorphs: MetreResult | None = None
    strata: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Every rate with its counts; ``crmse`` counts an unmatched reference as stol (0.5)."""
        rows = self.rows
        requested = sum(r.requested for r in rows)
        parsed = sum(r.parsed for r in rows)
        summary: dict[str, Any] = {
            "references": len(rows),
            "k": self.k,
            "predictions_requested": requested,
            "predictions_parsed": ratio(parsed, requested),
            "predictions_valid": ratio(sum(r.valid for r in rows), requested),
            "references_valid": rate([r.reference_valid for r in rows]),
            "comparisons_timed_out": ratio(sum(r.timed_out for r in rows), parsed),
            "comparisons_failed": ratio(sum(r.failed for r in rows), parsed),
            "with_validity": self._scores([r.rmse_valid for r in rows]),
            "without_validity": self._scores([r.rmse for r in rows]),
        }
        pairwise = {
            "match_everyone_to_reference": self.metre,
            "any_known_polymorph": self.polymorphs,
        }
        for name, found in pairwise.items():
            if found is not None:
                summary[name] = {
                    "pairs_compared": found.pairs,
                    "pairs_timed_out": found.timed_out,
                    "pairs_failed": found.failed,
                    **self._scores(found.rmse),
                }
        for division, groups in self.strata.items():
            for group in sorted(set(groups)):
                inside = [i for i, name in enumerate(groups) if name == group]
                summary[f"{division}_{group}".replace(" ", "_")] = self._part(inside)
        return summary

    def _part(self, inside: Sequence[int]) -> dict[str, Any]:
        """The scores of some references alone."""
        part: dict[str, Any] = {"references": len(inside)}
        part["with_validity"] = self._scores([self.rows[i].rmse_valid for i in inside])
        part["without_validity"] = self._scores([self.rows[i].rmse for i in inside])
        if self.polymorphs is not None:
            part["any_known_polymorph"] = self._scores([self.polymorphs.rmse[i] for i in inside])
        return part

    def _scores(self, rmse: Sequence[float | None]) -> dict[str, Any]:
        draws = {"resamples": self.bootstrap, "seed": self.seed}
        stol = CSP_TOLERANCES[1]
        return {
            "match_rate": rate([v is not None for v in rmse], **draws),
            "rmse": mean(rmse, **draws),
            "crmse": mean([stol if v is None else v for v in rmse], **draws),
        }

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, for a table or a JSON file."""
        found = [asdict(row) for row in self.rows]
        for division, groups in self.strata.items():
            for row, group in zip(found, groups, strict=True):
                row[division] = group
        return found


def evaluate_csp(
    predictions: Sequence[Sequence[CrystalLike]],
    references: Sequence[CrystalLike],
    *,
    ids: Sequence[str] | None = None,
    k: int | None = None,
    jobs: int = 1,
    timeout: float | None = 60.0,
    bootstrap: int = 1000,
    seed: int = 0,
    metre: bool = False,
    known: Sequence[Crystal] | None = None,
    strata: Mapping[str, Sequence[str]] | None = None,
    progress: bool = True,
) -> CSPResult:
    """Score predicted crystals against their references.

    Args:
        predictions: per reference, its predictions in order; ``None`` is a failed one.
        references: the true structures.
        ids: identifiers of the references; their indices by default.
        k: predictions used per reference (the first k); by default the longest list's length.
            A list shorter than k counts as failed predictions.
        jobs: worker processes. The numbers do not depend on it.
        timeout: seconds for one comparison; beyond, its process is killed and the pair is
            counted as unmatched and as timed out. ``None`` waits.
        bootstrap: resamples for the 95 % intervals, 0 for none.
        seed: of the bootstrap.
        metre: also match every reference against all predictions of its composition.
        known: also match predictions against all references and these structures of their
            composition; an empty list takes the references alone.
        strata: name of a division -> group of each reference, scored apart too
            (:mod:`sciar.evaluation.strata`).
        progress: show a progress bar.

    Raises:
        UsageError: lists of different lengths, or k below 1.
        RecordError: a reference that is missing or unusable.
    """
    if len(predictions) != len(references):
        raise UsageError(
            f"{len(predictions)} lists of predictions for {len(references)} references; give one "
            "list per reference, with None for a failed prediction"
        )
    names = checked_ids(ids, len(references))
    size = max((len(p) for p in predictions), default=1) if k is None else k
    if size < 1:
        raise UsageError("k must be at least 1: nothing was predicted for any reference")
    for division, groups in (strata or {}).items():
        if len(groups) != len(references):
            raise UsageError(f"{division}: {len(groups)} groups for {len(references)} references")
    truths = [as_reference(r, name) for r, name in zip(references, names, strict=True)]
    parsed = [[as_crystal(p) for p in group[:size]] for group in predictions]
    outcomes = _compare(parsed, truths, jobs, timeout, progress)
    rows = [
        _row(name, truth, group, found, size)
        for name, truth, group, found in zip(names, truths, parsed, outcomes, strict=True)
    ]
    everyone = None
    if metre:
        pool = [p for group in parsed for p in group if p is not None]
        everyone = match_everyone(pool, truths, jobs=jobs, timeout=timeout, progress=progress)
    polymorphs = None
    if known is not None:
        polymorphs = match_polymorphs(
            parsed, truths, known, jobs=jobs, timeout=timeout, progress=progress
        )
    return CSPResult(rows, size, bootstrap, seed, everyone, polymorphs, dict(strata or {}))


def _compare(
    parsed: list[list[Crystal | None]],
    truths: list[Crystal],
    jobs: int,
    timeout: float | None,
    progress: bool,
) -> list[list[Outcome | None]]:
    """One outcome per prediction; ``None`` where there was nothing to compare."""
    places = [(i, j) for i, group in enumerate(parsed) for j, p in enumerate(group) if p]
    pairs = [(parsed[i][j], truths[i]) for i, j in places]
    with ProcessMap(rms_distance, jobs=jobs, timeout=timeout) as pool:
        found = pool.map(pairs, description="matching", progress=progress)
    table: list[list[Outcome | None]] = [[None] * len(group) for group in parsed]
    for (i, j), outcome in zip(places, found, strict=True):
        table[i][j] = outcome
    return table


def _best(values: Sequence[float | None]) -> float | None:
    return min((v for v in values if v is not None), default=None)


def _row(
    name: str,
    truth: Crystal,
    group: Sequence[Crystal | None],
    outcomes: Sequence[Outcome | None],
    k: int,
) -> CSPRow:
    valid = [p is not None and is_valid(p) for p in group]
    truth_valid = is_valid(truth)
    distances = [o.value if o is not None else None for o in outcomes]
    allowed = [d if v else None for d, v in zip(distances, valid, strict=True)]
    raw = _best(distances)
    ruled = _best(allowed) if truth_valid or k > 1 else None
    return CSPRow(
        id=name,
        matched=raw is not None,
        rmse=raw,
        matched_valid=ruled is not None,
        rmse_valid=ruled,
        reference_valid=truth_valid,
        requested=k,
        parsed=sum(p is not None for p in group),
        valid=sum(valid),
        timed_out=sum(o is not None and o.timed_out for o in outcomes),
        failed=sum(o is not None and o.error is not None for o in outcomes),
    )
