"""Any damage to a file gives failures or a UsageError, never another exception."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.datasets.readers import read
from sciar.datasets.registry import resolve
from sciar.datasets.writers import write
from sciar.errors import UsageError
from sciar.records import Crystal, Record, Structure

CASES = [("crystals", e) for e in (".cif", ".csv", ".extxyz", ".jsonl", ".jsonl.gz", ".vasp")] + [
    ("molecules", e) for e in (".sdf", ".xyz", ".jsonl", ".csv", ".smi")
]


@cache
def content(kind: str, ending: str) -> bytes:
    records = []
    for item in list(read(resolve(f"sample-{kind}", "val")))[:3]:
        assert isinstance(item, Record)
        records.append(Record(item.id, item.structure, {"logp": -1.5, "message": "two words"}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        write(records[:1] if ending == ".vasp" else records, path)
        return path.read_bytes()


def check(data: bytes, ending: str, verdict: Callable[[Structure], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        path.write_bytes(data)
        try:
            items = list(read(path))
        except UsageError as error:
            assert str(path) in str(error)
            return
    for item in items:
        if isinstance(item, Record):
            verdict(item.structure)


@pytest.mark.filterwarnings("ignore::sciar.datasets.readers.DuplicateIdWarning")
@pytest.mark.parametrize(("kind", "ending"), CASES)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_changed_bytes(kind: str, ending: str, data: st.DataObject) -> None:
    damaged = bytearray(content(kind, ending))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=3))
    check(bytes(damaged), ending, lambda structure: None)


GOOD_ROWS = (
    {"lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "species": ["Na"], "frac": [[0, 0, 0]]},
    {"z": [6, 8], "pos": [[0, 0, 0], [0, 0, 1.1]], "smiles": "C=O", "bonds": [[0, 1, 2]]},
    {"smi": "CO", "pos": [[0, 0, 0], [0, 0, 1.1]], "num": 2, "props": {}, "charge": 0},
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_in_any_field_of_jsonl(data: st.DataObject) -> None:
    row: dict[str, object] = dict(data.draw(st.sampled_from(GOOD_ROWS)))
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(ANYTHING)
    check(json.dumps(row).encode() + b"\n", ".jsonl", lambda structure: None)


@pytest.mark.parametrize("ending", [".cif", ".jsonl", ".extxyz"])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_truncation_never_loses_atoms_silently(ending: str, data: st.DataObject) -> None:
    whole = content("crystals", ending)
    sizes = {
        len(item.structure)
        for item in read(resolve("sample-crystals", "val"))
        if isinstance(item, Record)
    }

    def verdict(structure: Structure) -> None:
        assert isinstance(structure, Crystal) and len(structure) in sizes

    check(whole[: data.draw(st.integers(0, len(whole)))], ending, verdict)
