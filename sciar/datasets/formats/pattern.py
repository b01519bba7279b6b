"""Powder patterns from files: two columns of text (.xy, .xye, .dat, .txt, .csv) or JSON lines.

Columns are 2-theta in degrees and an intensity; lines that begin with ``#``, ``;``, ``!`` or ``'``
are comments. A header must say the same: columns in other quantities are refused by name. A line of
JSON has ``two_theta`` and ``intensity``, and if known ``id``, ``wavelength`` (angstrom) and
``unit`` (degrees).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.formats.text import decode, lines
from sciar.datasets.readers import RecordFailure, UniqueNames, refuse_empty, stem_of
from sciar.errors import RecordError, UsageError
from sciar.records import PowderPattern

_COMMENT = re.compile(r"[#;!'/\"]")
_SPLIT = re.compile(r"[\s,;]+")
_OTHER = {
    "q": "a momentum transfer",
    "d": "a lattice spacing",
    "theta": "theta, half of 2-theta",
    "rad": "radians",
    "radian": "radians",
    "radians": "radians",
    "energy": "an energy",
    "kev": "an energy",
    "tof": "a time of flight",
}
_WAVELENGTH = re.compile(r"(?:wavelength|lambda)\s*[=:]?\s*([0-9.]+)", re.IGNORECASE)
_DEGREES = {"deg", "degree", "degrees", "2theta", "two_theta"}


def read_patterns(path: str | Path) -> Iterator[PowderPattern | RecordFailure]:
    """Patterns and failures of a file, in order.

    Raises:
        UsageError: no such file, or an empty one; at the call, before any record.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; check the path")
    refuse_empty(path)
    name = path.name.lower().removesuffix(".gz")
    return _json_lines(path) if name.endswith((".jsonl", ".ndjson", ".json")) else _columns(path)


def _json_lines(path: Path) -> Iterator[PowderPattern | RecordFailure]:
    names = UniqueNames(str(path))
    index = 0
    for raw in lines(path):
        if not raw.strip():
            continue
        made = f"{stem_of(path)}_{index}"
        try:
            row = json.loads(decode(raw))
            if not isinstance(row, dict):
                raise RecordError("a line holds one object")
            made = str(row.get("id") or made)
        except (json.JSONDecodeError, RecordError) as error:
            reason = error if isinstance(error, RecordError) else RecordError(f"no JSON ({error})")
            yield _failure(path, names.claim(made), index, reason)
        else:
            name = names.claim(made)
            try:
                yield _from_row(path, name, row)
            except RecordError as error:
                yield _failure(path, name, index, error)
        index += 1


def _from_row(path: Path, name: str, row: dict[str, Any]) -> PowderPattern:
    unit = str(row.get("unit") or "degrees").lower()
    if unit not in _DEGREES:
        raise RecordError(f"the unit is {unit!r}; give 2-theta in degrees", field="unit")
    columns = []
    for field in ("two_theta", "intensity"):
        if field not in row:
            others = ", ".join(sorted(row))
            raise RecordError(f"there is no {field}; the record has {others}", field=field)
        try:
            columns.append(np.asarray(row[field], dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise RecordError(f"expected a list of numbers ({error})", field=field) from error
    wavelength = row.get("wavelength")
    if wavelength is not None and not isinstance(wavelength, int | float):
        raise RecordError(f"{wavelength!r} is no number of angstrom", field="wavelength")
    return PowderPattern(name, columns[0], columns[1], wavelength, source=str(path))


def _columns(path: Path) -> Iterator[PowderPattern | RecordFailure]:
    name = stem_of(path)
    try:
        yield _from_columns(path, name)
    except RecordError as error:
        yield _failure(path, name, 0, error)


def _from_columns(path: Path, name: str) -> PowderPattern:
    rows: list[tuple[float, float]] = []
    wavelength = None
    for number, raw in enumerate(lines(path), start=1):
        text = decode(raw).strip()
        if not text:
            continue
        if _COMMENT.match(text):
            found = _WAVELENGTH.search(text)
            wavelength = float(found[1]) if found else wavelength
            _check_header(text)
            continue
        parts = [p for p in _SPLIT.split(text) if p]
        try:
            rows.append((float(parts[0]), float(parts[1])))
        except (ValueError, IndexError):
            if rows:
                raise RecordError(
                    f"line {number} ({text[:40]!r}) is not 2-theta and intensity", field="two_theta"
                ) from None
            _check_header(text)
    if not rows:
        raise RecordError("no line holds 2-theta and intensity", field="two_theta")
    angles, counts = np.array(rows).T
    return PowderPattern(name, angles, counts, wavelength, source=str(path))


def _check_header(text: str) -> None:
    """Refuse a header whose first column is another quantity."""
    first = re.split(r"[,;\t]|\s{2,}", text.lstrip("#;!'/\" "))[0].lower()
    words = re.findall(r"[a-z]+|2", first.replace("2theta", "2 theta"))
    if "2" in words or "two" in words or "tth" in words:
        words = [w for w in words if w not in ("theta",)]
    for word in words:
        if word in _OTHER and len(words) <= 4:
            raise RecordError(
                f"the column {first.strip()!r} is {_OTHER[word]}; give 2-theta in degrees",
                field=first.strip(),
            )


def _failure(path: Path, name: str, index: int, error: RecordError) -> RecordFailure:
    located = error.located(source=str(path), record=name)
    return RecordFailure(name, str(path), index, located)
