"""From requests to structures with a verdict on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sciar.errors import RecordError
from sciar.generation.engine import Drawn, Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.model import AutoregressiveModel
from sciar.records import Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Request

OK, FAILED = "ok", "failed"


@dataclass(frozen=True, eq=False)
class RawSample:
    """One sample, whatever became of it.

    Attributes:
        request: what was asked for; its ``id`` is the id of the input record.
        index: place of the sample in the run; with the seed it fixes the sample.
        structure: the structure, or ``None`` if it failed.
        rejected: the structure that a check refused, ``None`` if there is none: the symbols and
            numbers made no structure, or it was not refused.
        status: ``ok`` or ``failed``.
        message: why it failed.
        logp: log-probability (see :class:`~sciar.generation.engine.Drawn`).
        attempts: how many times it was drawn.
        earlier: why the attempts before the last one failed, in order.
    """

    request: Request
    index: int
    structure: Structure | None
    status: str
    message: str
    logp: float
    attempts: int
    rejected: Structure | None = None
    earlier: tuple[str, ...] = ()


def draw(
    model: AutoregressiveModel,
    tokenizer: LayoutTokenizer,
    requests: Sequence[Request],
    settings: GenerationSettings,
    first_index: int = 0,
) -> Iterator[RawSample]:
    """One sample for each request, as they finish; see :func:`draw_jobs`."""
    jobs = [Job(request, first_index + i) for i, request in enumerate(requests)]
    yield from draw_jobs(model, tokenizer, jobs, settings)


def draw_jobs(
    model: AutoregressiveModel,
    tokenizer: LayoutTokenizer,
    jobs: Sequence[Job],
    settings: GenerationSettings,
) -> Iterator[RawSample]:
    """One sample for each job, as they finish.

    Failures are drawn again at the end, up to ``retries`` times. A request that occurs several
    times is one object, so that its prompt is prefilled once.
    """
    earlier: dict[int, tuple[str, ...]] = {}
    while jobs:
        again: list[Job] = []
        for drawn in Engine(model, tokenizer, settings).run(jobs):
            sample, job = judge(tokenizer, drawn), drawn.job
            before = earlier.pop(job.index, ())
            if sample.status == FAILED and job.attempt < settings.retries:
                again.append(Job(job.request, job.index, job.attempt + 1))
                earlier[job.index] = (*before, sample.message)
            else:
                yield replace(sample, earlier=before)
        jobs = again


def judge(tokenizer: LayoutTokenizer, drawn: Drawn) -> RawSample:
    """Decode one sequence and check that it is what was asked for."""
    structure: Structure | None = None
    message = drawn.failure
    if not message:
        try:
            structure = tokenizer.decode(drawn.sequence)
            structure = tokenizer.finish(structure, drawn.job.request)
            message = tokenizer.verify(structure, drawn.job.request)
        except RecordError as error:
            message = str(error)
    # Raw figures are taken over every structure, so a refused one is kept beside its verdict.
    return RawSample(
        request=drawn.job.request,
        index=drawn.job.index,
        structure=structure if not message else None,
        status=FAILED if message else OK,
        message=message,
        logp=drawn.logp,
        attempts=drawn.job.attempt + 1,
        rejected=structure if message else None,
    )
