"""From tokens back to atoms: the place in the input of everything that a tokenizer reordered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

import numpy as np

from sciar.records import Crystal, Molecule, Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cell import reduce_cell
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.kekule import heavy_graph, kekule_smiles
from sciar.tokenization.layout import Slots
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.molecule_plan import molecule_plan
from sciar.tokenization.order import canonical_order
from sciar.tokenization.unified import UnifiedTokenizer


def part_for(tokenizer: LayoutTokenizer, structure: Structure) -> LayoutTokenizer:
    """The tokenizer of the structure's own domain."""
    if isinstance(tokenizer, UnifiedTokenizer):
        return tokenizer.parts["crystals" if isinstance(structure, Crystal) else "molecules"]
    return tokenizer


def atoms_of(tokenizer: LayoutTokenizer, structure: Structure) -> list[int]:
    """Anchor of a token -> index of its atom in the structure as it was read."""
    part = part_for(tokenizer, structure)
    if isinstance(structure, Crystal) and isinstance(part, CrystalTokenizer):
        return _sites(part, structure)
    if isinstance(structure, Molecule) and isinstance(part, MoleculeTokenizer):
        return _atoms(part, structure)
    return list(range(len(structure)))


def _sites(tokenizer: CrystalTokenizer, crystal: Crystal) -> list[int]:
    if tokenizer.order != "canonical":
        return list(range(len(crystal)))
    frac = crystal.frac
    if tokenizer.cell == "niggli":
        _, frac = reduce_cell(crystal.lattice, frac)
    return [int(i) for i in canonical_order(crystal.species, frac)[0]]


def _atoms(tokenizer: MoleculeTokenizer, molecule: Molecule) -> list[int]:
    """Heavy atoms by the SMILES; hydrogens of one parent by their distances to the other atoms."""
    assert molecule.mol is not None and molecule.positions is not None
    heavy, source = heavy_graph(molecule.mol)
    smiles, order = kekule_smiles(heavy)
    found = [source[i] for i in order]
    if not tokenizer.hydrogens:
        return found
    slots = tokenizer.fields(molecule)["atoms"]
    assert isinstance(slots, Slots)
    ours, theirs = _distances(slots.values), _distances(molecule.positions)
    for parent, group in enumerate(molecule_plan(smiles, True).hydrogens):
        atom = molecule.mol.GetAtomWithIdx(found[parent])
        own = [a.GetIdx() for a in atom.GetNeighbors() if a.GetAtomicNum() == 1]
        found += _matched(ours, theirs, found, group, own)
    return found


def _matched(
    ours: np.ndarray,
    theirs: np.ndarray,
    known: Sequence[int],
    group: Sequence[int],
    own: Sequence[int],
) -> list[int]:
    """The order of ``own`` in which its distances are those of the slots of ``group``."""
    places = [*range(len(known)), *group]

    def misfit(order: Iterable[int]) -> float:
        difference = ours[np.ix_(group, places)] - theirs[np.ix_(list(order), [*known, *order])]
        return float(np.abs(difference).sum())

    return list(min(permutations(own), key=misfit)) if group else []


def _distances(positions: np.ndarray) -> np.ndarray:
    return np.linalg.norm(positions[:, None] - positions[None], axis=-1)
