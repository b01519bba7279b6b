"""Splits cover everything once, keep groups together and depend on the seed alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.datasets.formats.graphs import molecule_from_smiles
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.datasets.splits import (
    composition_split,
    grouped_split,
    random_split,
    reduced_formula,
    scaffold,
    scaffold_split,
)
from sciar.errors import RecordError, UsageError
from sciar.records import Record

CRYSTALS = read_all(resolve("sample-crystals", "train"))[0]
MOLECULES = read_all(resolve("sample-molecules", "train"))[0]


@given(st.integers(0, 300), st.integers(0, 2**32))
def test_random_split(count: int, seed: int) -> None:
    parts = random_split(count, seed=seed)
    assert sorted(i for part in parts.values() for i in part) == list(range(count))
    assert parts == random_split(count, seed=seed)
    assert abs(len(parts["train"]) - 0.8 * count) <= 1


def test_seed_changes_the_split() -> None:
    assert random_split(100, seed=0) != random_split(100, seed=1)


@given(st.lists(st.integers(0, 12), max_size=120), st.integers(0, 99))
def test_groups_stay_together(keys: list[int], seed: int) -> None:
    parts = grouped_split(keys, seed=seed)
    assert sorted(i for part in parts.values() for i in part) == list(range(len(keys)))
    homes = {name: {keys[i] for i in part} for name, part in parts.items()}
    assert sum(len(home) for home in homes.values()) == len(set(keys))
    assert parts == grouped_split(keys, seed=seed)


def test_composition_split() -> None:
    parts = composition_split(CRYSTALS, {"train": 0.7, "test": 0.3}, seed=3)
    formulas = {
        name: {reduced_formula(CRYSTALS[i].structure) for i in part} for name, part in parts.items()
    }
    assert not formulas["train"] & formulas["test"]
    assert len(parts["test"]) == pytest.approx(0.3 * len(CRYSTALS), abs=3)
    assert reduced_formula(CRYSTALS[0].structure) == "F1 Li1"


def test_scaffold_split() -> None:
    parts = scaffold_split(MOLECULES, seed=0)
    scaffolds = {name: {scaffold(MOLECULES[i]) for i in part} for name, part in parts.items()}
    assert not scaffolds["train"] & scaffolds["test"]
    assert all(parts.values())
    toluene = Record("t", molecule_from_smiles("Cc1ccccc1"))
    assert scaffold(toluene) == "c1ccccc1"


def test_bad_requests() -> None:
    with pytest.raises(UsageError, match="add up to 1"):
        random_split(10, {"train": 0.5, "test": 0.4})
    with pytest.raises(RecordError, match="split crystals by composition"):
        scaffold_split(CRYSTALS)
