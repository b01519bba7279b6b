"""Proteins longer than a model takes: overlapping windows, and one answer out of theirs.

One token a residue: the mean of the log-probabilities of all windows that hold a residue. Sets
and sites: the union. One class: the class of the highest mean probability. Numbers: the mean, and
an interval that holds those of all windows. A class with a position: that of the window that is
surest. Contacts reach over windows and are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sciar.api.answers import OK, Answer, each_residue, failed, tempered
from sciar.errors import RecordError
from sciar.generation.answered import Answered
from sciar.nn.encoders.residues import window_starts
from sciar.records import Protein
from sciar.tokenization.answers.contacts import Contacts
from sciar.tokenization.answers.label_position import ClassAndPosition, LabelPosition
from sciar.tokenization.answers.sites import Sites
from sciar.tokenization.answers.task import Task
from sciar.tokenization.vocabulary import Vocabulary

Part = tuple[int, Protein, Answered, Answer]


def windows(task: Task, protein: Protein, limit: int) -> list[tuple[int, Protein]]:
    """(first residue, window) of windows that overlap by half.

    Raises:
        RecordError: the answer cannot be put together from windows.
    """
    if isinstance(task.codec, Contacts) or protein.partner is not None:
        raise RecordError(
            f"task {task.name}: {len(protein)} residues; a question about a pair, or about "
            f"contacts, takes at most {limit} and cannot be asked in windows",
            field="sequence",
        )
    starts = window_starts(len(protein), limit)
    return [(start, Protein(protein.sequence[start : start + limit])) for start in starts]


def join(
    id: str,
    task: Task,
    protein: Protein,
    parts: list[Part],
    vocabulary: Vocabulary,
    scores: bool,
    temperature: float = 1.0,
    offsets: Mapping[str, float] | None = None,
) -> Answer:
    """One prediction out of those of the windows.

    Args:
        id: of the record.
        task: the question.
        protein: the whole of it.
        parts: windows, with their answers, judged at the same temperature.
        vocabulary: of the model.
        scores: also the details.
        temperature: that calibrates the decisions of this task.
        offsets: added to the log-probabilities of tokens before one is chosen.
    """
    wrong = next((p for *_, p in parts if p.status != OK), None)
    if wrong is not None:
        return failed(id, task.name, wrong.message)
    codec, note = task.codec, f"put together from {len(parts)} windows"
    found = [p for *_, p in parts]
    steps = sum(p.steps for p in found)
    if codec.parallel:
        made = _per_residue(id, task, protein, parts, vocabulary, temperature, offsets or {})
    elif isinstance(codec, ClassAndPosition):
        start, _, _, best = max(parts, key=lambda part: part[3].confidence or 0.0)
        label, position = best.value
        value: Any = LabelPosition(label, None if position is None else position + start)
        made = replace(best, value=value)
    elif isinstance(found[0].value, float):
        made = replace(found[0], value=float(np.mean([p.value for p in found])))
        mixed = _mixture([p.scores for p in found])
        made = replace(made, confidence=_mean([p.confidence for p in found]), scores=mixed)
    elif isinstance(found[0].value, tuple):
        made = _union(task, parts)
    else:
        total: dict[str, float] = defaultdict(float)
        for p in found:
            for label, q in (p.scores or {p.value: 1.0}).items():
                total[label] += q / len(found)
        best_label = max(total, key=lambda label: total[label])
        made = replace(found[0], value=best_label, confidence=total[best_label], scores=dict(total))
    return replace(made, message=note, steps=steps, scores=made.scores if scores else None)


def _per_residue(
    id: str,
    task: Task,
    protein: Protein,
    parts: list[Part],
    vocabulary: Vocabulary,
    temperature: float,
    offsets: Mapping[str, float],
) -> Answer:
    steps = [step for _, _, made, _ in parts for step in made.steps]
    ids = steps[0].ids if steps else vocabulary.ids(task.codec.names)
    length = len(protein.sequence)
    forced = task.codec.forced(protein)
    free = np.arange(length) if forced is None else np.flatnonzero(forced < 0)
    total, count = np.zeros((length, len(ids))), np.zeros((length, 1))
    for start, piece, made, _ in parts:
        inside = free[(free >= start) & (free < start + len(piece))]
        for i, step in zip(inside, made.steps, strict=True):
            total[i] += tempered(step.log_p, temperature)
            count[i] += 1
    mean = total[free] / count[free]
    mean -= np.logaddexp.reduce(mean, axis=1, keepdims=True)
    names = [vocabulary.names[i] for i in ids]
    best = (mean * temperature + [offsets.get(name, 0.0) for name in names]).argmax(1)
    tokens = np.array([task.codec.names[i] for i in ([0] * length if forced is None else forced)])
    tokens[free] = np.array(names)[best]
    log_q = mean[np.arange(len(best)), best]
    # The codec's own limit is what made windows necessary, so its check of the length is passed by.
    return Answer(
        id, task.name, OK, task.codec.value(tuple(tokens.tolist()), protein, ()),
        float(np.exp(log_q.mean())) if len(free) else 1.0, "", float(log_q.sum()), 0,
        each_residue(forced, np.exp(log_q).tolist()),
    )  # fmt: skip


def _union(task: Task, parts: list[Part]) -> Answer:
    """Members of any window, in the order of the codec; a member's chance is its largest."""
    shifted = isinstance(task.codec, Sites)
    chances: dict[Any, float] = {}
    members: set[Any] = set()
    for start, _, _, p in parts:
        move = start if shifted else 0
        members |= {m + move if shifted else m for m in p.value}
        for m, q in (p.scores or {}).items():
            key = m + move if shifted and isinstance(m, int) else m
            chances[key] = max(q, chances.get(key, 0.0))
    first = parts[0][3]
    order = sorted(members) if shifted else _in_order(members, [p.value for *_, p in parts])
    return replace(
        first, value=tuple(order), confidence=_mean([p.confidence for *_, p in parts]),
        scores=chances,
    )  # fmt: skip


def _mixture(parts: list[Any]) -> dict[str, float] | None:
    """Mean and standard deviation of the windows' distributions taken together, or the ends of an
    interval that holds those of all windows.
    """
    if not all(isinstance(part, dict) for part in parts):
        return None
    if "low" in parts[0]:
        return {"low": min(p["low"] for p in parts), "high": max(p["high"] for p in parts)}
    means = np.array([part["mean"] for part in parts])
    second = np.array([part["std"] for part in parts]) ** 2 + means**2
    mean = float(means.mean())
    return {"mean": mean, "std": float(np.sqrt(max(0.0, second.mean() - mean**2)))}


def _in_order(members: set[Any], answers: list[tuple[Any, ...]]) -> list[Any]:
    """As the answers have them; members of several answers keep their first place."""
    return [m for m in dict.fromkeys(m for answer in answers for m in answer) if m in members]


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
