"""Where ligands bind: which groups of a PDB or mmCIF file are ligands, and what is near them.

A ligand is a group of HETATM records that is no residue of a chain, has at least five heavy atoms,
and is not on the list of what comes from the solution. Number and list are those by which P2Rank
tells relevant ligands (Krivak and Hoksza, J. Cheminform. 10, 39 (2018); its ``min_ligand_atoms``
and ``ignore_het_groups``), and further buffers, cryoprotectants and detergents. Peptides and
nucleic acids are no HETATM records, and so no ligands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

DISTANCE = 4.5
"""Angstrom between heavy atoms within which a residue counts as part of the pocket."""

LEAST_ATOMS = 5
"""Heavy atoms of the smallest ligand; ions and the smallest additives have fewer."""

_P2RANK = ("HOH", "DOD", "WAT", "NAG", "MAN", "UNK", "GLC", "ABA", "MPD", "GOL", "SO4", "PO4")
_SOLUTION = (
    "1PE", "12P", "15P", "2PE", "7PE", "B3P", "BCN", "BEZ", "BOG", "BTB", "BU3", "C8E", "CIT",
    "CXS", "DIO", "EPE", "FLC", "HEZ", "IMD", "LDA", "LMT", "MES", "MLA", "MLI", "MPO", "MRD",
    "NHE", "P33", "P4C", "P6G", "PE3", "PE4", "PE5", "PE8", "PEG", "PG0", "PG4", "PGE", "PIN",
    "POP", "SIN", "TAR", "TLA", "TAM", "TRS", "UNL", "UNX", "XPE",
)  # fmt: skip
IGNORED = frozenset((*_P2RANK, *_SOLUTION))
"""Names of groups that are no ligands, whatever their size."""

_LINK = 2.0
"""Angstrom: C and N of neighbours in a chain are closer than this (a peptide bond has 1.33)."""


def residues_of(chain: Iterable[Any]) -> list[Any]:
    """Residues of a protein chain, in the order of the file.

    ATOM groups with a C-alpha atom, and modified residues: HETATM groups that a peptide bond links
    to the residue before or after, or that are known by their C-alpha atom alone. Calcium ions,
    whose atom is also called CA, and free amino acids are none.

    Args:
        chain: of Biopython.
    """
    every = [residue for residue in chain if _has_calpha(residue)]
    return [
        residue
        for i, residue in enumerate(every)
        if residue.id[0] == " "
        or len(residue) == 1
        or (i > 0 and _linked(every[i - 1], residue))
        or (i + 1 < len(every) and _linked(residue, every[i + 1]))
    ]


def ligands_of(chains: Iterable[Iterable[Any]]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and (n, 3) heavy atoms, angstrom, of each ligand of all chains of a model."""
    for chain in chains:
        groups = list(chain)
        inside = {id(residue) for residue in residues_of(groups)}
        for group in groups:
            name = group.resname.strip()
            if id(group) in inside or group.id[0][0] != "H" or name in IGNORED:
                continue
            atoms = heavy_atoms(group)
            if len(atoms) >= LEAST_ATOMS:
                yield name, np.array([atom.coord for atom in atoms], dtype=np.float64)


def heavy_atoms(group: Iterable[Any]) -> list[Any]:
    """Atoms without hydrogen; of alternate positions the one of the highest occupancy."""
    return [atom for atom in group if atom.element.upper() not in ("H", "D")]


def near(atoms: np.ndarray, ligand: np.ndarray, distance: float = DISTANCE) -> np.ndarray:
    """(n,) whether each of (n, 3) atoms is within ``distance`` of any of (m, 3) ligand atoms."""
    away, _ = cKDTree(ligand).query(atoms)
    return np.asarray(away) <= distance


def in_pocket(
    groups: Sequence[np.ndarray],
    ligands: Sequence[tuple[str, np.ndarray]],
    distance: float = DISTANCE,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which groups of atoms have one near a ligand, and the names of the ligands that are near.

    Args:
        groups: the heavy atoms, (k, 3), of each residue, or each atom on its own.
        ligands: names and (m, 3) heavy atoms.
        distance: angstrom.
    """
    found = np.zeros(len(groups), dtype=bool)
    owners = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    names = []
    for name, ligand in ligands:
        close = owners[near(np.concatenate(groups), ligand, distance)]
        if len(close):
            found[close] = True
            names.append(name)
    return found, tuple(names)


def _has_calpha(residue: Any) -> bool:
    # Biopython writes the element in capitals, and guesses it where the column is empty.
    return "CA" in residue and residue["CA"].element in ("C", "") and residue.id[0] != "W"


def _linked(one: Any, two: Any) -> bool:
    if "C" not in one or "N" not in two:
        return False
    return float(np.linalg.norm(one["C"].coord - two["N"].coord)) < _LINK
