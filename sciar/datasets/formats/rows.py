"""Rows of a CSV file, one at a time; a malformed row spoils itself only."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from sciar.datasets.formats.text import lines
from sciar.errors import RecordError, UsageError

_MAX_CELL = 64 * 1024 * 1024

Rows = Iterator["list[str] | RecordError"]


def physical_lines(path: Path) -> Iterator[bytes]:
    """Lines of a plain or gzipped file that may end in LF, CR LF or CR, also in turn."""
    for raw in lines(path):
        yield from raw.splitlines(keepends=True)


def open_rows(path: Path) -> tuple[list[str], Rows]:
    """The header, and the rows that are not blank.

    Bytes that are not UTF-8 survive as surrogates, to be found by :func:`cells_of`.

    Raises:
        UsageError: the header is malformed.
    """
    csv.field_size_limit(_MAX_CELL)
    text = (line.decode("utf-8", "surrogateescape") for line in physical_lines(path))
    first = next(text, "").removeprefix("\ufeff")
    rows = csv.reader(chain([first], text))
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise UsageError(f"{path}: the header line is malformed ({error})") from error
    return header, _rows(rows)


def cells_of(header: list[str], row: list[str]) -> dict[str, str]:
    """Column name -> cell, without columns that have no name.

    Raises:
        RecordError: another number of cells than columns, or text that is not UTF-8.
    """
    if len(row) != len(header):
        raise RecordError(f"{len(header)} columns in the header but {len(row)} in the row")
    for name, cell in zip(header, row, strict=True):
        if any("\udc80" <= character <= "\udcff" for character in cell):
            raise RecordError("the text is not UTF-8; convert the file", field=name)
    return {name: cell for name, cell in zip(header, row, strict=True) if name}


def _rows(rows: Iterator[list[str]]) -> Rows:
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield RecordError(f"the row is malformed: {error}")
        else:
            if any(cell.strip() for cell in row):
                yield row
