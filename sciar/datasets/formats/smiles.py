"""SMILES files: one ``SMILES [name]`` per line; ``#`` lines and a header are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.graphs import molecule_from_smiles
from sciar.datasets.formats.text import decode, lines
from sciar.errors import RecordError
from sciar.records import Molecule, Record


def read(path: Path) -> Iterator[Entry]:
    """One entry per non-empty line."""
    for number, raw in enumerate(lines(path)):
        try:
            line = decode(raw).strip()
        except RecordError as error:
            yield Entry.failed(error)
            continue
        header = number == 0 and line.split()[:1] and line.split()[0].lower() == "smiles"
        if not line or line.startswith("#") or header:
            continue
        smiles, *name = line.split(None, 1)
        yield Entry(name[0].strip() if name else None, partial(_build, smiles))


def _build(smiles: str) -> Built:
    return molecule_from_smiles(smiles), {}


def smiles_of(record: Record) -> str:
    """The record's SMILES, or that of its graph; :class:`RecordError` if it has neither."""
    molecule = record.structure
    if not isinstance(molecule, Molecule):
        raise RecordError(
            "only molecules have a SMILES; write crystals as CIF or jsonl", record=record.id
        )
    try:
        return molecule.to_smiles()
    except RecordError as error:
        raise error.located(record=record.id) from error


def dump(record: Record) -> str:
    """``SMILES<tab>id``, line end included."""
    return f"{smiles_of(record)}\t{' '.join(record.id.split())}\n"
