"""The one class that a new kind of job writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sciar.jobs.rows import Answer


class Worker(Protocol):
    """Turns records into answers, in this process or in one of a cluster.

    Attributes:
        tasks: name of each task -> kind of its values (``sciar.jobs.rows.KINDS``); a record gets
            one row a task, in this order.
    """

    @property
    def tasks(self) -> Mapping[str, str]: ...

    def identity(self) -> dict[str, Any]:
        """Plain facts that fix the answers: fingerprints of model and tokenizer, settings.

        A job goes on only with a worker of the same identity. The device is not part of it.
        """

    def tokens(self, record: Any) -> int:
        """Length of a record in the unit of the token budget."""

    def run(self, records: Sequence[Any]) -> Sequence[Sequence[Answer]]:
        """One answer a task for each record, in order; they do not depend on the other records.

        What is wrong with one record is a failed answer. A :class:`~sciar.errors.RecordError` or
        another error that is raised is traced to its record by running smaller batches; an
        out-of-memory error halves the budget. :class:`~sciar.errors.ModelError`,
        :class:`~sciar.errors.UsageError` and :class:`OSError` end the job.
        """


@dataclass(frozen=True)
class Recipe:
    """How to make a worker, wherever it is to run.

    Attributes:
        make: a class or function of a module; processes of a cluster import it by its name.
        options: arguments by name, plain values.
    """

    make: Callable[..., Worker]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Worker:
        return self.make(**self.options)
