"""Codes of the relations between atoms."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from sciar.records import Molecule
from sciar.tokenization.molecule_relations import CODES, FARTHEST, bonds_between, relation_codes


def codes_of(smiles: str, hydrogens: bool = False) -> tuple[np.ndarray, np.ndarray]:
    mol = Chem.MolFromSmiles(smiles)
    mol = Chem.AddHs(mol) if hydrogens else mol
    distances = np.rint(Chem.GetDistanceMatrix(mol)).astype(int)
    return relation_codes(mol, distances), distances


def test_codes_count_bonds_and_are_symmetric(molecules: list[Molecule]) -> None:
    seen: set[int] = set()
    for molecule in molecules[::2]:
        assert molecule.mol is not None
        codes, distances = codes_of(Chem.MolToSmiles(molecule.mol), hydrogens=True)
        assert np.array_equal(codes, codes.T)
        assert not codes.diagonal().any()
        between = np.vectorize(bonds_between)(codes)
        off = ~np.eye(len(codes), dtype=bool)
        assert np.array_equal(between[off], np.minimum(distances, FARTHEST)[off])
        seen |= set(codes.ravel().tolist())
    assert len(seen) > 20 and max(seen) < CODES < 128  # int8 in sequences and caches


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("CC", 0, 1), ("C=C", 0, 1)),
        (("C=C", 0, 1), ("C#C", 0, 1)),
        (("C1=CCC=CC1", 0, 1), ("c1ccccc1", 0, 1)),  # a double bond and an aromatic one
        (("CCC", 0, 2), ("CC=C", 0, 2)),  # angle at a tetrahedral and at a planar atom
        (("CC=C", 0, 2), ("CC#C", 0, 2)),
        (("CCC", 0, 2), ("C1CCC1", 0, 2)),  # and in a small ring
        (("C1CCC1", 0, 2), ("C1CCCC1", 0, 2)),
        (("CCCC", 0, 3), ("CC=CC", 0, 3)),
        (("CCCC", 0, 3), ("C1CCCCC1", 0, 3)),
        (("C1CC1", 0, 1), ("C1CCC1", 0, 1)),
    ],
)
def test_what_a_distance_hangs_on_is_told_apart(
    one: tuple[str, int, int], other: tuple[str, int, int]
) -> None:
    first, second = codes_of(one[0])[0], codes_of(other[0])[0]
    assert first[one[1], one[2]] != second[other[1], other[2]]


def test_a_ring_of_two_fused_rings_is_the_smaller() -> None:
    """Where both atoms lie in two rings, the smaller one counts."""
    fused, small = codes_of("C12CCCC1C2")[0], codes_of("C1CC1")[0]
    assert fused[0, 4] == small[0, 1]  # the bond that both rings share
