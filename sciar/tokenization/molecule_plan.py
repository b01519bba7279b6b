"""Which slots a molecule has and what each is placed relative to: a function of its SMILES."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sciar.tokenization.kekule import atoms_of, parse
from sciar.tokenization.layout import SlotSpec
from sciar.tokenization.molecule_relations import relation_codes

if TYPE_CHECKING:
    from rdkit.Chem import Mol

REFERENCES = 8
"""References of a slot."""


@dataclass(frozen=True, eq=False)
class MoleculePlan:
    """Slots of a molecule: heavy atoms in SMILES order, then hydrogens by parent.

    Attributes:
        mol: RDKit graph whose atoms are the slots.
        heavy: number of heavy atoms.
        specs: one a slot.
        hydrogens: slots of the hydrogens of each heavy atom.
    """

    mol: Mol
    heavy: int
    specs: tuple[SlotSpec, ...]
    hydrogens: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.specs)


@lru_cache(maxsize=4096)
def molecule_plan(smiles: str, hydrogens: bool) -> MoleculePlan:
    """Plan of a Kekule SMILES.

    Raises:
        RecordError: RDKit refuses the SMILES.
    """
    from rdkit import Chem

    mol = parse(smiles)
    heavy = mol.GetNumAtoms()
    if hydrogens:
        mol = Chem.AddHs(mol)
    groups: list[list[int]] = [[] for _ in range(heavy)]
    for atom in atoms_of(mol)[heavy:]:
        groups[atom.GetNeighbors()[0].GetIdx()].append(atom.GetIdx())
    distances = np.rint(Chem.GetDistanceMatrix(mol)).astype(int)
    codes = relation_codes(mol, distances)
    references = [closest(i, distances) for i in range(mol.GetNumAtoms())]
    specs = tuple(
        SlotSpec(
            label=atom.GetSymbol(),
            anchor=i,
            references=tuple(near),
            relations=tuple(codes[i, near].tolist()),
        )
        for i, (atom, near) in enumerate(zip(atoms_of(mol), references, strict=True))
    )
    return MoleculePlan(mol, heavy, specs, tuple(map(tuple, groups)))


def closest(slot: int, distances: np.ndarray) -> list[int]:
    """References of a slot: up to :data:`REFERENCES` earlier slots, the closest relation first.

    First the parent: the latest earlier neighbour. Then earlier neighbours of the slot that close a
    ring, then the parent's own parent, then its other earlier neighbours (siblings), then the rest
    by the number of bonds between, ties by index. In a local frame the parent is the origin, the
    second reference gives the bond angle, the third the torsion; an atom that closes a ring is
    seen from both of its bonds.

    Args:
        slot: index of the slot.
        distances: (n, n) bonds between atoms.
    """
    if slot == 0:
        return []
    between = distances[slot, :slot]
    own = np.flatnonzero(between == 1)
    if not len(own):
        return np.argsort(between, kind="stable")[:REFERENCES].tolist()
    parent = int(own[-1])
    around = np.flatnonzero(distances[parent, :slot] == 1)
    rank = between + 4
    rank[around] = 3
    before = around[around < parent]
    if len(before):
        rank[before[-1]] = 2
    rank[own] = 1
    rank[parent] = 0
    order = np.lexsort((np.arange(slot), rank))
    return order[:REFERENCES].tolist()
