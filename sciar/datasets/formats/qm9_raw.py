"""QM9 as PyTorch Geometric and DeepChem distribute it: a folder with ``gdb9.sdf``,
``gdb9.sdf.csv`` and ``uncharacterized.txt``.

Molecules listed as uncharacterized (their relaxed geometry left the intended graph; Ramakrishnan et
al., Sci. Data 1, 140022 (2014)) are skipped where that list is present. Graphs that RDKit rejects
are left out of the record; the coordinates stay. Property names follow the article: ``U0 U H G
Cv`` instead of ``u0 u298 h298 g298 cv``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sciar.datasets.formats import sdf
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.text import value
from sciar.errors import UsageError

_FOOTER = re.compile(r"[a-z]{5,}\Z")
_NAMES = {"u0": "U0", "u298": "U", "h298": "H", "g298": "G", "cv": "Cv"}


def read(folder: Path) -> Iterator[Entry]:
    """One entry per characterized molecule, with the properties of its row.

    Raises:
        UsageError: ``gdb9.sdf`` and ``gdb9.sdf.csv`` do not have the same number of molecules.
    """
    skipped = _uncharacterized(folder / "uncharacterized.txt")
    with (folder / "gdb9.sdf.csv").open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        pairs = enumerate(_paired(sdf.read(folder / "gdb9.sdf", lenient=True), rows, folder), 1)
        for number, (entry, row) in pairs:
            if number not in skipped:
                yield Entry(row.get("mol_id") or entry.id, partial(_build, entry, row))


def _paired(
    entries: Iterator[Entry], rows: Iterator[dict[str, str]], folder: Path
) -> Iterator[tuple[Entry, dict[str, str]]]:
    try:
        yield from zip(entries, rows, strict=True)
    except ValueError as error:
        raise UsageError(
            f"{folder}: gdb9.sdf and gdb9.sdf.csv hold different numbers of molecules; "
            "fetch the set again"
        ) from error


def _uncharacterized(path: Path) -> set[int]:
    """1-based numbers of the molecules in the list.

    Entries are ``number SMILES ...``; the footer ``3054 compounds`` looks similar but is none.
    """
    if not path.exists():
        return set()
    words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    entries = [line for line in words if len(line) > 1 and line[0].isdigit()]
    return {int(line[0]) for line in entries if not _FOOTER.match(line[1])}


def _build(entry: Entry, row: dict[str, str]) -> Built:
    structure, properties = entry.build()
    numbers = {_NAMES.get(k, k): value(text) for k, text in row.items() if k != "mol_id" and text}
    return structure, {**properties, **numbers}
