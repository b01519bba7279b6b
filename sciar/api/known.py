"""Which known structures a model takes its templates from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sciar.datasets.known import known_of, read_known
from sciar.datasets.readers import RecordFailure
from sciar.errors import UsageError
from sciar.records import Record
from sciar.retrieval.index import StructureIndex
from sciar.tokenization.crystal_retrieval import RetrievalCrystalTokenizer

if TYPE_CHECKING:
    from sciar.api.model import Model

OWN = "training"
"""Stands for the structures that go with the model."""

Source = str | Path | StructureIndex | Sequence[str | Path | StructureIndex] | Iterable[Record]


def retrieving(model: Model) -> RetrievalCrystalTokenizer:
    """The tokenizer of a model that takes templates.

    Raises:
        UsageError: it takes none.
    """
    tokenizer = model.tokenizer
    if not isinstance(tokenizer, RetrievalCrystalTokenizer):
        raise UsageError(f"{model.name} takes no known structures; see the models *-retrieval")
    return tokenizer


def know(model: Model, source: Source | None) -> list[RecordFailure]:
    """Take templates from a source, or several; see :meth:`sciar.api.model.Model.know`."""
    tokenizer = retrieving(model)
    if source is None:
        tokenizer.know(None)
        return []
    failures: list[RecordFailure] = []
    known: StructureIndex | None = None
    for part in _parts(source):
        index, bad = _index(tokenizer, part)
        known = index if known is None else known + index
        failures += bad
    if known is None or not len(known):
        raise UsageError("no known structure is given")
    tokenizer.know(known)
    return failures


def _parts(source: Source) -> list[str | Path | StructureIndex | list[Record]]:
    if isinstance(source, str):
        return [part for part in source.split(",") if part]
    if isinstance(source, Path | StructureIndex):
        return [source]
    items = list(source)
    if all(isinstance(item, str | Path | StructureIndex) for item in items):
        return items  # type: ignore[return-value]
    return [items]  # type: ignore[list-item]


def _index(
    tokenizer: RetrievalCrystalTokenizer, part: str | Path | StructureIndex | list[Record]
) -> tuple[StructureIndex, list[RecordFailure]]:
    if isinstance(part, StructureIndex):
        return part, []
    if isinstance(part, list):
        return known_of(part)
    if part != OWN:
        return read_known(part)
    if tokenizer.own is None:
        raise UsageError("no known structures go with this model; name a folder of your own")
    return tokenizer.own, []
