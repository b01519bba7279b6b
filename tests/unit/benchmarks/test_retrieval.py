"""The benchmark of the index runs, and its crystals are what it says."""

from __future__ import annotations

import numpy as np

from benchmarks.retrieval import PATTERNS, measured, synthetic
from sciar.retrieval.index import StructureIndex
from sciar.retrieval.patterns import ordered


def test_synthetic_crystals_have_the_patterns() -> None:
    arrays = synthetic(60, np.random.default_rng(1))
    index = StructureIndex([str(i) for i in range(60)], *arrays)
    found = {ordered(index.crystal(i).composition)[0] for i in range(60)}
    assert found <= set(PATTERNS) and len(found) > 3


def test_a_size_is_measured() -> None:
    row = measured(300)
    assert row["structures"] == 300 and row["sites"] > 300 and row["memory MB"] > 0
