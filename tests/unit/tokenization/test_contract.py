"""Every tokenizer keeps the contract of ``sciar.testing``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from sciar.errors import RecordError
from sciar.records import Crystal, Molecule, Structure
from sciar.testing import TokenizerTests
from sciar.testing.comparison import assert_same_structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.compat import UniGenXTokenizer
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.unified import UnifiedTokenizer


def embedded(smiles: str) -> Molecule:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return Molecule.from_rdkit(mol)


def salts() -> list[Structure]:
    return [
        Crystal(5.6 * np.eye(3), ("Na", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]]),
        Crystal(
            np.diag([3.0, 4.0, 5.0]), ("Ti", "O", "O"), [[0, 0, 0], [0.3, 0.2, 0.1], [0.7, 0, 0]]
        ),
    ]


class Molecules(TokenizerTests):
    task = "conformer"

    def make_tokenizer(self) -> LayoutTokenizer:
        return MoleculeTokenizer(task=self.task)

    def make_structures(self) -> Sequence[Structure]:
        names = ("C", "CC#N", "C1CC1", "CC(=O)[O-]", "c1ccncc1", "C[N+](C)(C)C", "CS(=O)(=O)N")
        return [embedded(smiles) for smiles in names]

    def make_inexpressible(self) -> Structure:
        return embedded("C[Se]C")


class TestConformers(Molecules):
    pass


class TestMoleculesFromNothing(Molecules):
    task = "denovo"


class TestUnified(Molecules):
    def make_tokenizer(self) -> LayoutTokenizer:
        return UnifiedTokenizer()

    def make_structures(self) -> Sequence[Structure]:
        return [*super().make_structures(), *salts()]


class TestUniGenXCrystals(TokenizerTests):
    def make_tokenizer(self) -> LayoutTokenizer:
        return UniGenXTokenizer("uni_mat")

    def make_structures(self) -> Sequence[Structure]:
        return salts()

    def make_inexpressible(self) -> Structure:
        return Crystal(np.eye(3), ("D",), np.zeros((1, 3)))


class TestUniGenXMolecules(Molecules):
    def make_tokenizer(self) -> LayoutTokenizer:
        return UniGenXTokenizer("mol", "drugs")

    def assert_same(self, actual: Structure, expected: Structure) -> None:
        assert isinstance(expected, Molecule) and expected.positions is not None
        heavy = [i for i, symbol in enumerate(expected.symbols) if symbol != "H"]
        bare = Molecule(tuple(expected.symbols[i] for i in heavy), expected.positions[heavy])
        assert isinstance(actual, Molecule)
        assert_same_structure(Molecule(actual.symbols, actual.positions), bare, self.tolerance)

    def test_too_many_atoms_raise(self) -> None:
        """The limit counts heavy atoms."""
        tokenizer = self.make_tokenizer()
        tokenizer.max_atoms = 5
        tokenizer.encode(embedded("CCCCC"))
        with pytest.raises(RecordError, match="6 atoms"):
            tokenizer.encode(embedded("CCCCCC"))
