"""What one atom of a molecule is to another: a code that says what their distance hangs on.

Bonded atoms: single, double, triple or aromatic. Two bonds apart: hybridisation of the atom
between, which sets the angle. Three apart: kind of the middle bond. In each case also the smallest
ring that holds both. Farther apart: the number of bonds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sciar.tokenization.kekule import atoms_of

if TYPE_CHECKING:
    from rdkit.Chem import Mol

FARTHEST = 15
"""Bonds between two atoms are counted up to this number."""

RINGS = 6
"""No common ring, a ring of 3, 4, 5, 6, or more atoms."""

_SHARP = 4
"""Kinds of bond, of atom between, of middle bond."""

CODES = 1 + 3 * _SHARP * RINGS + FARTHEST - 3
"""Number of codes; 0 is none."""


def relation_codes(mol: Mol, distances: np.ndarray) -> np.ndarray:
    """(n, n) codes, 0 on the diagonal; symmetric.

    Args:
        mol: sanitised graph, hydrogens or not.
        distances: (n, n) bonds between its atoms.
    """
    n = mol.GetNumAtoms()
    far = np.clip(distances, 3, FARTHEST) - 3
    codes = np.where(distances > 3, 3 * _SHARP * RINGS + far, 0)
    bonds, between = _bonds(mol), _hybridisations(mol)
    ring = _common_rings(mol)
    for i, j in zip(*np.nonzero((distances > 0) & (distances <= 3)), strict=True):
        if i > j:
            path = _path(int(i), int(j), distances)
            if len(path) == 2:
                kind = bonds[i, j]
            elif len(path) == 3:
                kind = between[path[1]]
            else:
                kind = bonds[path[1], path[2]]
            code = 1 + ((len(path) - 2) * _SHARP + kind) * RINGS + ring[i, j]
            codes[i, j] = codes[j, i] = code
    codes[np.arange(n), np.arange(n)] = 0
    return codes


def bonds_between(code: int) -> int:
    """How many bonds lie between two atoms of a relation."""
    sharp = 3 * _SHARP * RINGS
    return (code - 1) // (_SHARP * RINGS) + 1 if 0 < code <= sharp else code - sharp + 3


def _path(start: int, end: int, distances: np.ndarray) -> list[int]:
    """The shortest path, through the lowest indices."""
    path = [start]
    while path[-1] != end:
        here = path[-1]
        nearer = (distances[here] == 1) & (distances[end] == distances[end, here] - 1)
        path.append(int(np.flatnonzero(nearer)[0]))
    return path


def _bonds(mol: Mol) -> np.ndarray:
    """(n, n) kinds of bond: 0 single (or any other), 1 double, 2 triple, 3 aromatic."""
    from rdkit.Chem import BondType

    known = {BondType.DOUBLE: 1, BondType.TRIPLE: 2, BondType.AROMATIC: 3}
    kinds = np.zeros((mol.GetNumAtoms(),) * 2, dtype=int)
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        kinds[i, j] = kinds[j, i] = known.get(bond.GetBondType(), 0)
    return kinds


def _hybridisations(mol: Mol) -> list[int]:
    """0 linear, 1 planar, 2 any other, for each atom."""
    from rdkit.Chem import HybridizationType

    kinds = {HybridizationType.SP: 0, HybridizationType.SP2: 1}
    return [kinds.get(atom.GetHybridization(), 2) for atom in atoms_of(mol)]


def _common_rings(mol: Mol) -> np.ndarray:
    """(n, n) class of the smallest ring that holds both atoms, 0 if none does."""
    size = np.zeros((mol.GetNumAtoms(),) * 2, dtype=int)
    for ring in sorted(mol.GetRingInfo().AtomRings(), key=len, reverse=True):
        members = np.array(ring)
        size[members[:, None], members] = min(len(ring) - 2, RINGS - 1)
    return size
