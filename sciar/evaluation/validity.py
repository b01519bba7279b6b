"""When a crystal is called valid (CDVAE, Xie et al., arXiv:2110.06197).

Structure: no two atoms closer than 0.5 angstrom, and a cell of at least 0.1 cubic angstrom.
Composition: the SMACT rule (Davies et al., Chem 1, 617, 2016): some choice of one oxidation state
per element is neutral, and no anion is less electronegative than a cation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache, reduce
from importlib.resources import files
from math import gcd, prod

import numpy as np

from sciar.evaluation.inputs import CrystalLike, as_crystal
from sciar.records import Crystal

MINIMUM_DISTANCE = 0.5
MINIMUM_VOLUME = 0.1
COMBINATION_LIMIT = 10_000_000
"""Compositions with more choices of oxidation states than this count as invalid, as in DiffCSP."""


def minimum_distance(crystal: Crystal) -> float:
    """Smallest distance in angstrom between any two atoms, periodic self-images included.

    Exact when it is below :data:`MINIMUM_DISTANCE` (and in fact up to 1 angstrom): as many images
    are searched as a sphere of that radius can reach in the given cell. Above, it is an upper
    bound, which is all that the validity rule needs.
    """
    lattice, frac = crystal.lattice, crystal.frac
    reach = _reach(lattice)
    if reach.max() > 2:  # thin or skewed: an equivalent compact cell needs fewer images
        from pymatgen.core import Lattice

        lattice = Lattice(lattice).get_lll_reduced_lattice().matrix
        frac = crystal.frac @ crystal.lattice @ np.linalg.inv(lattice)
        # in a compact cell a larger reach means a cell vector below 0.5 angstrom, found anyway
        reach = np.minimum(_reach(lattice), 8)
    axes = [np.arange(-r, r + 1) for r in reach]
    images = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    first, second = np.triu_indices(len(crystal), k=1)
    delta = frac[first] - frac[second]
    delta -= np.round(delta)
    own = images[np.any(images != 0, axis=1)] @ lattice
    smallest = float((own**2).sum(-1).min())
    shifts = images @ lattice
    rows = max(1, 2_000_000 // len(images))
    for start in range(0, len(delta), rows):
        vectors = (delta[start : start + rows] @ lattice)[:, None] + shifts
        smallest = min(smallest, float(np.einsum("pij,pij->pi", vectors, vectors).min()))
    return float(np.sqrt(smallest))


def _reach(lattice: np.ndarray) -> np.ndarray:
    """(3,) cells on either side that a sphere of 1 angstrom touches from a wrapped difference."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    return np.ceil(1.0 / heights + 0.5).astype(int)


def structure_is_valid(structure: CrystalLike) -> bool:
    """Structural validity; self-images count too, which CDVAE's own script leaves out."""
    crystal = as_crystal(structure)
    if crystal is None or crystal.volume < MINIMUM_VOLUME:
        return False
    return minimum_distance(crystal) >= MINIMUM_DISTANCE


@cache
def _element_table() -> dict[str, dict[str, object]]:
    text = files("sciar.evaluation").joinpath("data/oxidation_states.json").read_text("utf-8")
    table: dict[str, dict[str, object]] = json.loads(text)["elements"]
    return table


def composition_is_valid(composition: Mapping[str, int]) -> bool:
    """Compositional validity of element counts; they are reduced by their common divisor first.

    Elements and compositions of metals alone pass; an element without oxidation states, or one
    without an electronegativity in a compound, does not.
    """
    counts = sorted((s, int(n)) for s, n in composition.items() if n > 0)
    if not counts:
        return False
    divisor = reduce(gcd, (n for _, n in counts))
    return _reduced_is_valid(tuple((s, n // divisor) for s, n in counts))


@lru_cache(maxsize=100_000)
def _reduced_is_valid(counts: tuple[tuple[str, int], ...]) -> bool:
    table = _element_table()
    entries = [table.get(symbol) for symbol, _ in counts]
    if len(entries) == 1:
        return True
    known = [entry for entry in entries if entry is not None]
    if len(known) < len(entries):
        return False
    if all(entry["metal"] for entry in known):
        return True
    states: list[list[int]] = [entry["states"] for entry in known]  # type: ignore[misc]
    chi: list[float | None] = [entry["electronegativity"] for entry in known]  # type: ignore[misc]
    if prod(len(s) for s in states) > COMBINATION_LIMIT or any(x is None for x in chi):
        return False
    numbers = [n for _, n in counts]
    return _neutral_and_ordered(states, numbers, [float(x) for x in chi if x is not None])


def _neutral_and_ordered(states: list[list[int]], numbers: list[int], chi: list[float]) -> bool:
    """Whether a neutral choice exists in which every cation is less electronegative than every
    anion.

    Such a choice has a border: elements up to it are never negative, elements above it never
    positive. For each border the reachable total charges are a sumset, so the cost grows with
    the charges, not with the product of the numbers of states.
    """
    for border in sorted(set(chi)):
        charges = {0}
        for options, number, value in zip(states, numbers, chi, strict=True):
            allowed = [s for s in options if (s >= 0 if value <= border else s <= 0)]
            charges = {total + number * s for total in charges for s in allowed}
        if 0 in charges:
            return True
    return False


def is_valid(structure: CrystalLike) -> bool:
    """Structural and compositional validity together."""
    crystal = as_crystal(structure)
    return (
        crystal is not None
        and composition_is_valid(crystal.composition)
        and structure_is_valid(crystal)
    )
