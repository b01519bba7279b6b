"""Where the records of a job come from, and what tells one input from another."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sciar.datasets.readers import RecordFailure
from sciar.errors import UsageError

_BLOCK = 1 << 20


class Source(Protocol):
    """Records that can be read again and again, one at a time."""

    def facts(self) -> dict[str, Any]:
        """Plain facts that fix the records: name, digest, options of the reader."""

    def count(self) -> int | None:
        """How many records there are, failures included; ``None`` if counting takes too long."""

    def records(self) -> Iterator[Any]:
        """Records, each with an ``id``, and :class:`RecordFailure` in the place of bad ones."""


@dataclass(frozen=True)
class FileSource:
    """A file, or a folder of files, and the reader for it.

    Attributes:
        path: what is read.
        read: path and options by name -> records and failures, one at a time.
        options: options of the reader, plain values.
    """

    path: Path
    read: Callable[..., Iterable[Any]]
    options: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Name, SHA-256 of the content, and options.

        Raises:
            UsageError: there is nothing there, or it cannot be read.
        """
        path = Path(self.path)
        try:
            digest = _folder_digest(path) if path.is_dir() else _digest(path)
        except FileNotFoundError as error:
            raise UsageError(f"{path}: no such file or folder; check the path") from error
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
        name = path.resolve().name
        return {"name": name, "sha256": digest, **{k: v for k, v in self.options.items() if v}}

    def count(self) -> int | None:
        """Records of a file, by reading it once; structure files of a folder are not read twice."""
        if Path(self.path).is_dir():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told when the records are used
            return sum(1 for _ in self.records())

    def records(self) -> Iterator[Any]:
        """Records and failures, in order.

        Raises:
            UsageError: the file is of no known format or empty, or it changed while it was read.
        """
        items = self.read(self.path, **self.options)
        before = _stamp(Path(self.path))
        yield from items
        if _stamp(Path(self.path)) != before:
            raise UsageError(f"{self.path}: changed while it was read; start again in a new folder")


def is_failure(item: Any) -> bool:
    """Whether an item of a source stands for a record that could not be read."""
    return isinstance(item, RecordFailure)


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _folder_digest(folder: Path) -> str:
    """Of the names and contents of its files."""
    lines = [f"{p.name}\0{_digest(p)}\n" for p in sorted(folder.iterdir()) if p.is_file()]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
