"""What a model says about proteins: typed values with a confidence, one row a record and task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sciar.errors import RecordError
from sciar.generation.answered import Answered
from sciar.generation.engine import Step
from sciar.generation.numbers import LEVEL
from sciar.records import Protein
from sciar.tokenization.answers.digits import DIGITS, Digits
from sciar.tokenization.answers.indices import position_of
from sciar.tokenization.answers.task import Task
from sciar.tokenization.vocabulary import Vocabulary

OK, FAILED = "ok", "failed"


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to one question about one record.

    Attributes:
        id: of the record.
        task: name of the task.
        status: ``ok`` or ``failed``.
        value: the typed answer, as the task's codec has it (text, tuple, number); ``None`` if it
            failed.
        confidence: probability of the whole answer under the model and the task's grammar, in
            (0, 1]; of answers with one token a residue the geometric mean over the residues whose
            token is not forced; of answers with a number slot ``None``. Calibrated where the model
            folder holds a calibration of the task.
        message: why it failed, else empty, or a note (windows; the interval of a number).
        logp: natural log-probability of all decisions.
        steps: number of decisions.
        scores: details, if they were asked for: class -> probability for one class; member ->
            chance of belonging for sets and sites; ``mean`` and ``std`` for digits; ``low`` and
            ``high``, the ends of a central interval of 90 %, for numbers of a head that has them;
            one confidence for each residue (a list) for answers with one token a residue.
    """

    id: str
    task: str
    status: str
    value: Any = None
    confidence: float | None = None
    message: str = ""
    logp: float | None = None
    steps: int = 0
    scores: Any = None

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.status == OK


def failed(id: str, task: str, error: object) -> Answer:
    """The row of a record that could not be answered."""
    return Answer(id, task, FAILED, message=str(error))


def judge(
    id: str,
    task: Task,
    protein: Protein,
    made: Answered,
    vocabulary: Vocabulary,
    temperature: float = 1.0,
    scores: bool = False,
    spread: float = 1.0,
) -> Answer:
    """An answer as a prediction.

    Args:
        id: of the record.
        task: the question.
        protein: what was asked about (the task's view of it).
        made: the answer.
        vocabulary: of the model.
        temperature: that calibrates the decisions of this task.
        scores: also the details.
        spread: that calibrates the intervals of this task: how many times as wide they become.
    """
    if made.failure:
        return failed(id, task.name, made.failure)
    try:
        value = task.decode(made.tokens, protein, made.payload, id)
    except RecordError as error:
        return failed(id, task.name, error)
    chosen = _log_qs(made.steps, temperature)
    logp = float(sum(chosen))
    confidence: float | None = float(np.exp(logp))
    if task.codec.parallel:
        confidence = float(np.exp(logp / max(1, len(chosen))))
    elif made.payload:
        confidence = None
    details = _scores(task, protein, made, vocabulary, temperature) if scores else None
    note = ""
    if made.estimate is not None:
        ends = _ends(task, protein, made, spread)
        details = ends if scores else None
        note = f"{LEVEL:.0%} within {ends['low']:.4g} to {ends['high']:.4g}"
    return Answer(id, task.name, OK, value, confidence, note, logp, len(chosen), details)


def tempered(log_p: np.ndarray, temperature: float) -> np.ndarray:
    """Log-probabilities at another temperature."""
    scaled = log_p.astype(np.float64) / temperature
    return scaled - np.logaddexp.reduce(scaled)


def _log_qs(steps: Sequence[Step], temperature: float) -> list[float]:
    """Log-probabilities of the decisions that were taken.

    Those of one class a residue have all the same alternatives, and are taken together.
    """
    alike = len(steps) > 1 and all(s.ids is steps[0].ids and not len(s.decided) for s in steps)
    if not alike:
        return [_log_q(step, temperature) for step in steps]
    scaled = np.stack([step.log_p for step in steps]).astype(np.float64) / temperature
    place = {int(token): i for i, token in enumerate(steps[0].ids)}
    at = [place[step.token] for step in steps]
    chosen = scaled[np.arange(len(at)), at] - np.logaddexp.reduce(scaled, axis=1)
    return [float(x) for x in chosen]


def _log_q(step: Step, temperature: float) -> float:
    """Log-probability of the decision that was taken."""
    if len(step.decided):
        # Members are in or out by their own chances, whose threshold made the decision.
        inside = _tempered_odds(step.chances, temperature)
        taken = step.decided == step.token
        return float(np.log(np.where(taken, inside, 1 - inside)).sum())
    at = int(np.flatnonzero(step.ids == step.token)[0])
    return float(tempered(step.log_p, temperature)[at])


def _tempered_odds(chances: np.ndarray, temperature: float) -> np.ndarray:
    """Chances of belonging at another temperature of their odds."""
    inside = np.clip(chances, 1e-12, 1 - 1e-12)
    if temperature == 1.0:
        return inside
    return 1 / (1 + np.exp(-(np.log(inside) - np.log1p(-inside)) / temperature))


def each_residue(forced: np.ndarray | None, chances: Sequence[float]) -> list[float]:
    """Chances of the decisions of an answer with one token a residue; of what is forced, 1."""
    if forced is None:
        return list(chances)
    every = np.ones(len(forced))
    every[forced < 0] = chances
    return [float(x) for x in every]


def _scores(
    task: Task, protein: Protein, made: Answered, vocabulary: Vocabulary, temperature: float
) -> Any:
    codec, steps = task.codec, made.steps
    if codec.parallel:
        decided = [float(np.exp(x)) for x in _log_qs(steps, temperature)]
        return each_residue(codec.forced(protein), decided)
    if isinstance(codec, Digits):
        mean, std = digits_moments(codec, made, vocabulary, temperature)
        return {"mean": mean, "std": std}
    if any(len(step.decided) for step in steps):
        chances: dict[Any, float] = {}
        for step in steps:
            inside = _tempered_odds(step.chances, temperature)
            for token, chance in zip(step.decided, inside, strict=True):
                chances[_member(vocabulary.names[token])] = float(chance)
        return chances
    if len(steps) == 1 and len(made.tokens) == 1:
        p = np.exp(tempered(steps[0].log_p, temperature))
        names = [_member(vocabulary.names[i]) for i in steps[0].ids]
        return dict(zip(names, p.tolist(), strict=True))
    return None


def _ends(task: Task, protein: Protein, made: Answered, spread: float) -> dict[str, float]:
    """Ends of the interval in the units of the answer."""
    assert made.estimate is not None
    wide = made.estimate.widened(spread)
    low, high = (task.decode(made.tokens, protein, (end,)) for end in (wide.low, wide.high))
    return {"low": low, "high": high}


def _member(name: str) -> Any:
    """A token as the values of a codec name it: a position, or the label."""
    if name.startswith("idx:"):
        return position_of(name)
    return name.split(":", 2)[2] if name.startswith("cls:") else name.split(":", 1)[-1]


def digits_moments(
    codec: Digits, made: Answered, vocabulary: Vocabulary, temperature: float = 1.0
) -> tuple[float, float]:
    """Mean and standard deviation of the number, from the digits' distributions.

    At each decision, the digits that were not taken stand for the middle of the numbers that begin
    with them; so the spread is resolved to the first digit far from the answer, and finely near it.
    """
    decided = iter(made.steps)
    digits = vocabulary.ids(DIGITS)
    number = {int(token): str(i) for i, token in enumerate(digits)}
    text, reach, points, weights = "", 1.0, [], []
    step = next(decided, None)
    for position, name in enumerate(made.tokens):
        token = vocabulary.id(name)
        if step is not None and token == step.token and len(step.ids) > 1:
            p = np.exp(tempered(step.log_p, temperature))
            rest = sum(
                t.startswith("dig:") and t[4:].isdigit() for t in made.tokens[position + 1 :]
            )
            for other, q in zip(step.ids, p, strict=True):
                if other != token and int(other) in number:
                    points.append(_middle(codec, text + number[int(other)], rest))
                    weights.append(reach * float(q))
            reach *= float(p[int(np.flatnonzero(step.ids == token)[0])])
            step = next(decided, None)
        text += name.removeprefix("dig:")
    points.append(codec.value(made.tokens, _ANY, ()))
    weights.append(reach)
    mass = np.array(weights) / sum(weights)
    mean = float(mass @ np.array(points))
    return mean, float(np.sqrt(mass @ (np.array(points) - mean) ** 2))


_ANY = Protein("A")


def _middle(codec: Digits, text: str, rest: int) -> float:
    """The middle of the numbers that begin with ``text`` and have ``rest`` more digits."""
    if "." not in text:
        text = text + "5" * (codec.before - len(text.lstrip("+-"))) + "."
    else:
        text = text + ("5" if rest else "")
    sign = ("dig:" + text[0],) if text[0] in "+-" else ()
    tokens = (*sign, *(f"dig:{c}" for c in text.lstrip("+-")))
    return float(codec.value(tokens, _ANY, ()))
