"""Known structures and rankings of ``sciar generate``: what is said, and what the report shows."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sciar.errors import UsageError

if TYPE_CHECKING:
    from sciar.api import Model, Sample
    from sciar.api.candidates import Candidate, RankOptions
    from sciar.api.model import Samples
    from sciar.evaluation.report import Section

_LISTED = 10
"""Records and compositions that are named one by one."""


def rank_options(
    rank: str, potential: str, options: dict[str, Any] | None, relax: int, jobs: int = 1
) -> RankOptions:
    """From the command line.

    Raises:
        UsageError: a potential without a ranking.
    """
    from sciar.api.candidates import RankOptions

    if potential and not rank:
        raise UsageError("--potential is for ranking: say --rank energy, both or likelihood")
    return RankOptions(potential, options or {}, relax, jobs=jobs, progress=False)


def know(model: Model, known: str) -> None:
    """Take templates from the structures of a source; those of no use are listed."""
    if not known:
        return
    failures = model.know(known)
    index = model.tokenizer.index  # type: ignore[attr-defined]
    print(f"known structures: {len(index):,} of {known}", file=sys.stderr)
    if failures:
        print(f"{len(failures):,} records are no use and left out:", file=sys.stderr)
        for failure in failures[:_LISTED]:
            print(f"  {failure.error}", file=sys.stderr)
        if len(failures) > _LISTED:
            print(f"  and {len(failures) - _LISTED:,} more", file=sys.stderr)


def announce(samples: Samples) -> None:
    """Which templates each composition has, and which ones have none."""
    told = [p.request for p in samples.prompts if p.request is not None]
    told = [r for r in told if "retrieved" in r.constraints]
    alone = [r.id for r in told if not r.constraints["retrieved"] and r.constraints["free"]]
    if alone:
        more = f" and {len(alone) - _LISTED:,} more" if len(alone) > _LISTED else ""
        print(
            f"generated freely, no known structure has the counts of: "
            f"{', '.join(alone[:_LISTED])}{more}",
            file=sys.stderr,
        )
    if len(told) > _LISTED:
        print(f"templates for {len(told) - len(alone):,} of {len(told):,} inputs", file=sys.stderr)
        return
    for request in told:
        for hit in request.constraints["retrieved"]:
            print(f"{request.id}: {_hit_line(hit)}", file=sys.stderr)


def _hit_line(hit: Any) -> str:
    changes = ", ".join(f"{old} to {new}" for old, new in hit.exchange if old != new)
    cells = f", {hit.repeat} cells" if hit.repeat > 1 else ""
    return f"template {hit.id} ({hit.formula}{cells}), distance {hit.distance:.3g}" + (
        f", {changes}" if changes else ", the same elements"
    )


def samples_of(candidates: Sequence[Candidate], rank: str) -> list[Sample]:
    """What is written: the samples in order, relaxed where energies rank them."""
    return [
        c.sample if rank == "likelihood" or not _settled(c) else _relaxed(c) for c in candidates
    ]


def _settled(candidate: Candidate) -> bool:
    return candidate.relaxation is not None and candidate.relaxation.crystal is not None


def _relaxed(candidate: Candidate) -> Sample:
    from sciar.api.inputs import RELAXED

    sample = candidate.sample
    notes = {**sample.notes, "geometry": RELAXED}
    return replace(sample, record=candidate.crystal, notes=notes)


def summary(candidates: Sequence[Candidate]) -> str:
    """One line: samples, distinct ones, relaxations by what became of them."""
    made = [c for c in candidates if c.sample.record is not None]
    distinct = [c for c in made if not c.duplicate_of]
    line = f"candidates: {len(distinct):,} distinct of {len(made):,} structures"
    outcomes: dict[str, int] = defaultdict(int)
    for candidate in candidates:
        if candidate.relaxation is not None:
            outcomes[candidate.relaxation.status] += 1
    if outcomes:
        line += "; relaxations: " + ", ".join(f"{n:,} {name}" for name, n in outcomes.items())
    return line


def sections(samples: Samples, candidates: Sequence[Candidate], rank: str) -> list[Section]:
    """Budgets, what was retrieved, and the candidates of each composition side by side."""
    from sciar.evaluation.sections import Shown, gallery

    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.sample.input].append(candidate)
    found: list[Section] = [_budgets(groups), *_retrieved(samples)]
    for name, group in groups.items():
        shown = [
            Shown(
                c.sample.id,
                None if c.duplicate_of else c.crystal,
                "duplicate" if c.duplicate_of else c.sample.status,
                c.sample.message or (f"equals {c.duplicate_of}" if c.duplicate_of else ""),
                _facts(c),
            )
            for c in group
        ]
        found.append(gallery(f"Candidates for {name}, by {rank}", shown))
    return found


def _facts(candidate: Candidate) -> dict[str, str]:
    facts = {f"rank by {name}": str(place) for name, place in candidate.ranks.items()}
    relaxation, nearest = candidate.relaxation, candidate.nearest
    if relaxation is not None:
        energy = "none" if relaxation.energy is None else f"{relaxation.energy:.4f} eV/atom"
        facts["energy"] = energy
        facts["relaxation"] = f"{relaxation.status}, {relaxation.steps} steps"
        if relaxation.message:
            facts["relaxation"] += f": {relaxation.message}"
    if nearest is not None:
        facts["nearest known"] = nearest.line()
    if candidate.sample.logp is not None:
        facts["log p"] = f"{candidate.sample.logp:.2f}"
    return facts


def _budgets(groups: dict[str, list[Candidate]]) -> Section:
    from sciar.evaluation.report import Table

    columns = [
        "composition",
        "samples",
        "structures",
        "distinct",
        "relaxations",
        "steps",
        "seconds",
    ]
    rows: list[list[object]] = []
    for name, group in groups.items():
        relaxations = [c.relaxation for c in group if c.relaxation is not None]
        made = [c for c in group if c.sample.record is not None]
        rows.append(
            [
                name,
                len(group),
                len(made),
                sum(not c.duplicate_of for c in made),
                len(relaxations),
                sum(r.steps for r in relaxations),
                round(sum(r.seconds for r in relaxations), 1),
            ]
        )
    note = "Steps and seconds are those of the relaxations; duplicates are not relaxed."
    return Table("Budgets", columns, rows, note)


def _retrieved(samples: Samples) -> list[Section]:
    from sciar.evaluation.report import Table

    rows: list[list[object]] = []
    for prompt in samples.prompts:
        if prompt.request is None or "retrieved" not in prompt.request.constraints:
            continue
        hits = prompt.request.constraints["retrieved"]
        for hit in hits:
            changes = ", ".join(f"{old} → {new}" for old, new in hit.exchange if old != new)
            rows.append([prompt.id, hit.id, hit.formula, hit.distance, changes or "none"])
        if not hits:
            rows.append([prompt.id, "none: generated freely", "", None, ""])
    columns = ["composition", "known structure", "cell", "distance", "elements exchanged"]
    note = "Distance: mean dissimilarity of the exchanged elements, 0 for the same ones."
    return [Table("Templates", columns, rows, note)] if rows else []
