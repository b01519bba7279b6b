"""Coordinates for molecules that are known by their graph only, by RDKit's ETKDG."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from sciar.errors import RecordError
from sciar.records import Molecule

_ATTEMPTS = 40
"""Tries of each of two ways, so that an impossible molecule costs seconds, not minutes."""


def embedded(molecule: Molecule, seed: int = 0) -> Molecule:
    """The molecule with all hydrogens and one ETKDGv3 conformer, relaxed by MMFF94 if it can be.

    The conformer hangs on the graph and the seed alone, not on other records
    (Wang et al., J. Chem. Inf. Model. 60, 2044 (2020)).

    Args:
        molecule: with a graph or a SMILES.
        seed: another one gives another conformer.

    Raises:
        RecordError: no graph, or ETKDG finds no conformer.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    smiles = molecule.to_smiles()
    with rdBase.BlockLogs():
        mol = molecule.mol if molecule.mol is not None else Chem.MolFromSmiles(smiles)
        if mol is None:
            raise RecordError(f"the SMILES {smiles!r} does not parse; check it", field="smiles")
        mol = Chem.AddHs(mol)
        mol.RemoveAllConformers()
        parameters: Any = rdDistGeom.ETKDGv3()
        parameters.randomSeed = _seed(smiles, seed)
        parameters.numThreads = 1
        parameters.maxIterations = _ATTEMPTS
        found = rdDistGeom.EmbedMolecule(mol, parameters)
        if found != 0:
            parameters.useRandomCoords = True  # helps crowded and macrocyclic molecules
            found = rdDistGeom.EmbedMolecule(mol, parameters)
        if found != 0:
            raise RecordError(
                f"ETKDG finds no coordinates for {smiles}; give the molecule with coordinates",
                field="positions",
            )
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
            rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    return replace(Molecule.from_rdkit(mol, smiles), charge=molecule.charge)


def _seed(smiles: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}:{smiles}".encode()).digest()
    return int.from_bytes(digest[:4], "little") % (2**31 - 1)
