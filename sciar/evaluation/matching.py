"""Pairwise comparison of crystals with pymatgen's ``StructureMatcher``, as worker functions."""

from __future__ import annotations

from functools import lru_cache

from pymatgen.analysis.structure_matcher import StructureMatcher

from sciar.records import Crystal

CSP_TOLERANCES = (0.3, 0.5, 10.0)
"""ltol, stol (a fraction of (V/N)^(1/3)) and angle_tol (degrees) of the CSP literature (DiffCSP,
arXiv:2309.04475)."""

DEFAULT_TOLERANCES = (0.2, 0.3, 5.0)
"""pymatgen's defaults, used for uniqueness and novelty."""


@lru_cache(maxsize=8)
def _matcher(tolerances: tuple[float, float, float]) -> StructureMatcher:
    ltol, stol, angle_tol = tolerances
    return StructureMatcher(ltol=ltol, stol=stol, angle_tol=angle_tol)


def rms_distance(pair: tuple[Crystal, Crystal]) -> float | None:
    """RMS displacement of (prediction, reference), ``None`` if they do not match.

    Normalised by (V/N)^(1/3), as ``StructureMatcher.get_rms_dist`` gives it with the tolerances
    of the CSP literature, primitive cells and scaled volumes.
    """
    prediction, reference = pair
    if sorted(set(prediction.species)) != sorted(set(reference.species)):
        return None
    found = _matcher(CSP_TOLERANCES).get_rms_dist(prediction.to_pymatgen(), reference.to_pymatgen())
    return None if found is None else float(found[0])


def same_structure(pair: tuple[Crystal, Crystal]) -> bool:
    """Whether two crystals match at pymatgen's default tolerances."""
    first, second = pair
    return bool(_matcher(DEFAULT_TOLERANCES).fit(first.to_pymatgen(), second.to_pymatgen()))


def primitive_size(crystal: Crystal) -> int:
    """Number of atoms of the primitive cell, found as ``StructureMatcher`` finds it.

    Two structures whose numbers differ cannot match, which spares most pairs of a large set.
    """
    structure = crystal.to_pymatgen()
    return len(structure.get_reduced_structure("niggli").get_primitive_structure())
