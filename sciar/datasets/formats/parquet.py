"""Rows of a Parquet file, one row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sciar.errors import RecordError, UsageError

MAGIC = b"PAR1"
_ROWS = 1_000


Rows = Iterator["dict[str, Any]"]
"""Column -> cell; in place of a cell that cannot be read stands its :class:`RecordError`."""


def open_rows(path: Path) -> tuple[list[str], Rows]:
    """Names of the columns, and the rows, of which a few are in memory at a time.

    Raises:
        UsageError: not a Parquet file, or a truncated one (its table of contents is at the end).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=False)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: no complete Parquet file ({error})") from error
    return list(file.schema_arrow.names), _rows(file)


def _rows(file: Any) -> Rows:
    """Rows; damage in the middle of the file ends them with an :class:`OSError`."""
    import pyarrow as pa

    try:
        with file:
            for batch in file.iter_batches(batch_size=_ROWS):
                try:
                    yield from batch.to_pylist()
                except UnicodeDecodeError:  # found before the first row is given out
                    yield from (_row(batch, i) for i in range(batch.num_rows))
    except pa.ArrowException as error:
        raise OSError(str(error)) from error


def _row(batch: Any, index: int) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            cells[name] = column[index].as_py()
        except UnicodeDecodeError:
            cells[name] = RecordError("the text is not UTF-8; convert the file", field=name)
    return cells
