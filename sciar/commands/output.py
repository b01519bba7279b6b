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
from sciar.datasets.writers import open_writer
from sciar.errors import UsageError
from sciar.records import Record

Put = Callable[[Sample], None]


@dataclass(frozen=True)
class _Failed:
    """A sample without a structure to write."""

    id: str
    properties: dict[str, Any]


_FOR_MOLECULES = (".sdf", ".smi", ".smiles", ".txt")
_FOR_CRYSTALS = (".cif", ".vasp")
_WITHOUT_STATUS = (".vasp", ".smi", ".smiles", ".txt")


def check_out(out: str, layout: str, raw: bool = False) -> None:
    """Refuse an extension that cannot hold what the model makes, before anything is made.

    Raises:
        UsageError: the format is for the other kind of structure, or cannot tell rejected
            structures (``raw``) from kept ones.
    """
    suffix = Path(out.lower().removesuffix(".gz")).suffix
    if layout.startswith("crystal") and suffix in _FOR_MOLECULES:
        raise UsageError(f"{out}: {suffix} holds molecules; crystals go to .cif, .extxyz or .jsonl")
    if layout.startswith("molecule") and suffix in _FOR_CRYSTALS:
        raise UsageError(f"{out}: {suffix} holds crystals; molecules go to .sdf, .extxyz or .jsonl")
    if raw and suffix in _WITHOUT_STATUS:
        raise UsageError(f"{out}: {suffix} has no place for the status; give .extxyz or .jsonl")


@contextmanager
def open_output(
    out: str, facts: Mapping[str, Any], molecules: bool, raw: bool = False
) -> Iterator[Put]:
    """A function that writes one sample; what is finished is kept when the work is interrupted.

    Args:
        out: file or folder, by extension as :func:`sciar.datasets.writers.open_writer` says; "" is
            JSON lines on standard output.
        facts: stored with each structure, such as the name of the model.
        molecules: a folder then gets SDF instead of CIF files.
        raw: structures that a check rejected are written too.
    """
    make = partial(_record, facts=facts, raw=raw)
    name = out.lower().removesuffix(".gz")
    folder = bool(out) and (out.endswith("/") or Path(out).is_dir() or not Path(out).suffix)
    if not out:
        yield lambda sample: print(_line(make(sample)), file=sys.stdout, flush=True)
    elif name.endswith((".jsonl", ".csv")) and not folder:
        csv = name.endswith(".csv")
        with _rows(
            Path(out), lambda s: _cells(make(s), molecules) if csv else _line(make(s))
        ) as put:
            yield put
    else:
        with open_writer(out, format="sdf" if folder and molecules else None) as writer:

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


def _cells(made: Record | _Failed, molecules: bool) -> dict[str, Any]:
    """A row of a table; a failed sample has the columns of its kind, with an empty structure."""
    if isinstance(made, Record):
        return table.row_of(made)
    name, column = ("id", "smiles") if molecules else ("material_id", "cif")
    return {name: made.id, column: "", **plain(made.properties)}


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
