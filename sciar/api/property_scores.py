"""Scores of a file of predictions (``sciar predict``) against records with labels, joined by id."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sciar.api.inputs import is_dataset
from sciar.api.results import Evaluation, Options
from sciar.datasets.formats.text import decode, open_bytes, value
from sciar.datasets.preparing import divided, source_path
from sciar.datasets.readers import read
from sciar.errors import RecordError, UsageError
from sciar.evaluation.atoms import score_atom_classes, score_atom_numbers
from sciar.evaluation.properties import score_classes, score_numbers
from sciar.evaluation.statistics import mean
from sciar.records import Record
from sciar.tokenization.targets import Target

_OWN = ("id", "status", "message", "atom_names")


def evaluate_properties(
    predicted: str | Path,
    reference: str | Path,
    options: Options | None = None,
    format: str | None = None,
    divide: str | None = None,
) -> Evaluation:
    """MAE, RMSE and R2 of numbers, ROC-AUC and accuracy of two classes, each with its counts.

    Of several targets of classes also the mean of their areas, as benchmarks of many assays report.
    Where a prediction has a value for each atom: IoU and ROC-AUC, or MAE, as means over structures.

    A labelled record whose prediction failed, or that has none, is counted as labelled and not
    predicted; labels that are missing are left out.

    Args:
        predicted: ``.csv`` or ``.jsonl`` of ``sciar predict``, gzipped or not.
        reference: file or data set whose records have the same ids, and the labels as properties.
        options: ``bootstrap`` and ``seed`` are used.
        format: of the reference, see :func:`~sciar.datasets.readers.read`.
        divide: score only the test part of records that a recipe divides so (``scaffold``; see
            :func:`~sciar.datasets.preparing.divided`, seed 0).

    Raises:
        UsageError: no predictions, no label of any of them, or no id in common.
    """
    chosen = options or Options()
    rows = _rows(Path(predicted))
    named = is_dataset(str(reference).partition(":")[0]) and not Path(reference).exists()
    path = source_path(str(reference), "test") if named else Path(reference)
    records = [r for r in read(path, format=format) if isinstance(r, Record)]
    records = divided(records, divide, "test") if divide else records
    names = _targets(rows)
    known = {name for record in records for name in record.properties}
    asked = [name for name in names if name in known]
    if not asked:
        raise UsageError(f"{reference}: no record has a property {' or '.join(names) or 'at all'}")
    by_id = {str(row["id"]): row for row in rows}
    if not any(record.id in by_id for record in records):
        raise UsageError(f"{predicted} and {reference} have no id in common")
    draws = {"bootstrap": chosen.bootstrap, "seed": chosen.seed}
    found = [by_id.get(record.id, {}) for record in records]
    summary = {name: _score(name, found, records, draws) for name in asked}
    areas = [summary[name]["roc_auc"] for name in asked if "of_class_1" in summary[name]]
    if len(areas) > 1:
        summary["mean_over_targets"] = {"roc_auc": mean(areas)}
    silent = [name for name in names if name not in asked]
    notes = [f"Not scored, because no record has a label: {', '.join(silent)}."] if silent else []
    return Evaluation("properties", summary, rows, notes=notes)


def _score(
    name: str, rows: Sequence[Mapping[str, Any]], records: Sequence[Record], draws: dict[str, int]
) -> dict[str, Any]:
    labels = next((tuple(_classes(name, row)) for row in rows if _classes(name, row)), ())
    each = "atom" if any(isinstance(row.get(name), list) for row in rows) else "structure"
    target = Target(name, classes=labels, each=each)
    truth = []
    for record in records:
        try:
            truth.append(target.values(record.properties, len(record.structure)))
        except RecordError as error:
            raise error.located(source=record.source, record=record.id) from error
    if labels and len(labels) != 2:
        raise UsageError(f"{name} has {len(labels)} classes; scores are of two")
    guesses = [row.get(f"{name}_p:{labels[1]}" if labels else name) for row in rows]
    if each == "atom":
        lists = [_numbers(guess) for guess in guesses]
        return (score_atom_classes if labels else score_atom_numbers)(lists, truth, **draws)
    shares, single = [_number(guess) for guess in guesses], [values[0] for values in truth]
    if not labels:
        return score_numbers(shares, single, **draws)
    return score_classes(shares, [None if t is None else int(t) for t in single], **draws)


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; check the path")
    with open_bytes(path) as stream:
        text = decode(stream.read())
    if path.name.lower().removesuffix(".gz").endswith(".csv"):
        rows: list[dict[str, Any]] = [
            {k: _cell(v) for k, v in row.items() if k and v not in ("", None)}
            for row in csv.DictReader(text.splitlines())
        ]
    else:
        try:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}: neither CSV nor JSON lines ({error})") from error
    if not rows or any(not isinstance(row, dict) or "id" not in row for row in rows):
        raise UsageError(f"{path}: not a file of sciar predict, rows have no id")
    return rows


def _targets(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    extra = {
        c for name in columns for c in columns if c in _extras(name) or c.startswith(f"{name}_p:")
    }
    return [c for c in columns if c not in _OWN and c not in extra]


def _extras(name: str) -> tuple[str, str]:
    return f"{name}_sd", f"{name}_spread"


def _classes(name: str, row: Mapping[str, Any]) -> list[str]:
    start = f"{name}_p:"
    return [key.removeprefix(start) for key in row if key.startswith(start)]


def _cell(text: str) -> Any:
    """A cell of a table: one value, or the values of all atoms as JSON."""
    if not text.startswith("["):
        return value(text)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _numbers(given: Any) -> list[float | None] | None:
    return [_number(item) for item in given] if isinstance(given, list) else None


def _number(given: Any) -> float | None:
    return float(given) if isinstance(given, int | float) else None
