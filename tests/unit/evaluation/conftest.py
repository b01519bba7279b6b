"""Small crystals that the evaluation tests share."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sciar.records import Crystal


def _rocksalt(cation: str = "Na", anion: str = "Cl", a: float = 5.64) -> Crystal:
    """The primitive cell of rock salt (space group 225), two atoms."""
    lattice = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice, (cation, anion), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


def _perovskite(a: str, b: str, x: str = "O", length: float = 3.9) -> Crystal:
    """The cubic perovskite (space group 221), five atoms."""
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystal(length * np.eye(3), (a, b, x, x, x), np.array(frac))


def _diamond(a: float = 3.567) -> Crystal:
    lattice = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice, ("C", "C"), np.array([[0, 0, 0], [0.25, 0.25, 0.25]]))


def _graphite() -> Crystal:
    a, c = 2.46, 6.7
    lattice = np.array([[a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0], [0, 0, c]])
    frac = [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    return Crystal(lattice, ("C",) * 4, np.array(frac))


@pytest.fixture(scope="session")
def rocksalt() -> Callable[..., Crystal]:
    return _rocksalt


@pytest.fixture(scope="session")
def perovskite() -> Callable[..., Crystal]:
    return _perovskite


@pytest.fixture(scope="session")
def diamond() -> Callable[..., Crystal]:
    return _diamond


@pytest.fixture(scope="session")
def graphite() -> Callable[..., Crystal]:
    return _graphite


@pytest.fixture(scope="session")
def shared_crystals(shared_data: Path) -> Callable[..., list[Crystal]]:
    """The first records of a part of a shared crystal set."""

    def read(name: str, part: str, count: int | None = None) -> list[Crystal]:
        crystals = []
        with gzip.open(shared_data / "crystals" / name / f"{part}.jsonl.gz", "rt") as lines:
            for i, line in enumerate(lines):
                if i == count:
                    break
                d = json.loads(line)
                crystals.append(Crystal(d["lattice"], d["species"], d["frac"]))
        return crystals

    return read
