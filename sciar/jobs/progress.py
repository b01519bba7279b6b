"""How far a job is: a bar with rate and remaining time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """What is told about a job while it runs."""

    def started(self, total: int | None, done: int) -> AbstractContextManager[None]:
        """The work is about to begin: so many records, of which some are done already."""

    def add(self, records: int, bad: int) -> None:
        """So many records more have their answers, of which some have none but failures."""


class Silent:
    """Says nothing."""

    @contextmanager
    def started(self, total: int | None, done: int) -> Iterator[None]:
        """See :class:`Progress`."""
        yield

    def add(self, records: int, bad: int) -> None:
        """See :class:`Progress`."""


class Bar:
    """A line on standard error; into a file it is written twice a minute.

    Args:
        unit: name of a record.
    """

    def __init__(self, unit: str) -> None:
        self._unit, self._bad = unit, 0
        self._bar: Any = None

    @contextmanager
    def started(self, total: int | None, done: int) -> Iterator[None]:
        """See :class:`Progress`; the rate counts the records of this run only."""
        from tqdm import tqdm

        interval = 0.2 if sys.stderr.isatty() else 30.0
        # averaged over the whole run: batches of long records are much slower than those of short
        options = {"mininterval": interval, "smoothing": 0.0, "file": sys.stderr}
        with tqdm(total=total, initial=done, unit=self._unit, **options) as self._bar:
            yield

    def add(self, records: int, bad: int) -> None:
        """See :class:`Progress`."""
        self._bad += bad
        if bad:
            self._bar.set_postfix(bad=self._bad, refresh=False)
        self._bar.update(records)
