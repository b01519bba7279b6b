"""Rows as Parquet: the columns, the types of values, and the bytes of a shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.errors import UsageError
from sciar.jobs.rows import Row

if TYPE_CHECKING:
    import pyarrow as pa


def schema(tasks: Mapping[str, str]) -> pa.Schema:
    """Columns ``id, task, status, value, confidence, message``.

    Where all tasks have values of one kind, ``value`` has its type. Else it is a struct with one
    member a kind that occurs, of which at most one is not null.

    Args:
        tasks: name -> kind of its values.
    """
    import pyarrow as pa

    kinds = sorted(set(tasks.values()))
    types = {kind: _arrow(kind) for kind in kinds}
    value = types[kinds[0]] if len(kinds) == 1 else pa.struct(list(types.items()))
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("task", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("value", value),
            pa.field("confidence", pa.float64()),
            pa.field("message", pa.string(), nullable=False),
        ]
    )


def _arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    index = pa.int32()
    pair = pa.struct([("first", index), ("second", index)])
    placed = pa.struct([("label", pa.string()), ("position", index)])
    return {
        "text": pa.string(),
        "number": pa.float64(),
        "texts": pa.list_(pa.string()),
        "positions": pa.list_(index),
        "pairs": pa.list_(pair),
        "placed": placed,
    }[kind]


def encode(rows: Sequence[Row], tasks: Mapping[str, str], job: str) -> bytes:
    """The bytes of a shard; equal rows give equal bytes.

    Args:
        rows: in order.
        tasks: name -> kind of its values.
        job: fingerprint of the job, stored in the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = schema(tasks).with_metadata({"sciar.job": job})
    mixed = len(set(tasks.values())) > 1
    values = [_cell(row.value, tasks[row.task], mixed) for row in rows]
    table = pa.table(
        [
            pa.array([_text(row.id) for row in rows], pa.string()),
            pa.array([row.task for row in rows], pa.string()),
            pa.array([row.status for row in rows], pa.string()),
            pa.array(values, columns.field("value").type),
            pa.array([row.confidence for row in rows], pa.float64()),
            pa.array([_text(row.message) for row in rows], pa.string()),
        ],
        schema=columns,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def read_rows(folder: str | Path, task: str | None = None) -> Iterator[Row]:
    """The rows of an output folder, in order, one shard in memory at a time.

    ``pandas.read_parquet(folder)`` reads all of them at once; a value then is a dictionary where
    tasks with values of several kinds are in one job. Here it is always the plain value.

    Args:
        folder: of a job.
        task: rows of this task only.

    Raises:
        UsageError: no such folder, or no rows in it.
    """
    import pyarrow.parquet as pq

    files = sorted(Path(folder).glob("part-*.parquet"))
    if not files:
        raise UsageError(f"{folder}: no rows of a job here")
    for file in files:
        for row in pq.read_table(file).to_pylist():
            if task is None or row["task"] == task:
                yield Row(**{**row, "value": _plain(row["value"])})


def _cell(value: Any, kind: str, mixed: bool) -> Any:
    if value is None:
        return None
    made = value
    if kind == "text":
        made = _text(value)
    elif kind == "texts":
        made = [_text(entry) for entry in value]
    elif kind == "pairs":
        made = [{"first": first, "second": second} for first, second in value]
    elif kind == "placed":
        made = {"label": _text(value[0]), "position": value[1]}
    return {kind: made} if mixed else made


def _plain(value: Any) -> Any:
    """A value as a worker gave it: tuples for lists, pairs and places."""
    if isinstance(value, dict):
        if set(value) in ({"first", "second"}, {"label", "position"}):
            return tuple(value.values())
        return next((_plain(v) for v in value.values() if v is not None), None)
    return tuple(_plain(v) for v in value) if isinstance(value, list) else value


def _text(text: str) -> str:
    """Half of a surrogate pair, which JSON can hold and Arrow cannot, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
