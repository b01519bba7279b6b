"""Candidates for a composition: samples without duplicates, ranked by likelihood, energy or both.

Ranking is a step after the drawing. Every sample keeps its row, with its rank under each ranking,
what became of its relaxation, the candidate that it repeats, and the nearest known structure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sciar.api.ranking import score
from sciar.api.samples import Sample
from sciar.errors import UsageError
from sciar.records import Crystal
from sciar.tokenization.crystal_retrieval import RetrievalCrystalTokenizer

if TYPE_CHECKING:
    from sciar.api.model import Model
    from sciar.evaluation.potentials import Relaxation
    from sciar.retrieval.index import Hit, StructureIndex

RANKINGS = ("likelihood", "energy", "both")
COMPARED = 10
"""Known structures that each candidate is compared with."""
_SAME = 1e-3
"""Distances that agree within this: the known structure of more similar elements is named."""


@dataclass(frozen=True)
class RankOptions:
    """How candidates are relaxed and compared.

    Attributes:
        potential: ``chgnet``, or the import path of an ASE calculator; "" ranks by likelihood.
        potential_options: arguments of the calculator.
        steps: of the relaxation; 0 takes energies of the samples as they are.
        fmax: largest force of a relaxed crystal, eV per angstrom.
        jobs: worker processes of the comparisons.
        timeout: seconds for one comparison.
        progress: show progress bars.
    """

    potential: str = ""
    potential_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 200
    fmax: float = 0.05
    jobs: int = 1
    timeout: float | None = 60.0
    progress: bool = False


@dataclass(frozen=True)
class Nearest:
    """The known structure that is most like a candidate.

    Attributes:
        id: of the known structure.
        formula: content of its cell, before its elements are exchanged.
        distance: RMS displacement over (V/n)^(1/3); ``None`` where none of those compared matches.
        compared: how many were compared.
    """

    id: str
    formula: str
    distance: float | None
    compared: int

    def line(self) -> str:
        """For a reader."""
        if not self.compared:
            return "nothing known of this pattern"
        if self.distance is None:
            return f"no match among the {self.compared} nearest"
        return f"{self.id} ({self.formula}), {self.distance:.3f}"


@dataclass(frozen=True, eq=False)
class Candidate:
    """One sample with its places.

    Attributes:
        sample: as it was drawn, the facts of this class among its notes.
        ranks: ranking -> place among the distinct candidates of its composition, from 1.
        duplicate_of: id of the candidate that it repeats, "" if it is the first of its kind.
        relaxation: what the potential made of it, if it was asked.
        nearest: known structure nearest to the sample as drawn; ``None`` for duplicates, without a
            structure, and for models that know none.
    """

    sample: Sample
    ranks: Mapping[str, int] = field(default_factory=dict)
    duplicate_of: str = ""
    relaxation: Relaxation | None = None
    nearest: Nearest | None = None

    @property
    def crystal(self) -> Crystal | None:
        """The relaxed crystal, or the sample where there is none."""
        if self.relaxation is not None and self.relaxation.crystal is not None:
            return self.relaxation.crystal
        return _drawn(self.sample)

    def facts(self) -> dict[str, Any]:
        """Everything but structures, in plain types."""
        found: dict[str, Any] = {f"rank_{name}": place for name, place in self.ranks.items()}
        if self.duplicate_of:
            found["duplicate_of"] = self.duplicate_of
        if self.relaxation is not None:
            about = self.relaxation
            found |= {"relaxation": about.status, "relaxation_steps": about.steps}
            found |= {"relaxation_seconds": round(about.seconds, 3)}
            if about.energy is not None:
                found["energy_per_atom"] = about.energy
            if about.message:
                found["relaxation_message"] = about.message
        if self.nearest is not None:
            found["nearest_known"] = self.nearest.line()
            if self.nearest.distance is not None:
                found["nearest_known_id"] = self.nearest.id
                found["nearest_known_distance"] = self.nearest.distance
        return found


def check_rank(model: Model, rank: str, options: RankOptions) -> Callable[[], Any] | None:
    """The maker of calculators that a ranking needs, before work begins.

    Raises:
        UsageError: an unknown ranking, one by energy without a potential, a potential that is not
            there, or a model whose samples have no likelihood.
    """
    if rank not in RANKINGS:
        raise UsageError(f"rank {rank!r} is none of {', '.join(RANKINGS)}")
    if model.tokenizer.makes != ("crystals",):
        raise UsageError(f"{model.name} makes no crystals; only these are ranked as candidates")
    if rank != "energy":
        model.rank_basis()
    if options.steps < 0 or options.fmax <= 0:
        raise UsageError("a relaxation has 0 steps or more, and a largest force above 0")
    name = options.potential or ("chgnet" if rank != "likelihood" else "")
    if not name:
        return None
    from sciar.evaluation.potentials import potential

    return potential(name, options.potential_options)


def ranked_candidates(
    model: Model,
    samples: Sequence[Sample],
    rank: str,
    options: RankOptions,
    stop: Callable[[], bool] = lambda: False,
) -> list[Candidate]:
    """Compare, relax and rank the samples of a run, composition by composition.

    Args:
        model: that drew them.
        samples: with log-likelihoods.
        rank: decides the order of what is returned; all ranks that can be told are.
        options: of relaxation and comparison.
        stop: asked before each relaxation; once it says so, no further one is begun.

    Returns:
        One candidate a sample; of each composition the best first, then duplicates, then failures.
    """
    maker = check_rank(model, rank, options)
    tokenizer = model.tokenizer
    index = tokenizer.index if isinstance(tokenizer, RetrievalCrystalTokenizer) else None
    # The likeliest of equal samples stands for them.
    able = [s for s in samples if _drawn(s) is not None]
    able.sort(key=lambda s: (-score(s, "atom"), s.index))
    repeats = _repeats(able, [_drawn(s) for s in able], options)
    distinct = [s for s in able if s.id not in repeats]
    relaxations = {} if maker is None else _relaxations(distinct, maker, options, stop)
    merged = _after_relaxation(distinct, relaxations, options)
    nearest = _nearest(distinct, index, options)
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.input].append(sample)
    found: list[Candidate] = []
    for group in groups.values():
        own = [s for s in group if s.id in nearest]
        ranks = _ranks(own, [s for s in own if s.id not in merged], relaxations)
        placed = [
            Candidate(
                sample,
                ranks.get(sample.id, {}),
                repeats.get(sample.id, "") or merged.get(sample.id, ""),
                relaxations.get(sample.id),
                nearest.get(sample.id),
            )
            for sample in group
        ]
        found += sorted(placed, key=lambda c: _order(c, rank))
    return [replace(c, sample=_noted(c)) for c in found]


def _drawn(sample: Sample) -> Crystal | None:
    structure = sample.record
    return structure if isinstance(structure, Crystal) else None


def _noted(candidate: Candidate) -> Sample:
    return replace(candidate.sample, notes={**candidate.sample.notes, **candidate.facts()})


def _order(candidate: Candidate, rank: str) -> tuple[int, int, int]:
    """Ranked ones by their place, then distinct ones that could not be ranked, then the rest."""
    place = candidate.ranks.get(rank)
    if place is not None:
        return 0, place, candidate.sample.index
    kind = 3 if _drawn(candidate.sample) is None else 2 if candidate.duplicate_of else 1
    return kind, 0, candidate.sample.index


def _relaxations(
    samples: Sequence[Sample],
    maker: Callable[[], Any],
    options: RankOptions,
    stop: Callable[[], bool],
) -> dict[str, Relaxation]:
    """What the potential makes of each sample, by id."""
    from sciar.evaluation.potentials import relaxed

    found: dict[str, Relaxation] = {}
    calculator = maker() if samples else None
    for sample in samples:
        if stop():
            break
        crystal = _drawn(sample)
        assert crystal is not None
        made = relaxed(crystal, calculator, steps=options.steps, fmax=options.fmax)
        if made.crystal is None:
            # An error may leave a calculator half set up, and the next crystal must not see it.
            calculator = maker()
        found[sample.id] = made
    return found


def _repeats(
    samples: Sequence[Sample], crystals: Sequence[Crystal | None], options: RankOptions
) -> dict[str, str]:
    """Id of a sample -> id of the earlier one of its input that it equals."""
    from sciar.evaluation.duplicates import group_duplicates

    if len(samples) < 2:
        return {}
    work = {"jobs": options.jobs, "timeout": options.timeout, "progress": options.progress}
    inputs = [s.input for s in samples]
    known = [c for c in crystals if c is not None]
    groups = group_duplicates(known, apart=inputs, **work)  # type: ignore[arg-type]
    return {samples[i].id: samples[first].id for i, first in enumerate(groups.group) if first != i}


def _after_relaxation(
    samples: Sequence[Sample], relaxations: Mapping[str, Relaxation], options: RankOptions
) -> dict[str, str]:
    """Those that became equal; the one of lowest energy stands for them."""
    done = ((s, relaxations.get(s.id)) for s in samples)
    settled = [s for s, about in done if about is not None and about.crystal is not None]
    settled.sort(key=lambda s: (_energy(relaxations[s.id]), s.index))
    return _repeats(settled, [relaxations[s.id].crystal for s in settled], options)


def _energy(relaxation: Relaxation | None) -> float:
    known = relaxation is not None and relaxation.energy is not None
    return relaxation.energy if known else math.inf  # type: ignore[union-attr, return-value]


def _ranks(
    drawn: Sequence[Sample], settled: Sequence[Sample], relaxations: Mapping[str, Relaxation]
) -> dict[str, dict[str, int]]:
    """Places from 1 under each ranking; one by energy needs an energy that can be trusted.

    ``drawn`` are distinct as drawn: likelihood ranks these, whatever relaxation makes of them.
    ``settled`` are those that are still distinct afterwards.
    """
    places: dict[str, dict[str, int]] = defaultdict(dict)
    likely = [s for s in drawn if score(s, "atom") > -math.inf]
    likely.sort(key=lambda s: (-score(s, "atom"), s.index))
    low = [s for s in settled if _energy(relaxations.get(s.id)) < math.inf]
    low.sort(key=lambda s: (_energy(relaxations[s.id]), s.index))
    for name, ordered in (("likelihood", likely), ("energy", low)):
        for place, sample in enumerate(ordered, start=1):
            places[sample.id][name] = place
    joint = [s for s in low if "likelihood" in places[s.id]]
    # The sum of both places; the energy decides between equal sums.
    joint.sort(key=lambda s: (sum(places[s.id][n] for n in ("likelihood", "energy")), low.index(s)))
    for place, sample in enumerate(joint, start=1):
        places[sample.id]["both"] = place
    return places


def _nearest(
    samples: Sequence[Sample], index: StructureIndex | None, options: RankOptions
) -> dict[str, Nearest | None]:
    """Best match of each sample among known structures, elements exchanged; ``None``: no index."""
    if index is None:
        return {s.id: None for s in samples}
    from sciar.evaluation.matching import rms_distance
    from sciar.evaluation.processes import ProcessMap

    crystals = {s.id: crystal for s in samples if (crystal := _drawn(s)) is not None}
    hits = {name: index.nearest(c.composition, COMPARED) for name, c in crystals.items()}
    asked = [(name, hit) for name, found in hits.items() for hit in found]
    pairs = [(crystals[name], index.template(hit)) for name, hit in asked]
    best: dict[str, tuple[float, Hit]] = {}
    if pairs:
        with ProcessMap(rms_distance, jobs=options.jobs, timeout=options.timeout) as pool:
            outcomes = pool.map(pairs, description="known", progress=options.progress)
        for (name, hit), outcome in zip(asked, outcomes, strict=True):
            distance = outcome.value
            # Hits come with the most similar elements first.
            if distance is not None and distance < best.get(name, (math.inf, hit))[0] - _SAME:
                best[name] = (distance, hit)
    return {
        name: Nearest(best[name][1].id, best[name][1].formula, best[name][0], len(compared))
        if name in best
        else Nearest("", "", None, len(compared))
        for name, compared in hits.items()
    }
