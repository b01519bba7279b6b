"""From records as files hold them to records that a tokenizer can encode, and their division."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sciar.datasets.embedding import ConformerStore, embedded
from sciar.datasets.molecule_graph import perceive
from sciar.datasets.registry import resolve
from sciar.datasets.splits import (
    composition_split,
    random_split,
    scaffold_split,
    sequence_split,
)
from sciar.errors import RecordError, UsageError
from sciar.records import Molecule, Record

Divide = Callable[[Sequence[Record], int], dict[str, list[int]]]
DIVISIONS: dict[str, Divide] = {
    "scaffold": lambda records, seed: scaffold_split(records, seed=seed),
    "composition": lambda records, seed: composition_split(records, seed=seed),
    "sequence": lambda records, seed: sequence_split(records, seed=seed),
    "random": lambda records, seed: random_split(len(records), seed=seed),
}


def source_path(source: str, split: str) -> Path:
    """A path, ``NAME`` of a data set (its ``split``), or ``NAME:PART`` (that part, whatever split).

    Raises:
        UsageError: unknown, or not on this machine.
    """
    if Path(source).exists():
        return Path(source)
    name, colon, part = source.partition(":")
    return resolve(name, part if colon else split)


def prepared(
    record: Record, *, graphs: bool, conformers: bool, store: ConformerStore | None = None
) -> Record:
    """The record with coordinates (``conformers``) and bonds (``graphs``) where it lacks them.

    ``store``: of coordinates that were found before.

    Raises:
        RecordError: they cannot be found.
    """
    molecule = record.structure
    if not isinstance(molecule, Molecule):
        return record
    try:
        if conformers and molecule.positions is None:
            molecule = embedded(molecule, store=store)
        if graphs and molecule.mol is None:
            molecule = perceive(molecule)
    except RecordError as error:
        raise error.located(source=record.source, record=record.id) from error
    return record if molecule is record.structure else replace(record, structure=molecule)


def halved(records: Sequence[Record], half: str) -> list[Record]:
    """The ``first`` or the ``second`` half, by a hash of the ids, whatever their order.

    Raises:
        UsageError: another word, or an empty half.
    """
    if half not in ("first", "second"):
        raise UsageError(f"half {half!r} is neither 'first' nor 'second'")
    found = [r for r in records if _second(r.id) == (half == "second")]
    if not found:
        raise UsageError(f"none of {len(records)} records is in the {half} half")
    return found


def _second(id: str) -> bool:
    return bool(hashlib.sha256(id.encode()).digest()[0] & 1)


def divided(records: Sequence[Record], how: str, part: str, seed: int = 0) -> list[Record]:
    """One part of records that come without official parts; the parts never overlap.

    Args:
        records: all of them.
        how: one of ``DIVISIONS`` (80 / 10 / 10), or ``column:NAME`` for a property that says it.
        part: ``train``, ``val`` or ``test``.
        seed: of the division.

    Raises:
        UsageError: an unknown way, or a part that is empty.
    """
    if how.startswith("column:"):
        column = how.removeprefix("column:")
        found = [r for r in records if str(r.properties.get(column, "")).lower() == part]
    elif how in DIVISIONS:
        found = [records[i] for i in DIVISIONS[how](records, seed)[part]]
    else:
        raise UsageError(f"divide {how!r} is none of {', '.join(DIVISIONS)}, column:NAME")
    if not found:
        raise UsageError(f"divide {how!r}: none of {len(records)} records is in {part!r}")
    return found
