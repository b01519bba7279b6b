"""CSV with a ``cif`` column (as CDVAE's sets) or a ``smiles`` column; the rest is properties."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from sciar.datasets.formats import cif
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.graphs import molecule_from_smiles
from sciar.datasets.formats.rows import cells_of, open_rows
from sciar.datasets.formats.smiles import smiles_of
from sciar.datasets.formats.text import plain, value
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule, Protein, Record, kind_of

_ID_COLUMNS = ("material_id", "id", "mol_id", "name")
_STRUCTURE_COLUMNS = ("cif", "smiles")
_COLUMNS = {"crystals": ("material_id", "cif"), "molecules": ("id", "smiles"),
            "proteins": ("id", "sequence")}  # fmt: skip
"""Columns of id and structure that are written for each kind."""


def read(path: Path) -> Iterator[Entry]:
    """One entry per row.

    Raises:
        UsageError: no ``cif`` or ``smiles`` column.
    """
    header, rows = open_rows(path)
    lowered = [name.lower() for name in header]
    if not any(column in lowered for column in _STRUCTURE_COLUMNS):
        raise UsageError(
            f"{path}: no column named 'cif' (crystals) or 'smiles' (molecules); found "
            f"{', '.join(header) or 'no header'}"
        )
    id_column = next((lowered.index(c) for c in _ID_COLUMNS if c in lowered), None)
    for row in rows:
        if isinstance(row, RecordError):
            yield Entry.failed(row)
        else:
            identifier = _cell(row, id_column).strip()
            clean = identifier.encode("utf-8", "replace").decode("utf-8")
            yield Entry(clean or None, partial(_build, header, row, id_column))


def _cell(row: list[str], column: int | None) -> str:
    return row[column] if column is not None and column < len(row) else ""


def _build(header: list[str], row: list[str], id_column: int | None) -> Built:
    cells = cells_of(header, row)
    lowered = {name.lower(): name for name in cells}
    skipped = {header[id_column]} if id_column is not None else set[str]()
    skipped |= {lowered[column] for column in _STRUCTURE_COLUMNS if column in lowered}
    properties = {n: value(c) for n, c in cells.items() if n not in skipped and c.strip()}
    if "cif" in lowered:
        return cif.crystal_from_cif(cells[lowered["cif"]]), properties
    return molecule_from_smiles(cells[lowered["smiles"]].strip()), properties


def row_of(record: Record) -> dict[str, Any]:
    """Columns of one record: id, the structure, its properties.

    Raises:
        RecordError: a molecule without a graph.
    """
    properties = record.properties
    match record.structure:
        case Crystal():
            text = cif.dump(Record(record.id, record.structure))
        case Molecule():
            text = smiles_of(record)
        case Protein(sequence=text, partner=partner):
            properties = {"partner": partner, **properties} if partner else properties
        case _:
            assert_never(record.structure)
    return _row(kind_of(record.structure), record.id, text, properties)


def failed_row(kind: str, id: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a record of ``kind`` (see :data:`sciar.records.KINDS`) without a structure."""
    return _row(kind, id, "", properties)


def _row(kind: str, id: str, text: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    name, column = _COLUMNS[kind]
    fixed = {name: id, column: text}
    return {**fixed, **{k: v for k, v in plain(properties).items() if k not in fixed}}


def dump_table(rows: list[dict[str, Any]]) -> str:
    """The whole table; its columns are those of all rows in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
