"""Batches of records of similar length, halved when memory runs out."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sciar.errors import ModelError, RecordError, UsageError
from sciar.jobs.rows import Answer, checked
from sciar.jobs.worker import Worker

Answers = dict[int, tuple[Answer, ...]]
"""Position of a record in its shard -> one answer a task."""

_ENDS_THE_JOB = (ModelError, UsageError, OSError, ImportError)


@dataclass
class Budget:
    """Most tokens in a batch, padding included.

    Attributes:
        tokens: the present budget; it only shrinks.
    """

    tokens: int

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise UsageError(f"a batch holds at least one token, not {self.tokens}")

    def halve(self, padded: int) -> None:
        """A batch of ``padded`` tokens was too large."""
        self.tokens = max(1, min(self.tokens, padded) // 2)


def answer_all(
    worker: Worker, records: Mapping[int, Any], budget: Budget, done: Collection[int] = ()
) -> Iterator[Answers]:
    """Answers about the records of a shard, batch by batch.

    Batches are planned over all records, so that those that are left after an interruption meet
    the same company as without one, and give the same bits.

    Args:
        worker: who answers.
        records: position in the shard -> record.
        budget: tokens a batch; shrinks when memory runs out, and stays small.
        done: positions that are answered already.

    Raises:
        ModelError, UsageError, OSError: the worker cannot go on.
    """
    lengths = {i: worker.tokens(record) for i, record in records.items()}
    pending = deque(_left(_plan(lengths, budget), done))
    while pending:
        batch = pending.popleft()
        try:
            given = worker.run([records[i] for i in batch])
        except _ENDS_THE_JOB:
            raise
        except Exception as error:
            if _is_fatal(error):
                raise
            if len(batch) == 1:
                yield {batch[0]: _refusal(error, lengths[batch[0]], worker)}
            elif out_of_memory(error):
                budget.halve(len(batch) * max(lengths[i] for i in batch))
                left = {i: lengths[i] for one in (batch, *pending) for i in one}
                pending = deque(_plan(left, budget))
            else:
                half = len(batch) // 2
                pending.extendleft((batch[half:], batch[:half]))
            if out_of_memory(error):
                _release()
            continue
        if len(given) != len(batch):
            raise ValueError(f"a worker answered {len(given)} of {len(batch)} records")
        yield {i: checked(one, worker.tasks) for i, one in zip(batch, given, strict=True)}


def _plan(lengths: Mapping[int, int], budget: Budget) -> list[list[int]]:
    """Positions in batches of similar length; a record longer than the budget has its own."""
    planned: list[list[int]] = []
    for position in sorted(lengths, key=lambda i: (lengths[i], i)):
        if planned and lengths[position] * (len(planned[-1]) + 1) <= budget.tokens:
            planned[-1].append(position)
        else:
            planned.append([position])
    return planned


def _left(planned: list[list[int]], done: Collection[int]) -> list[list[int]]:
    left = ([i for i in batch if i not in done] for batch in planned)
    return [batch for batch in left if batch]


def _refusal(error: Exception, tokens: int, worker: Worker) -> tuple[Answer, ...]:
    if isinstance(error, RecordError):
        answer = Answer.refused(error)
    elif out_of_memory(error):
        answer = Answer.failed(f"needs more memory than there is ({tokens:,} tokens)")
    else:
        answer = Answer.failed(f"the worker failed on this record: {error!r}")
    return (answer,) * len(worker.tasks)


def out_of_memory(error: Exception) -> bool:
    """Whether a smaller batch may help: PyTorch's own error, or its text, or Python's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    told = "out of memory" in text or "can't allocate memory" in text
    return isinstance(error, RuntimeError) and told


def _is_fatal(error: Exception) -> bool:
    """A device that has failed answers nothing any more; later rows must not be written as bad."""
    text = str(error)
    return isinstance(error, RuntimeError) and "CUDA error" in text and not out_of_memory(error)


def _release() -> None:
    """Give back what the failed batch held."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
