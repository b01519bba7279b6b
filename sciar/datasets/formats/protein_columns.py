"""Proteins in CSV, Parquet and JSON lines: which column is what; everything else is a label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sciar.datasets.formats import parquet
from sciar.datasets.formats.entry import Entry
from sciar.datasets.formats.rows import cells_of, open_rows, physical_lines
from sciar.datasets.formats.text import decode, value
from sciar.datasets.formats.variants import Variants
from sciar.errors import RecordError, UsageError
from sciar.records import Protein

_SEQUENCE = ("sequence", "seq", "protein", "protein_sequence", "sequence_1", "sequence1")
_PARTNER = ("partner", "sequence_2", "sequence2", "partner_sequence")
_ID = ("id", "name", "accession", "entry", "uniprot_id")


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are not labels; empty: the usual names are tried.

    Attributes:
        sequence: column of the sequence.
        partner: column of the second chain of a pair.
        id: column of the identifier.
    """

    sequence: str = ""
    partner: str = ""
    id: str = ""

    def sequence_of(self, names: Iterable[str]) -> str | None:
        """The column of the sequence, or ``None``."""
        return _find(names, self.sequence, _SEQUENCE)

    def partner_of(self, names: Iterable[str]) -> str | None:
        """The column of the second chain, or ``None``."""
        return _find(names, self.partner, _PARTNER)

    def id_of(self, names: Iterable[str]) -> str | None:
        """The column of the identifier, or ``None``."""
        return _find(names, self.id, _ID)


def read_csv(path: Path, columns: Columns) -> Iterator[Entry]:
    """One entry per row.

    A table without a sequence column may have a ``variant`` column and a ``meta.json`` beside it
    that gives the wild type, as deep mutational scans do.

    Raises:
        UsageError: no column of the sequence, or one that was asked for is missing.
    """
    header, rows = open_rows(path)
    variants = None
    if columns.sequence_of(header) is None and "variant" in header and not columns.sequence:
        variants = Variants.beside(path)
    _check(path, header, columns, variants is not None)
    identifier = columns.id_of(header)
    place = None if identifier is None else header.index(identifier)
    for row in rows:
        if isinstance(row, RecordError):
            yield Entry.failed(row)
            continue
        name = row[place].strip() if place is not None and place < len(row) else ""
        clean = name.encode("utf-8", "replace").decode("utf-8")
        yield Entry(clean or None, partial(_build_row, header, row, columns, variants))


def read_parquet(path: Path, columns: Columns) -> Iterator[Entry]:
    """One entry per row of a Parquet file.

    Raises:
        UsageError: no Parquet file, no column of the sequence, or one asked for is missing.
    """
    names, rows = parquet.open_rows(path)
    _check(path, names, columns)
    identifier = columns.id_of(names)
    for row in rows:
        name = row[identifier] if identifier else None
        known = name is not None and not isinstance(name, RecordError)
        yield Entry(str(name) if known else None, partial(_build_whole, row, columns))


def _build_whole(row: dict[str, Any], columns: Columns) -> Any:
    """As :func:`_build`, if every cell could be read."""
    for cell in row.values():
        if isinstance(cell, RecordError):
            raise cell
    return _build(row, columns)


def _check(path: Path, names: list[str], columns: Columns, variants: bool = False) -> None:
    """Refuse a table without the columns that are needed."""
    wanted = (columns.sequence, columns.partner, columns.id)
    missing = [name for name in wanted if name and name not in names]
    if columns.sequence_of(names) is None and not variants:
        missing.append("sequence")
    if missing:
        found = ", ".join(names) or "no header"
        raise UsageError(f"{path}: no column {missing[0]!r}; found {found}")


def read_jsonl(path: Path, columns: Columns) -> Iterator[Entry]:
    """One entry per line that is not blank."""
    for raw in physical_lines(path):
        if not raw.strip():
            continue
        try:
            row = json.loads(decode(raw))
            if not isinstance(row, dict):
                raise RecordError(f"expected a JSON object, got {type(row).__name__}")
        except RecordError as error:
            yield Entry.failed(error)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Entry.failed(RecordError(f"the line is not JSON ({error}); is it truncated?"))
        else:
            name = row.get(columns.id_of(row) or "")
            made = partial(_build, row, columns)
            yield Entry(None if name is None else str(name), made)


def _build_row(
    header: list[str], row: list[str], columns: Columns, variants: Variants | None
) -> tuple[Protein, dict[str, Any]]:
    # One letter a residue stays text, also where all the letters are digits.
    text = {"labels", "variant", columns.sequence_of(header), columns.partner_of(header)}
    cells: dict[str, Any] = {
        name: cell if name in text else value(cell) for name, cell in cells_of(header, row).items()
    }
    if variants is not None:
        labels = _labels(cells, {columns.id_of(cells)})
        return Protein.from_text(variants.sequence(cells["variant"])), labels
    return _build(cells, columns)


def _build(row: Mapping[str, Any], columns: Columns) -> tuple[Protein, dict[str, Any]]:
    sequence, partner = columns.sequence_of(row), columns.partner_of(row)
    if sequence is None:
        raise RecordError("the sequence is missing", field=columns.sequence or "sequence")
    first = _chain(row, sequence)
    second = None if partner is None or row[partner] in (None, "") else _chain(row, partner)
    return Protein.from_text(first, second), _labels(row, {sequence, partner, columns.id_of(row)})


def _chain(row: Mapping[str, Any], column: str) -> str:
    text = row[column]
    if not isinstance(text, str):
        raise RecordError(f"a sequence is text, got {type(text).__name__}", field=column)
    return text


def _labels(row: Mapping[str, Any], used: set[str | None]) -> dict[str, Any]:
    """Everything else, without empty cells."""
    return {n: cell for n, cell in row.items() if n not in used and cell not in (None, "")}


def _find(names: Iterable[str], wanted: str, usual: tuple[str, ...]) -> str | None:
    lowered = {name.lower(): name for name in names}
    if wanted:
        return next((name for name in lowered.values() if name == wanted), None)
    return next((lowered[name] for name in usual if name in lowered), None)
