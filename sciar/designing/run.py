"""A design run: rounds of drawing, scoring, writing down and learning, resumable at any round."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sciar.designing.diary import Diary
from sciar.designing.diversity import DiversityFilter
from sciar.designing.learning import LearningSettings, fine_tune, policy_gradient
from sciar.designing.scoring import OK, Score, Scorer, key_of
from sciar.errors import RecordError, UsageError
from sciar.folder import ModelFolder, load_folder, save_folder
from sciar.generation.engine import Drawn, Engine, Job
from sciar.generation.samples import RawSample, judge
from sciar.generation.settings import GenerationSettings
from sciar.records import Molecule, Record, Structure, formula_text, symbols_of
from sciar.tokenization.cursor import Request

METHODS = ("best-of-n", "fine-tune", "policy-gradient")
MODEL = "model"
ROUND = 1_000_000
"""Samples of one round have indices of their own."""


@dataclass(frozen=True)
class DesignSettings:
    """A run.

    Attributes:
        method: ``best-of-n`` draws all from the model as it is, ``fine-tune`` trains it on the best
            so far after each round, ``policy-gradient`` turns it by all scores, with the model as
            it was as the reference.
        rounds: of drawing and learning.
        n: structures drawn a round.
        keep: structures that are handed out, and that ``fine-tune`` learns from.
        seed: of the run.
        jobs: processes of the objective.
        timeout: seconds for one structure.
        bucket: structures alike that keep their score (:mod:`~sciar.designing.diversity`); 0: all.
        similarity: from which on molecules are alike.
        learning: how much is learnt a round.
    """

    method: str = "best-of-n"
    rounds: int = 5
    n: int = 64
    keep: int = 32
    seed: int = 0
    jobs: int = 1
    timeout: float | None = 60.0
    bucket: int = 10
    similarity: float = 0.7
    learning: LearningSettings = field(default_factory=LearningSettings)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"method {self.method!r} is none of {', '.join(METHODS)}")
        if min(self.rounds, self.n, self.keep) < 1:
            raise UsageError("rounds, n and keep are at least 1")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A structure with its score.

    Attributes:
        id: ``{round}_{index}``.
        structure: what was drawn.
        value: of the objective.
        score: the same, 0 where the diversity filter was full.
    """

    id: str
    structure: Structure
    value: float
    score: float


@dataclass(frozen=True, eq=False)
class Design:
    """What a run found.

    Attributes:
        best: the best structures, no two equal, best first.
        rounds: figures of each round.
        folder: where everything lies.
    """

    best: list[Candidate]
    rounds: list[dict[str, Any]]
    folder: Path


def run_design(
    content: ModelFolder,
    objective: Callable[[Structure], float],
    request: Request,
    folder: str | Path,
    settings: DesignSettings,
    sampling: GenerationSettings,
    name: str = "",
    tell: Callable[[str], None] | None = None,
) -> Design:
    """Draw, score and learn for some rounds; a run that was interrupted goes on with its round.

    Args:
        content: the model; its weights are not changed.
        objective: what a structure is worth.
        request: what is asked of every sample.
        folder: ``scores.csv`` (a row for every structure), ``structures.jsonl``, ``state.json``,
            TensorBoard logs, and ``model`` if the method learns.
        settings: of the run; more rounds than before go on with it.
        sampling: how samples are drawn; the seed is that of the run.
        name: of the objective; with the settings it tells one run from another.
        tell: takes a line after each round.

    Raises:
        UsageError: the folder holds another run, or the objective cannot be run as wanted.
    """
    facts = {**asdict(settings), "rounds": 0, "jobs": 0, "objective": name}
    diary = Diary(Path(folder), {**facts, "model": content.tokenizer.fingerprint})
    learner = content
    if settings.method != "best-of-n":
        stored = diary.folder / MODEL
        learner = (
            load_folder(stored)
            if diary.done
            else replace(content, model=copy.deepcopy(content.model))
        )
    pool = _Pool(DiversityFilter(settings.bucket, settings.similarity), settings.keep)
    for record in diary.structures():
        pool.add(record.id, record.structure, float(record.properties["value"]))
    with Scorer(objective, settings.jobs, settings.timeout, diary.scores()) as scorer:
        for number in range(diary.done, settings.rounds):
            drawn = _draw(
                learner, request, replace(sampling, seed=settings.seed), settings.n, number
            )
            samples = [judge(learner.tokenizer, d) for d in drawn]
            made = [s.structure for s in samples if s.structure is not None]
            told = iter(scorer.score(made))
            scores = [None if s.structure is None else next(told) for s in samples]
            before = len(pool.known)
            worth = [_worth(pool, _id(number, s), s, score)
                     for s, score in zip(samples, scores, strict=True)]  # fmt: skip
            loss = _learn(learner, content, pool, drawn, worth, settings, number)
            if settings.method != "best-of-n":
                save_folder(diary.folder / MODEL, learner)
            figures = _figures(number, samples, scores, worth, pool, before, loss)
            rows = [_row(number, *told) for told in zip(samples, scores, worth, strict=True)]
            diary.write(number, rows, _kept(number, samples, scores), figures)
            if tell is not None:
                tell(_line(figures))
    return Design(pool.best(), diary.rounds, diary.folder)


class _Pool:
    """Everything that was scored, and the best of it."""

    def __init__(self, memory: DiversityFilter, keep: int) -> None:
        self.memory, self.keep = memory, keep
        self.known: dict[str, Candidate] = {}

    def add(self, id: str, structure: Structure, value: float) -> float:
        """Take a structure; returns its score, 0 where there are enough alike."""
        try:
            score = value if self.memory.admit(structure) else 0.0
        except RecordError:
            score = value  # nothing to compare it by
        found = Candidate(id, structure, value, score)
        key = key_of(structure)
        if key not in self.known or score > self.known[key].score:
            self.known[key] = found
        return score

    def best(self) -> list[Candidate]:
        """The best ones, best first."""
        return sorted(self.known.values(), key=lambda c: (-c.score, c.id))[: self.keep]


def _id(number: int, sample: RawSample) -> str:
    return f"{number}_{sample.index % ROUND}"


def _draw(
    learner: ModelFolder, request: Request, sampling: GenerationSettings, n: int, number: int
) -> list[Drawn]:
    """The samples of a round, in order."""
    jobs = [Job(request, number * ROUND + i) for i in range(n)]
    drawn = Engine(learner.model, learner.tokenizer, sampling).run(jobs)
    return sorted(drawn, key=lambda d: d.job.index)


def _worth(pool: _Pool, id: str, sample: RawSample, score: Score | None) -> float:
    """Score of a sample; 0 if there is none."""
    if sample.structure is None or score is None or score.value is None:
        return 0.0
    return pool.add(id, sample.structure, score.value)


def _learn(
    learner: ModelFolder,
    content: ModelFolder,
    pool: _Pool,
    drawn: Sequence[Drawn],
    worth: Sequence[float],
    settings: DesignSettings,
    number: int,
) -> float | None:
    """Turn the model; returns its loss."""
    seed = settings.seed * 7919 + number
    if settings.method == "fine-tune":
        good = [c for c in pool.best() if c.score > 0]
        sequences = [learner.tokenizer.encode(c.structure) for c in good]
        return fine_tune(learner.model, sequences, settings.learning, seed)
    if settings.method == "policy-gradient":
        whole = [(d.sequence, w) for d, w in zip(drawn, worth, strict=True) if not d.failure]
        sequences, scores = [s for s, _ in whole], [w for _, w in whole]
        return policy_gradient(
            learner.model, content.model, sequences, scores, settings.learning, seed
        )
    return None


def _name(structure: Structure | None) -> str:
    """SMILES of a molecule, formula of a crystal."""
    if structure is None:
        return ""
    if isinstance(structure, Molecule):
        try:
            return structure.to_smiles()
        except RecordError:
            pass
    return formula_text(dict(sorted(Counter(symbols_of(structure)).items())))


def _row(number: int, sample: RawSample, score: Score | None, worth: float) -> dict[str, Any]:
    """One row of the table."""
    return {
        "round": number,
        "id": _id(number, sample),
        "status": sample.status,
        "message": sample.message,
        "structure": _name(sample.structure),
        "key": "" if sample.structure is None else key_of(sample.structure),
        "value": "" if score is None or score.value is None else repr(score.value),
        "score": repr(worth),
        "score_status": "" if score is None else score.status,
        "score_message": "" if score is None else score.message,
        "cached": "" if score is None else int(score.cached),
        "logp": repr(sample.logp),
    }


def _kept(
    number: int, samples: Sequence[RawSample], scores: Sequence[Score | None]
) -> list[Record]:
    """Records of what has a value."""
    return [
        Record(_id(number, s), s.structure, {"value": score.value, "round": number})
        for s, score in zip(samples, scores, strict=True)
        if s.structure is not None and score is not None and score.status == OK
    ]


def _figures(
    number: int,
    samples: Sequence[RawSample],
    scores: Sequence[Score | None],
    worth: Sequence[float],
    pool: _Pool,
    before: int,
    loss: float | None,
) -> dict[str, Any]:
    """Counts and means of a round."""
    values = [s.value for s in scores if s is not None and s.value is not None]
    best = pool.best()
    found = {
        "round": number,
        "requested": len(samples),
        "structures": sum(s.structure is not None for s in samples),
        "scored": len(values),
        "failed_scores": sum(s is not None and s.value is None for s in scores),
        "new": len(pool.known) - before,
        "mean_value": float(np.mean(values)) if values else None,
        "mean_score": float(np.mean(worth)),
        "best_value": max((c.value for c in best), default=None),
        "mean_of_best": float(np.mean([c.score for c in best])) if best else None,
    }
    return found if loss is None else {**found, "loss": loss}


def _line(figures: dict[str, Any]) -> str:
    mean, best = (
        "none" if figures[k] is None else f"{figures[k]:.4g}" for k in ("mean_value", "best_value")
    )
    return (
        f"round {figures['round']}: {figures['scored']:,} of {figures['requested']:,} scored, "
        f"{figures['new']:,} new, mean {mean}, best so far {best}"
    )
