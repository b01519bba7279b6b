"""Scores of many structures: in parallel, with time limits, each once, and no failure is fatal."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from types import TracebackType
from typing import Any

import numpy as np

from sciar.designing.objectives import Objective
from sciar.errors import RecordError, UsageError
from sciar.evaluation.processes import Outcome, ProcessMap
from sciar.records import Crystal, Molecule, Structure

OK, RAISED, TIMED_OUT, WRONG = "ok", "raised", "timed out", "wrong result"


@dataclass(frozen=True)
class Score:
    """What an objective said of a structure.

    Attributes:
        value: the number, ``None`` if there is none.
        status: ``ok``, ``raised``, ``timed out`` or ``wrong result`` (NaN, infinite, or no number).
        message: why there is no number.
        cached: whether the same structure was scored before.
    """

    value: float | None
    status: str
    message: str = ""
    cached: bool = False


def key_of(structure: Structure) -> str:
    """The same for equal structures: graph and shape of a molecule, cell and sites of a crystal."""
    if isinstance(structure, Molecule):
        try:
            name = structure.to_smiles()
        except RecordError:
            name = ",".join(structure.symbols)
        shape = b"" if structure.positions is None else _rounded(structure.positions)
        return hashlib.sha256(name.encode() + shape).hexdigest()[:16]
    if isinstance(structure, Crystal):
        content = ",".join(structure.species).encode()
        content += _rounded(structure.lattice) + _rounded(structure.frac)
        return hashlib.sha256(content).hexdigest()[:16]
    return hashlib.sha256(repr(structure).encode()).hexdigest()[:16]


def _rounded(values: np.ndarray) -> bytes:
    return (np.round(values, 4) + 0.0).tobytes()


class Scorer:
    """Applies an objective to structures.

    Args:
        objective: callable of a structure.
        jobs: processes.
        timeout: seconds for one structure; ``None`` with one process runs it here, as lambdas and
            functions of a notebook need it.
        known: scores from an earlier part of the run, by :func:`key_of`.
    """

    def __init__(
        self,
        objective: Objective,
        jobs: int = 1,
        timeout: float | None = 60.0,
        known: dict[str, Score] | None = None,
    ) -> None:
        self.known = dict(known or {})
        self._pool = ProcessMap(objective, jobs=jobs, timeout=timeout)
        if (jobs > 1 or timeout is not None) and not _importable(objective):
            raise UsageError(
                "other processes cannot import this objective (a lambda, or a function of a "
                "notebook or script); put it into a module, or run it here with jobs=1 and "
                "timeout=None"
            )

    def __enter__(self) -> Scorer:
        self._pool.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.__exit__(kind, error, trace)

    def score(self, structures: Sequence[Structure]) -> list[Score]:
        """One score for each, in order; equal ones are scored once."""
        keys = [key_of(s) for s in structures]
        new = {k: s for k, s in zip(keys, structures, strict=True) if k not in self.known}
        outcomes = self._pool.map(list(new.values()), progress=False)
        fresh = dict(zip(new, map(_judged, outcomes), strict=True))
        found = []
        for key in keys:
            if key in fresh:
                score = self.known[key] = fresh.pop(key)
                found.append(score)
            else:
                old = self.known[key]
                found.append(Score(old.value, old.status, old.message, cached=True))
        return found


def _judged(outcome: Outcome) -> Score:
    if outcome.timed_out:
        return Score(None, TIMED_OUT, "the time limit was reached")
    if outcome.error is not None:
        return Score(None, RAISED, outcome.error)
    value: Any = outcome.value
    if isinstance(value, bool) or not isinstance(value, Real | np.number):
        return Score(None, WRONG, f"an objective gives a number, not {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        return Score(None, WRONG, f"an objective gives a finite number, not {number}")
    return Score(number, OK)


def _importable(objective: Any) -> bool:
    """Whether a fresh process finds the callable under its name."""
    target = getattr(objective, "func", objective)
    if not hasattr(target, "__qualname__"):
        target = type(target)
    return target.__module__ != "__main__" and "<" not in target.__qualname__
