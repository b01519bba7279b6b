"""What every format reader yields: entries whose structure is built later, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciar.errors import RecordError
from sciar.records import Structure

Built = tuple[Structure, dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One record of a file before its structure is built.

    Attributes:
        id: identifier given in the file, or ``None`` to have one made from file name and position.
        build: makes (structure or protein, properties); raises :class:`RecordError` if the record
            is bad.
    """

    id: str | None
    build: Callable[[], tuple[Any, dict[str, Any]]]

    @classmethod
    def failed(cls, error: RecordError, id: str | None = None) -> Entry:
        """An entry that is already known to be bad."""

        def build() -> Built:
            raise error

        return cls(id, build)


Reader = Callable[[Path], Iterator[Entry]]
