"""Whether sampled molecules are what was asked for, and physically sound."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sciar.records import Molecule
from sciar.tokenization.kekule import parse

if TYPE_CHECKING:
    from rdkit.Chem import Mol

CLASH = 0.5
"""Smallest distance of two atoms, in angstrom."""

BOND_RANGE = (0.6, 1.4)
"""Bond lengths over the sum of covalent radii (Cordero et al., Dalton Trans. 2832 (2008))."""


def check_geometry(molecule: Molecule) -> str:
    """Empty, or the first clash or impossible bond length of a molecule with ``mol``."""
    from rdkit.Chem import GetPeriodicTable

    positions, mol = molecule.positions, molecule.mol
    if positions is None or mol is None:
        return "the molecule has no coordinates or no bonds"
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    if distance.min() < CLASH:
        i, j = divmod(int(distance.argmin()), len(distance))
        return f"atoms {i} and {j} are {distance[i, j]:.2f} angstrom apart"
    table = GetPeriodicTable()
    radii = [table.GetRcovalent(symbol) for symbol in molecule.symbols]
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        ratio = distance[i, j] / (radii[i] + radii[j])
        if not BOND_RANGE[0] <= ratio <= BOND_RANGE[1]:
            pair = f"{molecule.symbols[i]}{i}-{molecule.symbols[j]}{j}"
            return f"the bond {pair} is {distance[i, j]:.2f} angstrom long"
    return ""


def has_stereo(smiles: str) -> bool:
    """Whether a SMILES has stereo marks."""
    return any(mark in smiles for mark in "@/\\")


def meets_stereo(molecule: Molecule, smiles: str) -> bool:
    """Whether the coordinates have every stereo element that ``smiles`` specifies."""
    from rdkit import Chem

    if molecule.mol is None:
        return False
    mol = Chem.Mol(molecule.to_rdkit())
    Chem.AssignStereochemistryFrom3D(mol)
    return bool(Chem.RemoveHs(mol).HasSubstructMatch(_query(smiles), useChirality=True))


def mirrored(molecule: Molecule) -> Molecule:
    """The mirror image, with the stereo marks of its graph and its SMILES to match."""
    from rdkit import Chem

    assert molecule.positions is not None
    flipped = replace(molecule, positions=molecule.positions * np.array([1.0, 1.0, -1.0]))
    if molecule.mol is None:
        return flipped
    mol = flipped.to_rdkit()
    Chem.AssignStereochemistryFrom3D(mol)
    return Molecule.from_rdkit(mol)


@lru_cache(maxsize=256)
def _query(smiles: str) -> Mol:
    return parse(smiles)
