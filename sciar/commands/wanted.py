"""``--condition`` and ``--conditions-file``: properties among the conditions of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sciar.datasets.formats.rows import cells_of, open_rows
from sciar.datasets.formats.text import value as parsed
from sciar.errors import RecordError, UsageError


def with_properties(
    conditions: Mapping[str, Any] | None, given: Sequence[str]
) -> dict[str, Any] | None:
    """The conditions with those of ``NAME=VALUE`` texts.

    Raises:
        UsageError: another text, or a name that is given twice.
    """
    found = dict(conditions or {})
    for part in ",".join(given).split(",") if given else ():
        name, equals, value = (x.strip() for x in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"--condition takes NAME=VALUE, such as gap=0.3; got {part!r}")
        if name in found:
            raise UsageError(f"--condition {name} is given twice")
        found[name] = parsed(value)
    return found or None


def with_rows(
    path: str, conditions: Mapping[str, Any] | None
) -> list[dict[str, Any] | RecordError]:
    """The conditions of each row of a CSV file, beside those that hold for all rows.

    Rows without an ``id`` are named by their place, from 0. A bad row is one failed prompt.

    Raises:
        UsageError: no such file, no row in it, or a column of a condition that holds for all.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file")
    common = dict(conditions or {})
    header, rows = open_rows(Path(path))
    if twice := sorted(set(common) & set(header)):
        raise UsageError(f"{path}: {', '.join(twice)} is also given for all rows")
    found = list(_wanted(path, header, rows, common))
    if not found:
        raise UsageError(f"{path}: the file holds no row below its header")
    return found


def _wanted(
    path: str,
    header: list[str],
    rows: Iterator[list[str] | RecordError],
    common: Mapping[str, Any],
) -> Iterator[dict[str, Any] | RecordError]:
    for place, row in enumerate(rows):
        try:
            if isinstance(row, RecordError):
                raise row
            cells = {k: v.strip() for k, v in cells_of(header, row).items() if v.strip()}
        except RecordError as error:
            yield error.located(source=path, record=f"row{place}")
        else:
            name = cells.pop("id", f"row{place}")
            yield {**common, **{k: parsed(v) for k, v in cells.items()}, "id": name}
