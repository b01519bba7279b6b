"""Known structures from any source that readers take, as an index that can be searched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sciar.datasets.preparing import source_path
from sciar.datasets.readers import RecordFailure, read
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Record
from sciar.retrieval.elements import index_of
from sciar.retrieval.index import StructureIndex
from sciar.retrieval.store import FACTS, load_index


def read_known(source: str | Path) -> tuple[StructureIndex, list[RecordFailure]]:
    """Known structures of a file, a folder, a data set or a stored index.

    Records that cannot be used (broken, disordered, no crystal) are returned beside the index.

    Args:
        source: path, name of a data set (its split ``train``), or folder of
            :func:`sciar.retrieval.store.save_index`.

    Raises:
        UsageError: no such source, or no usable structure in it.
        ModelError: a damaged index.
    """
    path = source_path(str(source), "train")
    if (path / FACTS).is_file():
        return load_index(path), []
    index, failures = known_of(read(path, kind="crystal"))
    if not len(index):
        why = f"; the first: {failures[0].error}" if failures else ""
        raise UsageError(f"{path}: no usable crystal among {len(failures)} records{why}")
    return index, failures


def known_of(
    items: Iterable[Record | RecordFailure],
) -> tuple[StructureIndex, list[RecordFailure]]:
    """An index of the crystals among records, and those records that are no use."""
    usable: list[tuple[str, Crystal]] = []
    failures: list[RecordFailure] = []
    for item in items:
        reason = "" if isinstance(item, RecordFailure) else _unusable(item)
        if isinstance(item, RecordFailure):
            failures.append(item)
        elif reason:
            error = RecordError(reason).located(source=item.source, record=item.id)
            failures.append(RecordFailure(item.id, item.source, item.index, error))
        else:
            assert isinstance(item.structure, Crystal)
            usable.append((item.id, item.structure))
    return StructureIndex.of(usable), failures


def _unusable(record: Record) -> str:
    if not isinstance(record.structure, Crystal):
        return "no crystal"
    strange = [s for s in record.structure.species if s not in index_of()]
    return f"{strange[0]!r} is no element" if strange else ""
