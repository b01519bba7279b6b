"""Real crystals that makers simulate measurements of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sciar.datasets.preparing import source_path
from sciar.datasets.readers import read_all
from sciar.errors import UsageError
from sciar.records import Crystal

TRIES = 200
"""Crystals that are tried for one observation before a maker gives up."""


@lru_cache(maxsize=16)
def crystals_of(source: str, split: str, most_atoms: int) -> tuple[tuple[str, Crystal], ...]:
    """(id, crystal) of those of a data set (or file) with at most so many atoms.

    Raises:
        UsageError: the set is not here, or holds none such.
    """
    records, _ = read_all(source_path(source, split), kind="crystal")
    found = tuple(
        (r.id, r.structure)
        for r in records
        if isinstance(r.structure, Crystal) and len(r.structure) <= most_atoms
    )
    if not found:
        raise UsageError(f"{source}, {split}: no crystal of at most {most_atoms} atoms")
    return found


def choose(
    source: str, split: str, most_atoms: int, rng: np.random.Generator
) -> tuple[str, Crystal]:
    """A random crystal of a split, with its id."""
    found = crystals_of(source, split, most_atoms)
    return found[int(rng.integers(len(found)))]
