"""What a job writes: for every record one row a task, in order, whatever became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sciar.errors import RecordError

OK, FAILED = "ok", "failed"

KINDS = ("text", "number", "texts", "positions", "pairs", "placed")
"""Kinds of values; their Arrow types stand in :mod:`sciar.jobs.table`.

``text``: a class, or one letter a residue; ``number``; ``texts``: a set of labels; ``positions``:
residue indices from 0; ``pairs``: pairs of indices; ``placed``: a label and an index, or ``None``.
"""

CONFIDENCE_DIGITS = 4
"""Fewer than what depends on the composition of a batch, so that rows do not."""
NUMBER_DIGITS = 6
"""Significant digits of numbers, for the same reason: a head computes with seven."""


@dataclass(frozen=True)
class Answer:
    """What a worker says about one record and one task.

    Attributes:
        status: ``ok`` or ``failed``.
        value: of the task's kind; ``None`` if it failed.
        confidence: between 0 and 1, or ``None`` if there is none.
        message: why it failed, or what to know about the value; may be empty.
    """

    status: str = OK
    value: Any = None
    confidence: float | None = None
    message: str = ""

    @classmethod
    def failed(cls, message: str) -> Answer:
        """An answer without a value."""
        return cls(FAILED, message=message)

    @classmethod
    def refused(cls, error: RecordError) -> Answer:
        """A bad record. Its id stands in the row, its file in the manifest: not repeated here."""
        return cls.failed(f"{error.field}: {error.reason}" if error.field else error.reason)

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.status == OK


@dataclass(frozen=True)
class Row:
    """One row of the output: an answer, and what it is about."""

    id: str
    task: str
    status: str
    value: Any
    confidence: float | None
    message: str


def checked(answers: Sequence[Answer], tasks: Mapping[str, str]) -> tuple[Answer, ...]:
    """A worker's answers about one record, fit for a file.

    Numbers that are not finite become failed answers; confidences are rounded.

    Raises:
        ValueError: not one answer a task, or an unknown status: the worker is at fault.
    """
    if len(answers) != len(tasks):
        raise ValueError(f"{len(answers)} answers of a worker with {len(tasks)} tasks")
    return tuple(_fit(a, kind) for a, kind in zip(answers, tasks.values(), strict=True))


def _fit(answer: Answer, kind: str) -> Answer:
    if answer.status not in (OK, FAILED):
        raise ValueError(f"the status of an answer is {OK!r} or {FAILED!r}, not {answer.status!r}")
    if answer.ok and kind == "number" and not math.isfinite(answer.value):
        return Answer.failed(f"the model gave {answer.value}, which is no finite number")
    confidence = answer.confidence
    if confidence is not None:
        finite = math.isfinite(confidence)
        confidence = round(float(confidence), CONFIDENCE_DIGITS) if finite else None
    value = _plain(answer.value, kind) if answer.ok else None
    return replace(answer, confidence=confidence, value=value)


def _plain(value: Any, kind: str) -> Any:
    """A value of a kind in Python's own types; ``None`` stays."""
    if value is None:
        return None
    if kind == "number":
        return float(f"{value:.{NUMBER_DIGITS}g}")
    if kind == "texts":
        return tuple(map(str, value))
    if kind == "positions":
        return tuple(map(int, value))
    if kind == "pairs":
        return tuple((int(first), int(second)) for first, second in value)
    if kind == "placed":
        label, position = value
        return str(label), None if position is None else int(position)
    return str(value)
