"""Crystals and molecules in one vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from cursor_walks import assert_replayed
from rdkit import Chem

from sciar.errors import UsageError
from sciar.records import Crystal, Molecule
from sciar.testing.comparison import assert_same_structure
from sciar.tokenization.packing import pack
from sciar.tokenization.unified import UnifiedTokenizer
from sciar.tokenization.vocabulary import Vocabulary


@pytest.fixture
def tokenizer() -> UnifiedTokenizer:
    return UnifiedTokenizer(crystals={"max_atoms": 60}, molecules={"max_atoms": 80})


def test_markers_tell_the_parts(
    tokenizer: UnifiedTokenizer, crystals: list[Crystal], molecules: list[Molecule]
) -> None:
    for structure, marker in ((crystals[0], "<material>"), (molecules[0], "<molecule>")):
        sequence = tokenizer.encode(structure)
        names = [tokenizer.vocabulary.names[i] for i in sequence.ids]
        assert names[:2] == ["<bos>", marker]
        assert {"<material>", "<molecule>"} & set(names[2:]) == set()


def test_both_parts_come_back(
    tokenizer: UnifiedTokenizer, crystals: list[Crystal], molecules: list[Molecule]
) -> None:
    for structure in [*crystals[:8], *molecules[:8]]:
        assert_same_structure(tokenizer.decode(tokenizer.encode(structure)), structure, 1e-3)


def test_both_parts_fit_into_one_pack(
    tokenizer: UnifiedTokenizer, crystals: list[Crystal], molecules: list[Molecule]
) -> None:
    sequences = [tokenizer.encode(s) for s in (crystals[0], molecules[0], crystals[1])]
    packed = pack(sequences)
    assert len(packed) == sum(map(len, sequences))
    assert packed.references.shape[1] == tokenizer.layout.references
    assert set(packed.kinds.tolist()) == {0, 1, 2, 3}


def test_requests_choose_the_part(
    tokenizer: UnifiedTokenizer, crystals: list[Crystal], molecules: list[Molecule]
) -> None:
    for crystal in crystals[:5]:
        request = tokenizer.request({"composition": crystal.composition})
        assert_replayed(tokenizer, request, tokenizer.encode(crystal))
        assert tokenizer.finish(crystal, request) is crystal
        assert tokenizer.verify(crystal, request) == ""
    for molecule in molecules[:5]:
        request = tokenizer.request({"smiles": Chem.MolToSmiles(molecule.mol)})
        assert_replayed(tokenizer, request, tokenizer.encode(molecule))
        assert tokenizer.verify(molecule, request) == ""


def test_open_requests_name_the_kind(crystals: list[Crystal], molecules: list[Molecule]) -> None:
    tokenizer = UnifiedTokenizer(
        {"task": "denovo", "max_atoms": 60}, {"task": "denovo", "max_atoms": 80}
    )
    for kind, structure in (("crystals", crystals[3]), ("molecules", molecules[9])):
        request = tokenizer.request({"kind": kind, "max_atoms": 60})
        assert_replayed(tokenizer, request, tokenizer.encode(structure))


@pytest.mark.parametrize("wish", [{}, {"composition": "NaCl", "smiles": "C"}, {"kind": "protein"}])
def test_unclear_requests_are_refused(tokenizer: UnifiedTokenizer, wish: dict) -> None:
    with pytest.raises(UsageError, match="ask for one thing"):
        tokenizer.request(wish)


def test_statistics_of_both_parts(
    tokenizer: UnifiedTokenizer, crystals: list[Crystal], molecules: list[Molecule]
) -> None:
    tokenizer.fit_statistics([*crystals, *molecules])
    lattice, site, atom = tokenizer.vocabulary.slots
    assert lattice.std != (1.0,) * 6
    assert site.std == (1.0,) * 3
    assert atom.std != (1.0,) * 3
    for part in tokenizer.parts.values():
        assert part.vocabulary is tokenizer.vocabulary


def test_it_is_rebuilt_from_its_configuration(
    tokenizer: UnifiedTokenizer, crystals: list[Crystal], molecules: list[Molecule]
) -> None:
    tokenizer.fit_statistics([*crystals, *molecules])
    stored = Vocabulary.from_dict(tokenizer.vocabulary.to_dict())
    again = UnifiedTokenizer(**tokenizer.config(), vocabulary=stored)
    assert again.fingerprint == tokenizer.fingerprint
    other = UnifiedTokenizer(crystals={"max_atoms": 7}, vocabulary=stored)
    assert other.fingerprint != tokenizer.fingerprint
    first, second = tokenizer.encode(molecules[4]), again.encode(molecules[4])
    np.testing.assert_array_equal(first.ids, second.ids)
