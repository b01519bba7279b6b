"""Proteins as labelled points: C-alpha atoms named by residue, or all heavy atoms by element."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.formats.protein_structure import first_model
from sciar.datasets.formats.text import decode, open_bytes
from sciar.errors import RecordError, UsageError
from sciar.records import Molecule, Record

SELECTIONS = ("calpha", "heavy")
RESIDUES = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET",
    "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK",
)  # fmt: skip
"""Labels of C-alpha atoms; what is no standard residue is UNK."""

HEAVY = ("C", "N", "O", "S", "P", "Se")
"""Labels of heavy atoms of proteins."""


def read_points(path: str | Path, select: str = "calpha") -> Iterator[Record]:
    """One record for each protein chain of the first model of a PDB or mmCIF file.

    The structure is a :class:`~sciar.records.Molecule` whose symbols are the labels, as an
    :class:`~sciar.tokenization.octree_molecule.OctreeMoleculeTokenizer` with these labels takes it.
    Of alternate positions the first is taken; water and ligands are left out.

    Args:
        path: file, gzipped or not.
        select: ``calpha`` (labels :data:`RESIDUES`) or ``heavy`` (labels: elements).

    Raises:
        RecordError: the file cannot be read, or holds no such atom.
        UsageError: another selection.
    """
    if select not in SELECTIONS:
        raise UsageError(f"selection {select!r} is none of {SELECTIONS}")
    path = Path(path)
    with open_bytes(path) as stream:
        text = decode(stream.read())
    stem = path.name.removesuffix(".gz")
    found = list(_chains(text, Path(stem).suffix.lower() in (".cif", ".mmcif"), select))
    if not found:
        raise RecordError("there is no protein chain in this file", source=str(path))
    for index, (chain, labels, positions) in enumerate(found):
        structure = Molecule(tuple(labels), np.array(positions, dtype=np.float64))
        yield Record(f"{Path(stem).stem}_{chain}", structure, {"chain": chain}, str(path), index)


def _chains(
    text: str, mmcif: bool, select: str
) -> Iterator[tuple[str, list[str], list[np.ndarray]]]:
    for chain in first_model(text, mmcif):
        labels: list[str] = []
        positions: list[np.ndarray] = []
        for residue in chain:
            if "CA" not in residue or residue.id[0].startswith("W"):
                continue
            for label, atom in _atoms(residue, select):
                labels.append(label)
                positions.append(atom.coord)
        if labels:
            yield chain.id, labels, positions


def _atoms(residue: Any, select: str) -> Iterator[tuple[str, Any]]:
    if select == "calpha":
        name = residue.resname.strip()
        yield (name if name in RESIDUES else "UNK"), residue["CA"]
        return
    for atom in residue:
        element = atom.element.capitalize()
        if element not in ("H", "D", ""):
            yield element, atom
