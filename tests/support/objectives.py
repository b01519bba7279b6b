"""Objectives that other processes can import, good and bad ones."""

from __future__ import annotations

import os
import time

from sciar.records import Molecule, Structure


def carbons(structure: Structure) -> float:
    """Share of carbon among the heavy atoms."""
    assert isinstance(structure, Molecule)
    heavy = [s for s in structure.symbols if s != "H"]
    return heavy.count("C") / max(len(heavy), 1)


def moody(structure: Structure) -> object:
    """Something else is wrong for each number of atoms."""
    n = len(structure)
    if n % 5 == 0:
        raise ValueError(f"{n} atoms")
    if n % 5 == 1:
        time.sleep(60)
    return {2: float("nan"), 3: "much"}.get(n % 5, 0.5)


def deadly(structure: Structure) -> float:
    """Ends its process for structures of two atoms."""
    if len(structure) == 2:
        os._exit(7)
    return 1.0
