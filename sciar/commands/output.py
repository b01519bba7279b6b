"""Where samples go: structure files by extension, or tables in which failed ones have a row too."""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sciar.api.samples import Sample
from sciar.commands.files import replace_file
from sciar.datasets.formats import jsonl, table
from sciar.datasets.formats.text import plain
from sciar.datasets.writers import is_folder, open_writer
from sciar.records import Record

Put = Callable[[Sample], None]


@dataclass(frozen=True)
class _Failed:
    """A sample without a structure to write."""

    id: str
    properties: dict[str, Any]


@contextmanager
def open_output(out: str, facts: Mapping[str, Any], kind: str, raw: bool = False) -> Iterator[Put]:
    """A function that writes one sample; what is finished is kept when the work is interrupted.

    Args:
        out: file or folder, by extension as :func:`sciar.datasets.writers.open_writer` says; "" is
            JSON lines on standard output.
        facts: stored with each structure, such as the name of the model.
        kind: of the structures that failed, which decides the columns of a table.
        raw: structures that a check rejected are written too.
    """
    make = partial(_record, facts=facts, raw=raw)
    name = out.lower().removesuffix(".gz")
    folder = bool(out) and is_folder(out)
    if not out:
        yield lambda sample: print(_line(make(sample)), file=sys.stdout, flush=True)
    elif name.endswith((".jsonl", ".csv")) and not folder:
        csv = name.endswith(".csv")
        with _rows(Path(out), lambda s: _cells(make(s), kind) if csv else _line(make(s))) as put:
            yield put
    else:
        with open_writer(out) as writer:

            def add(sample: Sample) -> None:
                record = make(sample)
                if isinstance(record, Record):
                    writer.add(record)

            yield add


def in_order(put: Put, order: Iterator[int]) -> tuple[Put, Callable[[], None]]:
    """Samples come as they finish and are written in the order of their indices.

    Returns:
        What takes a sample, and what writes those still waiting when the work was interrupted.
    """
    waiting: list[tuple[int, Sample]] = []
    expected = [next(order, -1)]

    def take(sample: Sample) -> None:
        heapq.heappush(waiting, (sample.index, sample))
        while waiting and waiting[0][0] == expected[0]:
            put(heapq.heappop(waiting)[1])
            expected[0] = next(order, -1)

    def flush() -> None:
        while waiting:
            put(heapq.heappop(waiting)[1])

    return take, flush


def _record(sample: Sample, facts: Mapping[str, Any], raw: bool) -> Record | _Failed:
    """What is written of a sample: a structure, or a row without one."""
    if raw and sample.parsed:
        return sample.to_raw_record(**facts)
    if sample.ok:
        return sample.to_record(**facts)
    return _Failed(sample.id, {**sample.properties(), **facts})


def _line(made: Record | _Failed) -> str:
    if isinstance(made, Record):
        return jsonl.dump(made)
    row = {"id": made.id, "props": plain(made.properties)}
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _cells(made: Record | _Failed, kind: str) -> dict[str, Any]:
    """A row of a table; a failed sample has the columns of its kind, with an empty structure."""
    if isinstance(made, Record):
        return table.row_of(made)
    return table.failed_row(kind, made.id, made.properties)


@contextmanager
def _rows(path: Path, make: Callable[[Sample], Any]) -> Iterator[Put]:
    """Rows are kept (compact text) and written at the end, also after Ctrl-C."""
    rows: list[Any] = []
    try:
        yield lambda sample: rows.append(make(sample))
    finally:
        csv = ".csv" in path.suffixes
        text = table.dump_table(rows) if csv else "".join(f"{row}\n" for row in rows)
        replace_file(path, text.encode())
