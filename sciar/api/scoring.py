"""How good the answers of a model are: its predictions against labels, and their calibration.

Every figure stands with its counts; what failed counts as wrong. Settings that are chosen from
labels (temperatures, thresholds) come from validation data, never from what is scored.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sciar.api.annotate import Annotator
from sciar.api.answers import Answer
from sciar.api.confidence import Pairs, of_classes, of_members, of_residues
from sciar.errors import RecordError
from sciar.evaluation import calibration as reliability
from sciar.evaluation.classes import accuracy, residue_accuracy
from sciar.evaluation.classes import sites as site_scores
from sciar.evaluation.fmax import fmax
from sciar.evaluation.ranking import regression
from sciar.generation.answered import answer, frequencies
from sciar.generation.decisions import decisions
from sciar.generation.engine import Step
from sciar.generation.numbers import LEVEL
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.records import Annotation, Protein, ProteinRecord
from sciar.tokenization.answers.indices import position_of, positions
from sciar.tokenization.answers.multi import MultiLabel
from sciar.tokenization.answers.number import Number
from sciar.tokenization.answers.single import SingleClass
from sciar.tokenization.answers.site_labels import YES, SiteLabels
from sciar.tokenization.answers.sites import Sites
from sciar.tokenization.answers.task import Task
from sciar.tokenization.answers.terms import Terms
from sciar.tokenization.answers.tree import Tree
from sciar.tokenization.vocabulary import Vocabulary

if TYPE_CHECKING:
    from sciar.api.model import Model

THRESHOLDS = (0.005, 0.01, 0.02, 0.03, *np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())
"""Tried on validation data; the smallest are for members as rare as residues that bind a metal."""


@dataclass(frozen=True)
class Labelled:
    """A record with the label of one task.

    Attributes:
        record: the record.
        value: the label as the record has it.
        canonical: the label as the task would answer it; as it is where the task cannot be asked.
        mask: one letter a residue, ``1`` where the label counts; empty: everywhere.
    """

    record: ProteinRecord
    value: Any
    canonical: Any
    mask: str = ""


def labelled(
    task: Task, records: Sequence[ProteinRecord]
) -> tuple[list[Labelled], list[RecordError]]:
    """The records that have a label of a task, and what is wrong with labels that are none.

    Proteins may be longer than the tokens of the task reach: their answers are put together from
    windows, and compared with the whole label.
    """
    found: list[Labelled] = []
    refused: list[RecordError] = []
    for record in records:
        given = record.labels.get(task.field)
        if given is None:
            continue
        try:
            canonical = _canonical(task, record, given)
        except RecordError as error:
            refused.append(error)
            continue
        mask = str(record.labels.get(task.mask, "")) or _free(task, record.protein)
        found.append(Labelled(record, given, canonical, mask))
    return found, refused


def _free(task: Task, protein: Protein) -> str:
    """``1`` for each residue whose label is not forced; empty: for all, or it cannot be asked."""
    forced = task.codec.forced(protein)
    return "" if forced is None else "".join(np.where(forced < 0, "1", "0"))


def _canonical(task: Task, record: ProteinRecord, value: Any) -> Any:
    """The label as the task would answer it; as it is where the task cannot be asked at all.

    Raises:
        RecordError: it is no label of this task, or not of this protein.
    """
    try:
        protein = task.view(record.protein)
    except RecordError:
        return value
    if len(protein.chains) != task.inputs:
        return value
    return task.canonical(value, protein, record.id)


def score(
    model: Model,
    task: str,
    records: Sequence[ProteinRecord],
    *,
    at_once: bool | None = None,
    threshold: float | None = None,
    samples: int = 0,
) -> dict[str, Any]:
    """Figures of one task, with counts, seconds and the share of well-formed answers.

    Args:
        model: a model of answers.
        task: name of the task.
        records: labelled proteins; those without the label are left out.
        at_once: as for :class:`~sciar.api.annotate.Annotator`.
        threshold: likewise.
        samples: for sets of labels, the number of sampled answers whose frequencies are the scores
            of Fmax; 0: no Fmax.

    Returns:
        ``task``, ``records``, ``answered``, ``coverage``, ``seconds``; ``refused``, the labels that
        are none of the task's, with the first message: they lower the coverage and are in no other
        figure; and the figures of the task's type of answer; for classes, residues and sites also
        ``calibration``, which tells whether confidences come true
        (:func:`sciar.evaluation.calibration.calibration`).
    """
    annotator = Annotator(model, [task], at_once=at_once, scores=True, threshold=threshold)
    spec = annotator.tasks[0]
    examples, refused = labelled(spec, records)
    began = time.perf_counter()
    made = list(annotator.stream([e.record for e in examples]))
    seconds = time.perf_counter() - began
    answered = sum(p.ok for p in made)
    figures: dict[str, Any] = {
        "task": task, "records": len(examples) + len(refused), "answered": answered,
        "coverage": answered / max(1, len(examples) + len(refused)), "seconds": seconds,
        "residues_read": sum(len(e.record.protein) for e in examples),
    }  # fmt: skip
    if refused:
        figures["refused"] = {"count": len(refused), "first": str(refused[0])}
    figures |= _figures(spec, annotator.tokenizer.tasks, examples, made)
    pairs = _confidences(spec, examples, made)
    if len(pairs[0]):
        figures["calibration"] = reliability.calibration(*pairs)
    if samples and isinstance(spec.codec, MultiLabel | Terms | Tree):
        figures |= _fmax(annotator, spec, examples, samples)
    return figures


def _figures(
    task: Task, tasks: Iterable[Task], examples: list[Labelled], made: list[Answer]
) -> dict[str, Any]:
    codec = task.codec
    if isinstance(codec, SiteLabels):
        return _site_labels(examples, made)
    if codec.parallel:
        return _per_residue(task, tasks, examples, made)
    if isinstance(codec, Sites):
        truth, predicted = [], []
        for e, p in zip(examples, made, strict=True):
            truth.append(_flags(codec, e.record.protein, e.canonical))
            predicted.append(_flags(codec, e.record.protein, p.value if p.ok else ()))
        return site_scores(truth, predicted)
    if isinstance(codec, MultiLabel | Terms | Tree):
        sets = [(set(e.canonical), set(p.value or ())) for e, p in zip(examples, made, strict=True)]
        return _set_figures(sets)
    if made and isinstance(next((p.value for p in made if p.ok), None), float):
        given = np.array([float(e.value) for e in examples])
        known = [p.value for p in made if p.ok]
        fill = float(np.mean(known)) if known else 0.0
        figures = regression(given, np.array([p.value if p.ok else fill for p in made]))
        if any(isinstance(p.scores, dict) and "mean" in p.scores for p in made):
            means = np.array([p.scores["mean"] if p.ok else fill for p in made])
            figures |= {f"{k} of means": v for k, v in regression(given, means).items()}
        return figures | _intervals(given, made)
    return accuracy([e.canonical for e in examples], [p.value for p in made])


def _intervals(given: np.ndarray, made: list[Answer]) -> dict[str, Any]:
    """How many labels lie within the intervals of their answers, of those that have one."""
    ends = [p.scores if isinstance(p.scores, dict) and "low" in p.scores else None for p in made]
    found = [(y, e["low"], e["high"]) for y, e in zip(given, ends, strict=True) if e]
    if not found:
        return {}
    inside = sum(bool(low <= y <= high) for y, low, high in found)
    width = float(np.mean([high - low for _, low, high in found]))
    row = {"level": LEVEL, "rate": inside / len(found), "count": inside, "of": len(found)}
    return {"interval": {**row, "mean_width": width}}


def _confidences(task: Task, examples: list[Labelled], made: list[Answer]) -> Pairs:
    """Confidences and whether they came true, for answers whose decisions can be told apart."""
    codec = task.codec
    if codec.parallel:
        truth = [list(map(str, e.canonical)) for e in examples]
        masks = [e.mask or "1" * len(t) for e, t in zip(examples, truth, strict=True)]
        return of_residues(truth, masks, made)
    if isinstance(codec, Sites):
        return of_members([e.canonical for e in examples], made)
    if isinstance(codec, SingleClass):
        return of_classes([e.canonical for e in examples], made)
    return of_classes([], [])


def _fmax(
    annotator: Annotator, task: Task, examples: list[Labelled], samples: int
) -> dict[str, Any]:
    """Fmax from the frequencies of members among sampled answers."""
    kept, requests = [], []
    for e in examples:
        asked = {"protein": e.record.protein, "task": task.name}
        try:
            requests.append(annotator.tokenizer.request(asked, e.record.id))
        except RecordError:
            continue
        kept.append(e)
    scores = []
    for start in range(0, len(requests), 16):
        few = requests[start : start + 16]
        scores += frequencies(annotator.network, annotator.tokenizer, few, samples)
    ancestors = task.codec.ontology.ancestors if isinstance(task.codec, Terms) else None
    found = fmax([e.canonical for e in kept], scores, ancestors)
    found["not_asked"] = len(examples) - len(kept)
    return {"fmax": found}


def _flags(codec: Sites, protein: Protein, positions: Sequence[int]) -> np.ndarray:
    """(candidates,) whether each residue that may be a site is one."""
    whole = codec.reaching(max(map(len, protein.chains)))
    candidates = [position_of(name) for name in whole.candidates(protein)]
    return np.isin(np.array(candidates, dtype=int), np.array(positions, dtype=int))


def _site_labels(examples: list[Labelled], made: list[Answer]) -> dict[str, Any]:
    """Figures of sites over the residues that may be some."""
    truth: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    for e, p in zip(examples, made, strict=True):
        length = len(e.record.protein.sequence)
        free = np.array([letter == "1" for letter in e.mask or "1" * length], dtype=bool)
        for value, flags in ((e.value, truth), (p.value if p.ok else (), predicted)):
            flags.append(np.isin(np.arange(length), positions(value, length, YES))[free])
    return site_scores(truth, predicted)


def _per_residue(
    task: Task, tasks: Iterable[Task], examples: list[Labelled], made: list[Answer]
) -> dict[str, Any]:
    """Accuracy, and for tasks that read sites out of the same labels the sites' figures."""
    truth = [list(map(str, e.value)) for e in examples]
    predicted = [list(map(str, p.value)) if p.ok else None for p in made]
    masks = [e.mask or "1" * len(t) for e, t in zip(examples, truth, strict=True)]
    figures = residue_accuracy(truth, predicted, masks)
    for other in tasks:
        codec = other.codec
        # By name, as ``bind_metal`` of ``bind``: other tasks may call their field the same.
        if not (isinstance(codec, Sites) and codec.positive and other.field == task.field):
            continue
        if not other.name.startswith(f"{task.name}_"):
            continue
        flags = [
            [np.array([letter in codec.positive for letter in (text or "-" * len(true))])
             for text, true in zip(texts, truth, strict=True)]
            for texts in (truth, predicted)
        ]  # fmt: skip
        figures[f"as {other.name}"] = site_scores(*flags)
    return figures


def _set_figures(sets: list[tuple[set[Any], set[Any]]]) -> dict[str, Any]:
    right = sum(len(t & p) for t, p in sets)
    said, true = sum(len(p) for _, p in sets), sum(len(t) for t, _ in sets)
    each = [2 * len(t & p) / (len(t) + len(p)) if t or p else 1.0 for t, p in sets]
    exact = sum(t == p for t, p in sets)
    return {
        "f1_micro": 2 * right / max(1, said + true), "f1_sample": float(np.mean(each)),
        "exact": exact, "exact_share": exact / max(1, len(sets)),
        "members_right": right, "members_said": said, "members_true": true,
    }  # fmt: skip


def calibrate(
    model: Model, task: str, records: Sequence[ProteinRecord], *, at_once: bool = False
) -> dict[str, Any]:
    """Temperature of a task, and how it decides where the likeliest answer is not the best.

    Sets and lists get the threshold of the best F1; classes of tasks whose ``metric`` is ``f1``
    get offsets (:func:`sciar.evaluation.calibration.fit_offsets`), so that rare ones are found.
    Proteins that are too long for one question, labels that are none, and residues whose label does
    not count are left out.

    Args:
        model: a model of answers.
        task: name of the task.
        records: labelled proteins that it was not trained on, and will not be scored on.
        at_once: calibrate what is read at once, of answers with one token a residue.

    Returns:
        What ``info["calibration"][task]`` of a model folder holds: ``temperature``, with ``nll``
        before and after and the number of decisions; ``threshold``; ``offsets`` of symbols, with
        what they gave in ``offsets_fit``; ``spread`` of the intervals of numbers, such that they
        hold their share of these labels.
    """
    tokenizer: Any = model.tokenizer
    spec = tokenizer.tasks[task]
    notes = [note for e in labelled(spec, records)[0] if (note := _note(tokenizer, spec, e))]
    if isinstance(spec.codec, Number):
        return _spread(model, notes)
    answers = decisions(model.network, tokenizer, notes, at_once=at_once)
    steps = [_counted(s, note.mask) for s, note in zip(answers, notes, strict=True)]
    found: dict[str, Any] = {}
    ranked = [s for one in steps for s in one if len(s.decided)]
    choices = []
    for one in steps:
        for s in one:
            if len(s.decided):
                for token, chance in zip(s.decided, s.chances, strict=True):
                    p = np.clip(chance, 1e-9, 1 - 1e-9)
                    pair = np.log(np.array([1 - p, p]))
                    choices.append(reliability.Choice(pair, int(token == s.token)))
            else:
                truth = int(np.flatnonzero(s.ids == s.token)[0])
                choices.append(reliability.Choice(s.log_p, truth))
    if choices:
        found |= reliability.fit_temperature(choices)
    if ranked:
        best = max(THRESHOLDS, key=lambda least: _f1(ranked, least))
        found |= {"threshold": best, "f1_at_threshold": _f1(ranked, best)}
    elif spec.metric == "f1":
        found |= _offsets(tokenizer.vocabulary, [s for one in steps for s in one])
    return found


def _spread(model: Model, notes: list[Annotation]) -> dict[str, Any]:
    """How many times as wide intervals must be to hold their share of the labels.

    The quantile of conformal prediction (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)), with
    the distance to the end of the interval on the label's side as the unit of an error: intervals
    of proteins like these then hold the share, however the head errs.
    """
    tokenizer: Any = model.tokenizer
    pairs = [tokenizer.solved(note) for note in notes]
    cold = GenerationSettings(payload=SamplerSettings(temperature=0.0))
    made = answer(model.network, tokenizer, [request for request, _ in pairs], cold)
    errors = []
    for (_, sequence), one in zip(pairs, made, strict=True):
        if one.estimate is None:
            continue
        truth, e = float(sequence.values[-2, 0]), one.estimate
        end = e.high if truth > e.value else e.low
        errors.append((truth - e.value) / (end - e.value) if end != e.value else np.inf)
    rank = math.ceil(LEVEL * (len(errors) + 1))
    if rank > len(errors):
        return {}
    inside = sum(error <= 1 for error in errors)
    return {"spread": float(sorted(errors)[rank - 1]), "inside": inside, "decisions": len(errors)}


def _note(tokenizer: Any, task: Task, example: Labelled) -> Annotation | None:
    """The example as one question with its answer; ``None`` if it is no such."""
    mask = str(example.record.labels.get(task.mask, "")) if task.codec.parallel else ""
    if mask and len(mask) != len(example.record.protein):
        return None
    note = Annotation(example.record.protein, task.name, example.value, mask)
    try:
        tokenizer.solved(note)
    except RecordError:
        return None
    return note


def _counted(steps: list[Step], mask: str) -> list[Step]:
    """The decisions about residues whose label counts; answers with a mask have one a residue."""
    if not mask:
        return steps
    return [step for step, counts in zip(steps, mask, strict=True) if counts == "1"]


def _offsets(vocabulary: Vocabulary, steps: list[Step]) -> dict[str, Any]:
    """Offsets of the classes of decisions that have all the same alternatives, else nothing."""
    if not steps or not all(np.array_equal(s.ids, steps[0].ids) for s in steps):
        return {}
    ids = steps[0].ids
    truth = np.searchsorted(ids, [s.token for s in steps])
    offsets, facts = reliability.fit_offsets(np.stack([s.log_p for s in steps]), truth)
    named = {vocabulary.names[i]: float(x) for i, x in zip(ids, offsets, strict=True) if x}
    return {"offsets": named, "offsets_fit": facts}


def _f1(steps: list[Any], least: float) -> float:
    """F1 of members taken at a threshold, after the true members before."""
    said = np.concatenate([s.chances >= least for s in steps])
    true = np.concatenate([s.decided == s.token for s in steps])
    return float(2 * (said & true).sum() / max(1, said.sum() + true.sum()))


def with_calibration(model: Model, found: dict[str, dict[str, Any]]) -> Model:
    """The model with calibrations of tasks added to its facts; save it to keep them."""
    from sciar.api.model import Model as Made

    info = dict(model.info)
    info["calibration"] = {**(info.get("calibration") or {}), **found}
    return Made(replace(model._content, info=info))
