"""Proteins as labelled points: C-alpha atoms named by residue, or all heavy atoms by element.

One record for each protein chain of the first model of a PDB or mmCIF file. Its structure is a
:class:`~sciar.records.Molecule` whose symbols are the labels, as an
:class:`~sciar.tokenization.octree_molecule.OctreeMoleculeTokenizer` with these labels takes it.
Properties: ``chain``, ``sequence`` (a letter a residue), ``atom_names`` (residue and
number of each point), and where a ligand is bound ``ligands`` (their names) and ``pocket``,
``yes`` or ``no`` for each point (:mod:`sciar.datasets.formats.pockets`). A chain that no ligand
touches has no ``pocket``: where it would bind one is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.formats.entry import Built, Entry
from sciar.datasets.formats.pockets import (
    DISTANCE,
    heavy_atoms,
    in_pocket,
    ligands_of,
    residues_of,
)
from sciar.datasets.formats.protein_structure import first_model
from sciar.datasets.formats.text import decode, open_bytes
from sciar.errors import RecordError
from sciar.records import Molecule

ENDINGS = (".pdb", ".ent", ".cif", ".mmcif")
"""Of files that hold structures of proteins."""

RESIDUES = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET",
    "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK",
)  # fmt: skip
"""Labels of C-alpha atoms; what is no standard residue is UNK."""

HEAVY = ("C", "N", "O", "S", "P", "Se")
"""Labels of heavy atoms of proteins."""


def calpha(path: Path, distance: float = DISTANCE) -> Iterator[Entry]:
    """One point a residue, at its C-alpha atom, labelled as in :data:`RESIDUES`.

    Args:
        path: file, gzipped or not.
        distance: angstrom; a residue with a heavy atom this close to one of a ligand is in the
            pocket.
    """
    return _entries(path, distance, atoms=False)


def heavy(path: Path, distance: float = DISTANCE) -> Iterator[Entry]:
    """One point for each heavy atom of the residues, labelled by its element.

    Args:
        path: file, gzipped or not.
        distance: angstrom; an atom this close to a heavy atom of a ligand is in the pocket.
    """
    return _entries(path, distance, atoms=True)


def _entries(path: Path, distance: float, atoms: bool) -> Iterator[Entry]:
    name = path.name.removesuffix(".gz")
    with open_bytes(path) as stream:
        raw = stream.read()
    try:
        chains = list(first_model(decode(raw), Path(name).suffix.lower() in (".cif", ".mmcif")))
    except RecordError as error:
        yield Entry.failed(error)
        return
    ligands = list(ligands_of(chains))
    found = [(chain.id, residues) for chain in chains if (residues := residues_of(chain))]
    if not found:
        yield Entry.failed(RecordError("there is no protein chain in this file"))
    for chain, residues in found:
        build = partial(_build, chain, residues, ligands, distance, atoms)
        yield Entry(f"{Path(name).stem}_{chain}", build)


def _build(
    chain: str,
    residues: list[Any],
    ligands: list[tuple[str, np.ndarray]],
    distance: float,
    atoms: bool,
) -> Built:
    from Bio.Data.PDBData import protein_letters_3to1_extended as letters

    every = [heavy_atoms(residue) for residue in residues]
    if atoms:
        owners = [r for r, own in zip(residues, every, strict=True) for _ in own]
        points = [atom for own in every for atom in own]
        labels = [atom.element.capitalize() for atom in points]
        groups = [np.array([atom.coord], dtype=np.float64) for atom in points]
    else:
        owners, points = residues, [residue["CA"] for residue in residues]
        names = [residue.resname.strip() for residue in residues]
        labels = [name if name in RESIDUES else "UNK" for name in names]
        groups = [np.array([atom.coord for atom in own], dtype=np.float64) for own in every]
    positions = np.array([atom.coord for atom in points], dtype=np.float64)
    facts: dict[str, Any] = {
        "chain": chain,
        "sequence": "".join(letters.get(r.resname.strip(), "X") for r in residues),
        "atom_names": [f"{r.resname.strip()}{r.id[1]}{r.id[2].strip()}" for r in owners],
    }
    inside, bound = in_pocket(groups, ligands, distance)
    if bound:
        facts["ligands"] = list(bound)
        facts["pocket"] = ["yes" if x else "no" for x in inside]
    return Molecule(tuple(labels), positions), facts
