"""From images and measurements to programs: what ``Model.invert`` and its job do.

An observation is decoded once by the likeliest words and numbers, and with ``samples`` K also K - 1
times at random. With ``verify`` each program is drawn or simulated and held against the
observation; the best is kept, and its real numbers are refined.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from sciar.api.samples import FAILED, OK
from sciar.api.verification import Verifier
from sciar.errors import RecordError, UsageError
from sciar.generation.engine import Drawn, Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.generation.uncertainty import intervals
from sciar.heads.base import SamplerSettings
from sciar.records import Program, Structure
from sciar.tokenization.cursor import Request
from sciar.tokenization.programs.observed import ObservedProgramTokenizer
from sciar.tokenization.programs.spans import Spans, spans_of
from sciar.tokenization.programs.structures import structure_of
from sciar.tokenization.programs.text import write_program

if TYPE_CHECKING:
    from sciar.api.model import Model

Seen = tuple[str, Any]
"""Id, and an array of pixels, a powder pattern, or the error that reading it gave."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One program that was decoded.

    Attributes:
        program: the calls.
        logp: log-probability of its words.
        residual: against the observation; ``None`` if nothing was verified.
    """

    program: Program
    logp: float
    residual: float | None = None


@dataclass(frozen=True, eq=False)
class Inversion:
    """What a model says of one observation.

    Attributes:
        id: of the observation.
        status: ``ok`` or ``failed``.
        message: why it failed; empty if it did not.
        program: what was decoded, or chosen and refined.
        text: the same as text.
        spans: for each call the intervals of its numbers, from the heads, under the numbers before
            them; those of the chosen candidate, before its refinement.
        level: probability inside an interval.
        residual: root mean square difference after refinement; ``None`` if nothing was verified.
        unrefined: the same before refinement.
        candidates: all that were decoded, in order; the first is the likeliest, word by word.
        chosen: which of them was kept.
        seconds: of verification and refinement.
    """

    id: str
    status: str
    message: str = ""
    program: Program | None = None
    text: str = ""
    spans: Spans = field(default_factory=list)
    level: float = 0.0
    residual: float | None = None
    unrefined: float | None = None
    candidates: tuple[Candidate, ...] = ()
    chosen: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is a program."""
        return self.program is not None

    @property
    def structure(self) -> Structure:
        """The crystal, or the points of the columns, that the program describes.

        Raises:
            RecordError: it describes none, or failed.
        """
        if self.program is None:
            raise RecordError(self.message, record=self.id)
        try:
            return structure_of(self.program)
        except RecordError as error:
            raise error.located(record=self.id) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain form: one object of a JSON file."""
        row: dict[str, Any] = {"id": self.id, "status": self.status, "message": self.message}
        if self.program is None:
            return row
        calls: list[dict[str, Any]] = []
        for i, call in enumerate(self.program.calls):
            calls.append({"call": call.name, "arguments": _short(dict(call.arguments))})
            if i < len(self.spans) and self.spans[i]:
                calls[-1]["intervals"] = _short(self.spans[i])
        row |= {"program": self.text, "calls": calls, "level": self.level}
        if self.residual is not None:
            row |= {
                "residual": _short(self.residual),
                "unrefined": _short(self.unrefined),
                "chosen": self.chosen,
                "residuals": [_short(c.residual) for c in self.candidates],
                "seconds": round(self.seconds, 3),
            }
        return row


def _short(value: Any) -> Any:
    """Numbers with five digits: fewer than what depends on the company in a batch."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    return [_short(v) for v in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class InversionSettings:
    """How observations are decoded.

    Attributes:
        samples: programs that are drawn of each, K.
        verify: draw or simulate each program, keep the best and refine it.
        refine: most evaluations of the refinement, without finite differences; 0: none.
        level: probability inside the intervals.
        temperature: of words and numbers of all programs but the first.
        seed: with the id of an observation it fixes its programs.
        batch_size: programs in the making at once; it never changes them.
    """

    samples: int = 1
    verify: bool = False
    refine: int = 20
    level: float = 0.9
    temperature: float = 1.0
    seed: int = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.samples < 1 or self.refine < 0 or not 0 < self.level < 1:
            raise UsageError(
                "samples is at least 1, refine not negative, and a level lies between 0 and 1"
            )
        if self.samples > 1 and not self.verify:
            raise UsageError("several programs of one observation are told apart by verify")


def invert(
    model: Model, observations: Iterable[Seen], settings: InversionSettings
) -> Iterator[Inversion]:
    """One inversion an observation, in order; a bad one gives a failed one.

    Args:
        model: of programs.
        observations: id and array, pattern or error.
        settings: how.

    Raises:
        UsageError: the model decodes no observations.
        ModelError: the programs cannot be verified, see :meth:`Verifier.of`.
    """
    tokenizer = model.tokenizer
    if not isinstance(tokenizer, ObservedProgramTokenizer):
        raise UsageError(f"{model.name} describes neither images nor patterns")
    verifier = Verifier.of(model.info, tokenizer) if settings.verify else None
    return _inversions(model, tokenizer, observations, settings, verifier)


def _inversions(
    model: Model,
    tokenizer: ObservedProgramTokenizer,
    observations: Iterable[Seen],
    settings: InversionSettings,
    verifier: Verifier | None,
) -> Iterator[Inversion]:
    items = iter(observations)
    size = max(1, settings.batch_size // settings.samples)
    while chunk := list(islice(items, size)):
        requests: dict[int, Request] = {}
        failed: dict[int, str] = {}
        for place, (id, given) in enumerate(chunk):
            try:
                requests[place] = tokenizer.request({tokenizer.frame.name: given}, id)
            except RecordError as error:
                failed[place] = str(error.located(record=id))
        drawn = _drawn(model, tokenizer, requests, settings)
        for place, (id, given) in enumerate(chunk):
            if place in failed:
                yield Inversion(id, FAILED, failed[place])
            else:
                seen = tokenizer.frame.read(given) if verifier is not None else None
                yield _judged(model, tokenizer, id, seen, drawn[place], settings, verifier)


def _drawn(
    model: Model,
    tokenizer: ObservedProgramTokenizer,
    requests: dict[int, Request],
    settings: InversionSettings,
) -> dict[int, list[Drawn]]:
    """All programs of each observation, the likeliest one first."""
    found: dict[int, list[Drawn]] = {place: [] for place in requests}
    cold = GenerationSettings(
        batch_size=settings.batch_size,
        temperature=0.0,
        payload=SamplerSettings(temperature=0.0),
        seed=settings.seed,
        max_tokens=1 << 20,
    )
    heat = settings.temperature
    warm = replace(cold, temperature=heat, payload=SamplerSettings(temperature=heat))
    k = settings.samples
    plans = [(cold, range(1))] + ([(warm, range(1, k))] if k > 1 else [])
    # A program hangs on the id of its observation alone, not on its place or company.
    starts = {place: _number(request.id) * k for place, request in requests.items()}
    for how, numbers in plans:
        jobs, owner = [], {}
        for place, request in requests.items():
            for n in numbers:
                jobs.append(Job(request, starts[place] + n))
                owner[id(jobs[-1])] = place
        engine = Engine(model.network, tokenizer, how)
        for one in sorted(engine.run(jobs), key=lambda d: d.job.index):
            found[owner[id(one.job)]].append(one)
    return found


def _number(id: str) -> int:
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:5], "little")


def _judged(
    model: Model,
    tokenizer: ObservedProgramTokenizer,
    id: str,
    seen: np.ndarray | None,
    drawn: Sequence[Drawn],
    settings: InversionSettings,
    verifier: Verifier | None,
) -> Inversion:
    start = time.monotonic()
    made: list[tuple[Candidate, Drawn]] = []
    problem = ""
    for one in drawn:
        try:
            if one.failure:
                raise RecordError(one.failure)
            decoded: object = tokenizer.decode(one.sequence)
        except RecordError as error:
            problem = problem or str(error)
            continue
        assert isinstance(decoded, Program)
        left = None
        if verifier is not None and seen is not None:
            left = verifier.residual(decoded, seen)
        made.append((Candidate(decoded, one.logp, left), one))
    if not made:
        return Inversion(id, FAILED, problem)
    chosen = min(range(len(made)), key=lambda i: (made[i][0].residual or 0.0, i))
    best, one = made[chosen]
    ends = intervals(model.network, [one.sequence], settings.level)[0]
    program, residual = best.program, best.residual
    if verifier is not None and seen is not None:
        program, residual = verifier.refined(program, seen, settings.refine)
    return Inversion(
        id,
        OK,
        program=program,
        text=write_program(program, tokenizer.language),
        spans=spans_of(tokenizer, one.sequence, ends),
        level=settings.level,
        residual=residual,
        unrefined=best.residual,
        candidates=tuple(candidate for candidate, _ in made),
        chosen=chosen,
        seconds=time.monotonic() - start,
    )
