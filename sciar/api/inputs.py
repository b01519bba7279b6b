"""Structures to score, from files, data sets, samples, records or the chemistry libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sciar.api.samples import REJECTED, Sample
from sciar.datasets.molecule_graph import perceive
from sciar.datasets.readers import Kind, RecordFailure, read
from sciar.datasets.registry import DATASETS, lookup, resolve
from sciar.errors import RecordError, UsageError
from sciar.records import Molecule, Record

_NUMBERED = re.compile(r"(.+)_\d+\Z")
RELAXED = "relaxed"
"""Fact ``geometry`` of a candidate whose structure is not as it was drawn."""
RUN = "run"
"""Selection of samples that come from the model itself: nothing is left out yet."""


@dataclass(frozen=True, eq=False)
class Item:
    """One structure with its identity.

    Attributes:
        id: of the record or sample; ``None`` for a bare structure.
        input: id of what it was made for, if it says so.
        structure: anything that :mod:`sciar.evaluation` takes; ``None`` if it failed.
        rejected: the structure that a check of the generator refused.
        selection: ``raw`` or ``kept`` if the record says which samples of a run its file holds,
            ``run`` for a sample of a model.
        requested: samples asked for in that run, if the record says so.
        drawn: whether a model finished it, if known.
        chosen: whether a ranking by likelihood chose it, if there was one.
        ranks: ranking -> place among the candidates of its input, if it was ranked as one.
        relaxed: whether the structure is one that a potential relaxed.
    """

    id: str | None
    structure: Any
    input: str | None = None
    rejected: Any = None
    selection: str = ""
    requested: int | None = None
    drawn: bool | None = None
    chosen: bool | None = None
    ranks: Mapping[str, int] = field(default_factory=dict)
    relaxed: bool = False


@dataclass(frozen=True, eq=False)
class Collection:
    """Structures, and the named data set that they are, if any."""

    items: list[Item]
    dataset: str | None = None

    @property
    def structures(self) -> list[Any]:
        """All structures, ``None`` for failed ones."""
        return [item.structure for item in self.items]


def is_dataset(source: object) -> bool:
    """Whether this is the name of a data set, and not a file that exists."""
    if not isinstance(source, str) or Path(source).exists():
        return False
    return source.lower().replace("-", "_") in {name.replace("-", "_") for name in DATASETS}


def collect(source: Any, kind: Kind, split: str = "test") -> Collection:
    """All structures of a source.

    Args:
        source: path, name of a data set (its ``split`` is read), or a sequence of samples,
            records, failures, pymatgen structures, RDKit molecules or ``None``.
        kind: ``crystal`` or ``molecule``; records of a file that are of the other kind failed.

    Raises:
        UsageError: no such file or set, or nothing in it.
    """
    if isinstance(source, str | Path):
        dataset = lookup(str(source)).name if is_dataset(source) else None
        path = resolve(str(source), split) if dataset else Path(source)
        items = [_item(x) for x in read(path, kind=kind)]
    else:
        dataset, items = None, [_item(x) for x in source]
    if not items:
        raise UsageError(f"nothing to evaluate: {source if dataset else 'the source'} is empty")
    return Collection(items, dataset)


def _item(given: Any) -> Item:
    if isinstance(given, Item):
        return given
    if isinstance(given, Sample):
        drawn = given.attempts > 0
        about = (given.input, given.rejected, RUN, None, drawn, given.chosen)
        return Item(given.id, given.record, *about, *_ranked(given.notes))
    if isinstance(given, Record):
        return _of_record(given)
    if isinstance(given, RecordFailure):
        return Item(given.id, None)
    return Item(None, given)


def _of_record(record: Record) -> Item:
    """With what ``sciar generate`` wrote beside the structure."""
    facts = record.properties
    asked = facts.get("input")
    asked = None if asked is None else str(asked)
    item = Item(record.id, record.structure, asked)
    ranks, relaxed = _ranked(facts)
    item = replace(item, ranks=ranks, relaxed=relaxed)
    if facts.get("chosen") in (0, 1):
        item = replace(item, chosen=bool(facts["chosen"]))
    selection, requested = facts.get("selection"), facts.get("requested")
    if selection not in ("raw", "kept"):
        return item
    number = requested if isinstance(requested, int) else None
    item = replace(item, selection=selection, requested=number)
    refused = selection == "raw" and facts.get("status") == REJECTED
    return replace(item, structure=None, rejected=record.structure) if refused else item


def _ranked(facts: Mapping[str, Any]) -> tuple[dict[str, int], bool]:
    """What ``sciar generate --rank`` wrote: ``rank_energy`` and its like, and the geometry."""
    named = {k.removeprefix("rank_"): v for k, v in facts.items() if k.startswith("rank_")}
    ranks = {name: int(place) for name, place in named.items() if isinstance(place, int | float)}
    return ranks, facts.get("geometry") == RELAXED


def origin(item: Item, references: Mapping[str, int]) -> int | None:
    """Place of the reference that an item was made for, by its id; ``None`` if there is none.

    The id of the input that a sample carries counts first, then its own id, then its own id
    without the number of the sample (``mp-1_3`` belongs to ``mp-1``).
    """
    if item.id is None:
        return None
    numbered = _NUMBERED.match(item.id)
    names = (item.input, item.id, numbered[1] if numbered else None)
    return next((references[n] for n in names if n is not None and n in references), None)


def places(references: Sequence[Item]) -> dict[str, int]:
    """Id -> place."""
    return {item.id: i for i, item in enumerate(references) if item.id is not None}


def grouped(
    generated: Sequence[Item], references: Sequence[Item]
) -> tuple[list[list[Any]], list[str]]:
    """Structures of each reference in order, and the ids that belong to no reference.

    A failed sample of something that is no reference says nothing and is left out.
    """
    known = places(references)
    groups: list[list[Any]] = [[] for _ in references]
    strangers: list[str] = []
    for item in generated:
        place = origin(item, known)
        if place is None and item.structure is not None:
            strangers.append(item.id or "without id")
        elif place is not None:
            groups[place].append(item.structure)
    return groups, strangers


def nested(source: Any) -> bool:
    """Whether a source is a sequence of groups, one a reference."""
    return isinstance(source, Sequence) and any(isinstance(x, list | tuple) for x in source)


def with_graph(structure: Any) -> Any:
    """A molecule with its bonds, perceived if the file had none; ``None`` if that fails."""
    if not isinstance(structure, Molecule) or structure.mol is not None:
        return structure
    try:
        return perceive(structure)
    except RecordError:
        return None


def usable(structures: Sequence[Any]) -> list[Any]:
    """Those that did not fail."""
    return [s for s in structures if s is not None]
