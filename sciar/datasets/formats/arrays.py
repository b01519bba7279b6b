"""Flat ``.npz`` of molecules.

Arrays ``atomic_numbers`` (sum n,), ``positions`` (sum n, 3) in angstrom, ``n_atoms`` (N,). Other
arrays of length N become properties. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.formats.elements import symbols_of
from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.text import plain
from sciar.errors import UsageError
from sciar.records import Molecule

_NEEDED = ("atomic_numbers", "positions", "n_atoms")


def read(path: Path) -> Iterator[Entry]:
    """One entry per molecule.

    Raises:
        UsageError: not an npz of plain arrays, arrays missing, or lengths that disagree.
    """
    arrays = _load(path)
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise UsageError(f"{path}: arrays missing: {', '.join(missing)}; found {sorted(arrays)}")
    numbers, positions, counts = (arrays.pop(name) for name in _NEEDED)
    total = int(counts.sum()) if counts.ndim == 1 else -1
    if total != len(numbers) or positions.shape != (total, 3) or (counts < 1).any():
        raise UsageError(
            f"{path}: n_atoms adds up to {total} but there are {len(numbers)} atomic_numbers and "
            f"positions of shape {positions.shape}"
        )
    extra = {k: a for k, a in arrays.items() if a.ndim == 1 and len(a) == len(counts)}
    ends = np.cumsum(counts)
    for i, (end, count) in enumerate(zip(ends, counts, strict=True)):
        part = slice(int(end - count), int(end))
        properties = {key: plain(a[i]) for key, a in extra.items() if key != "id"}
        identifier = str(extra["id"][i]) if "id" in extra else None
        yield Entry(identifier, partial(_build, numbers[part], positions[part], properties))


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        raise UsageError(f"{path}: not an npz of plain arrays ({error})") from error


def _build(numbers: np.ndarray, positions: np.ndarray, properties: dict[str, Any]) -> Built:
    return Molecule(symbols_of(numbers, "atomic_numbers"), positions), properties
