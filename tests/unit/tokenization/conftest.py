"""Structures that the tests of tokenizers share."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from sciar.datasets.molecule_graph import perceive
from sciar.datasets.readers import read_all
from sciar.records import Crystal, Molecule

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def _sample(name: str) -> list[object]:
    records, failures = read_all(Path(str(files("sciar") / "data" / name)))
    assert not failures
    return [record.structure for record in records]


@pytest.fixture(scope="session")
def molecules() -> list[Molecule]:
    """The shipped molecules, with bonds."""
    found = [m for m in _sample("sample_molecules_train.jsonl") if isinstance(m, Molecule)]
    return [perceive(molecule) for molecule in found]


@pytest.fixture(scope="session")
def crystals() -> list[Crystal]:
    """The shipped crystals."""
    return [c for c in _sample("sample_crystals_train.jsonl") if isinstance(c, Crystal)]


@pytest.fixture(scope="session")
def perovskite() -> Crystal:
    """Strontium titanate, a little distorted so that no two sites are equivalent."""
    frac = np.array(
        [[0.52, 0.5, 0.49], [0, 0.01, 0], [0.5, 0.02, 0], [0, 0.47, 0.03], [0.02, 0, 0.5]]
    )
    lattice = np.array([[3.9, 0, 0], [0.1, 4.1, 0], [-0.2, 0.3, 4.4]])
    return Crystal(lattice, ("Sr", "Ti", "O", "O", "O"), frac)
