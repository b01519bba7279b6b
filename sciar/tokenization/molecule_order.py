"""From the slots of a molecule back to its atoms, whatever order they were read in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

import numpy as np

from sciar.records import Molecule
from sciar.tokenization.kekule import heavy_graph, kekule_smiles
from sciar.tokenization.molecule_plan import molecule_plan


def molecule_atom_order(molecule: Molecule, values: np.ndarray | None) -> list[int]:
    """Heavy atoms by the SMILES; hydrogens of one parent by their distances to the other atoms.

    Args:
        molecule: with graph and coordinates.
        values: (n, 3) coordinates of the slots, in any orientation; ``None``: no hydrogens.
    """
    assert molecule.mol is not None and molecule.positions is not None
    heavy, source = heavy_graph(molecule.mol)
    smiles, order = kekule_smiles(heavy)
    found = [source[i] for i in order]
    if values is None:
        return found
    ours, theirs = _distances(values), _distances(molecule.positions)
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
