"""Coordinates for molecules that are known by their graph only, by RDKit's ETKDG."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.files import replace_file
from sciar.errors import RecordError
from sciar.records import Molecule

_ATTEMPTS = 40
"""Tries of each of two ways, so that an impossible molecule costs seconds, not minutes."""


def embedded(molecule: Molecule, seed: int = 0, store: ConformerStore | None = None) -> Molecule:
    """The molecule with all hydrogens and one ETKDGv3 conformer, relaxed by MMFF94 if it can be.

    The conformer hangs on the graph and the seed alone, not on other records
    (Wang et al., J. Chem. Inf. Model. 60, 2044 (2020)).

    Args:
        molecule: with a graph or a SMILES.
        seed: another one gives another conformer.
        store: holds conformers that were found before, and takes this one.

    Raises:
        RecordError: no graph, or ETKDG finds no conformer.
    """
    from rdkit import Chem, rdBase

    smiles = molecule.to_smiles()
    with rdBase.BlockLogs():
        mol = molecule.mol if molecule.mol is not None else Chem.MolFromSmiles(smiles)
        if mol is None:
            raise RecordError(f"the SMILES {smiles!r} does not parse; check it", field="smiles")
        mol = Chem.AddHs(mol)
        mol.RemoveAllConformers()
        key = _key(mol, seed)
        positions = store.get(key) if store is not None else None
        if positions is None:
            positions = _conformer(mol, _seed(smiles, seed))
            if store is not None:
                store.put(key, positions)
    if not len(positions):
        raise RecordError(
            f"ETKDG finds no coordinates for {smiles}; give the molecule with coordinates",
            field="positions",
        )
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetPositions(positions)
    mol.AddConformer(conformer)
    return replace(Molecule.from_rdkit(mol, smiles), charge=molecule.charge)


def _conformer(mol: Any, seed: int) -> np.ndarray:
    """(N, 3) positions, or (0, 3) if none are found."""
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    parameters.numThreads = 1
    parameters.maxIterations = _ATTEMPTS
    found = rdDistGeom.EmbedMolecule(mol, parameters)
    if found != 0:
        parameters.useRandomCoords = True  # helps crowded and macrocyclic molecules
        found = rdDistGeom.EmbedMolecule(mol, parameters)
    if found != 0:
        return np.zeros((0, 3))
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    positions = np.array(mol.GetConformer().GetPositions(), dtype=np.float64)
    mol.RemoveAllConformers()
    return positions


def _key(mol: Any, seed: int) -> str:
    """Of a molecule with its atoms in their order, and a seed."""
    from rdkit import Chem

    return hashlib.sha256(f"{seed}:{Chem.MolToCXSmiles(mol)}:{_order(mol)}".encode()).hexdigest()


def _order(mol: Any) -> str:
    """Elements and bonds as they are numbered."""
    atoms = ",".join(str(a.GetAtomicNum()) for a in mol.GetAtoms())
    bonds = ",".join(f"{b.GetBeginAtomIdx()}-{b.GetEndAtomIdx()}" for b in mol.GetBonds())
    return f"{atoms};{bonds}"


class ConformerStore:
    """Conformers that were found before, in one file of a folder; of one version of RDKit.

    Args:
        folder: of the file, e.g. that of the token caches.
    """

    def __init__(self, folder: Path) -> None:
        from rdkit import rdBase

        self.path = Path(folder) / f"conformers-{rdBase.rdkitVersion}.npz"
        self._known = self._read()
        self._new: dict[str, np.ndarray] = {}

    def get(self, key: str) -> np.ndarray | None:
        """(N, 3) positions, (0, 3) if it is known that there are none; ``None``: not known."""
        return self._known.get(key)

    def put(self, key: str, positions: np.ndarray) -> None:
        """Remember a conformer; :meth:`save` writes it down."""
        self._known[key] = self._new[key] = positions

    def save(self) -> None:
        """Write what is new beside what the file holds by now."""
        if not self._new:
            return
        every = self._read() | self._new
        sizes = np.array([len(p) for p in every.values()])
        buffer = io.BytesIO()
        np.savez(
            buffer,
            keys=np.array(list(every)),
            sizes=sizes,
            positions=np.concatenate(list(every.values())),
        )
        replace_file(self.path, buffer.getvalue())
        self._new = {}

    def _read(self) -> dict[str, np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                keys, sizes, positions = (file[k] for k in ("keys", "sizes", "positions"))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return {}  # none yet, or damaged: what is missing is found again
        parts = np.split(positions, np.cumsum(sizes)[:-1])
        return dict(zip(keys.tolist(), parts, strict=True))


def _seed(smiles: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}:{smiles}".encode()).digest()
    return int.from_bytes(digest[:4], "little") % (2**31 - 1)
