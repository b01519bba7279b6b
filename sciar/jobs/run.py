"""Run a job: records in, shards of rows out; what is done already is not done again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any, Protocol

from sciar import __version__
from sciar.errors import UsageError
from sciar.jobs.batches import Answers, Budget, answer_all
from sciar.jobs.folder import OutputFolder
from sciar.jobs.manifest import Manifest
from sciar.jobs.progress import Progress, Silent
from sciar.jobs.rows import Answer
from sciar.jobs.source import Source, is_failure
from sciar.jobs.worker import Recipe, Worker

SHARD_SIZE, BATCH_TOKENS = 1_000, 16_384
SAVE_SECONDS = 20.0
"""How much work a process that is killed may lose, where a shard takes longer."""
_SHOWN = 5


@dataclass(frozen=True)
class Job:
    """What is to be done. Neither batch size nor place changes a row; shard size cuts files.

    Attributes:
        name: of the command, such as ``annotate``.
        source: the records.
        recipe: how to make the worker.
        out: output folder.
        shard_size: records a shard.
        batch_tokens: token budget of a batch.
    """

    name: str
    source: Source
    recipe: Recipe
    out: Path
    shard_size: int = SHARD_SIZE
    batch_tokens: int = BATCH_TOKENS

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise UsageError(f"a shard holds at least one record, not {self.shard_size}")
        Budget(self.batch_tokens)


@dataclass(frozen=True)
class Chunk:
    """The records of one shard.

    Attributes:
        index: of the shard.
        ids: id of every record, bad ones included.
        records: position -> record, without the bad ones.
        refused: position -> answers about the bad ones.
    """

    index: int
    ids: list[str]
    records: dict[int, Any]
    refused: Answers


class Executor(Protocol):
    """Works on chunks, here or on a cluster; shards may come in any order."""

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Answers]]:
        """Chunks with the answers about their good records. Ends early when asked to stop."""


@dataclass
class Outcome:
    """What became of a job.

    Attributes:
        records: records that have their rows.
        bad: records without any answer.
        failed: task -> rows that failed.
        complete: whether all records have their rows.
        kept: shards that were there before.
        remade: names of shards that were listed, but missing or changed.
        examples: the first failures of this run, as (id, task, message).
        seconds: time of this run.
    """

    records: int
    bad: int
    failed: dict[str, int]
    complete: bool
    kept: int = 0
    remade: list[str] = field(default_factory=list)
    examples: list[tuple[str, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Rows of those records."""
        return self.records * len(self.failed)

    @property
    def good(self) -> int:
        """Rows with a value."""
        return self.rows - sum(self.failed.values())


def run(
    job: Job,
    *,
    resume: bool = False,
    stop: Callable[[], object] = lambda: False,
    progress: Progress | None = None,
    cluster: Callable[[Worker, Progress], Executor] | None = None,
    save_seconds: float = SAVE_SECONDS,
) -> Outcome:
    """Run a job to its end, or until it is asked to stop.

    Args:
        job: what is to be done.
        resume: go on with the job of the output folder; a new folder starts it.
        stop: asked after every batch; true ends the run so that it can be resumed.
        progress: told how far the work is.
        cluster: makes the executor that takes the place of this process.
        save_seconds: how often the answers of an unfinished shard are kept.

    Raises:
        UsageError: the input or the output folder cannot be used.
        ModelError: the worker cannot work.
    """
    start = time.monotonic()
    if next(iter(job.source.records()), None) is None:
        raise UsageError(f"{job.source.facts()['name']}: the file holds no records")
    worker = job.recipe()
    facts = {
        "name": job.name,
        "sciar": __version__,
        "input": job.source.facts(),
        "worker": worker.identity(),
        "tasks": dict(worker.tasks),
        "shard_size": job.shard_size,
    }
    told = progress or Silent()
    with OutputFolder(job.out, facts, worker.tasks, resume) as folder:
        kept = len(folder.manifest.shards)
        examples: list[tuple[str, str, str]] = []
        if not folder.manifest.complete:
            done = sum(s.records for s in folder.manifest.shards.values())
            here = Here(worker, job.batch_tokens, folder, stop, told, save_seconds)
            chunks = _Chunks(job, folder, worker, stop)
            with told.started(job.source.count(), done):
                executor = cluster(worker, told) if cluster else here
                for chunk, answers in executor.run(iter(chunks)):
                    told.add(len(chunk.refused), len(chunk.refused))
                    answers |= chunk.refused
                    folder.add(chunk.index, chunk.ids, answers)
                    _note(examples, chunk, answers, worker)
            if chunks.total == len(folder.manifest.shards):
                folder.finish()
        seconds = time.monotonic() - start
        return _outcome(folder.manifest, worker, kept, folder.remade, examples, seconds)


class _Chunks:
    """The input in shards, without those that are done.

    Attributes:
        total: number of shards of the whole input, once it is known.
    """

    def __init__(
        self, job: Job, folder: OutputFolder, worker: Worker, stop: Callable[[], object]
    ) -> None:
        self._job, self._folder, self._stop = job, folder, stop
        self._width = len(worker.tasks)
        self.total: int | None = None

    def __iter__(self) -> Iterator[Chunk]:
        items = iter(self._job.source.records())
        for index in count():
            if self._stop():
                return
            some = islice(items, self._job.shard_size)
            if self._folder.has(index):
                found = sum(1 for _ in some)
            else:
                chunk = self._chunk(index, some)
                found = len(chunk.ids)
                if found:
                    yield chunk
            if found < self._job.shard_size:
                self.total = index + (found > 0)
                return

    def _chunk(self, index: int, items: Iterable[Any]) -> Chunk:
        chunk = Chunk(index, [], {}, {})
        for position, item in enumerate(items):
            chunk.ids.append(item.id)
            if is_failure(item):
                chunk.refused[position] = (Answer.refused(item.error),) * self._width
            else:
                chunk.records[position] = item
        return chunk


class Here:
    """The executor of one process: shard by shard, batch by batch."""

    def __init__(
        self,
        worker: Worker,
        batch_tokens: int,
        folder: OutputFolder,
        stop: Callable[[], object],
        told: Progress,
        save_seconds: float,
    ) -> None:
        self._worker, self._budget, self._folder = worker, Budget(batch_tokens), folder
        self._stop, self._told, self._every = stop, told, save_seconds

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Answers]]:
        """See :class:`Executor`."""
        for chunk in chunks:
            answers = self._folder.unfinished(chunk.index)
            self._told.add(len(answers), _bad(answers))
            saved = time.monotonic()
            for some in answer_all(self._worker, chunk.records, self._budget, set(answers)):
                answers |= some
                self._told.add(len(some), _bad(some))
                stopped = self._stop() and len(answers) < len(chunk.records)
                if stopped or time.monotonic() - saved >= self._every:
                    self._folder.save_unfinished(chunk.index, answers)
                    saved = time.monotonic()
                if stopped:
                    return
            yield chunk, answers


def _bad(answers: Answers) -> int:
    return sum(not any(a.ok for a in one) for one in answers.values())


def _note(
    examples: list[tuple[str, str, str]], chunk: Chunk, answers: Answers, worker: Worker
) -> None:
    """Keep the first failures, to show them at the end."""
    for position in sorted(answers):
        for task, answer in zip(worker.tasks, answers[position], strict=True):
            if len(examples) < _SHOWN and not answer.ok:
                examples.append((chunk.ids[position], task, answer.message))
                break


def _outcome(
    manifest: Manifest,
    worker: Worker,
    kept: int,
    remade: list[str],
    examples: list[tuple[str, str, str]],
    seconds: float,
) -> Outcome:
    failed: Counter[str] = Counter(dict.fromkeys(worker.tasks, 0))
    for shard in manifest.shards.values():
        failed.update(shard.failed)
    return Outcome(
        records=sum(s.records for s in manifest.shards.values()),
        bad=sum(s.bad for s in manifest.shards.values()),
        failed=dict(failed),
        complete=manifest.complete,
        kept=kept,
        remade=remade,
        examples=examples,
        seconds=seconds,
    )
