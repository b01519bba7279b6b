"""Scaffolds: every walk keeps graph and coordinates, whatever is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem
from tiny_models import tiny_config, tiny_model

from sciar.errors import RecordError, UsageError
from sciar.generation.samples import draw
from sciar.generation.settings import GenerationSettings
from sciar.records import Molecule
from sciar.tokenization.cursor import Choice, End, Request
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.scaffold import Scaffold

FRAGMENTS = ("c1ccccc1", "CC(=O)N", "C1CCNCC1", "C", "CO", "c1ccc2[nH]ccc2c1", "C#C", "CS(=O)(=O)N")


def fragment(smiles: str) -> Molecule:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return Molecule.from_rdkit(mol)


@pytest.fixture(scope="module")
def tokenizer() -> MoleculeTokenizer:
    made = MoleculeTokenizer(task="denovo", max_atoms=36)
    made.fit_statistics([fragment(s) for s in FRAGMENTS[:4]])
    return made


def walked(tokenizer: MoleculeTokenizer, request: Request, rng: np.random.Generator) -> Molecule:
    """A sample of a network that says anything."""
    cursor = tokenizer.cursor(request)
    while not isinstance(expected := cursor.expect(), End):
        if isinstance(expected, Choice):
            cursor.push_token(int(rng.choice(np.flatnonzero(expected.mask))))
        else:
            cursor.push_value(rng.normal(0, 2, 3).astype(np.float32))
    assert not expected.failure
    made = tokenizer.finish(tokenizer.decode(cursor.sequence()), request)
    assert isinstance(made, Molecule)
    return made


def assert_kept(made: Molecule, kept: Molecule) -> None:
    """The graph holds the fragment where its coordinates are."""
    heavy = [i for i, s in enumerate(kept.symbols) if s != "H"]
    assert made.positions is not None and kept.positions is not None and made.mol is not None
    apart = np.linalg.norm(kept.positions[heavy][:, None] - made.positions, axis=-1)
    at = apart.argmin(1)
    assert apart.min(1).max() < 1e-9
    assert [made.symbols[i] for i in at] == [kept.symbols[i] for i in heavy]
    assert kept.mol is not None
    ring, own = Chem.Mol(made.mol), Chem.Mol(kept.mol)
    Chem.Kekulize(ring, clearAromaticFlags=True)
    Chem.Kekulize(own, clearAromaticFlags=True)
    place = dict(zip(heavy, at.tolist(), strict=True))
    for bond in own.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if a in place and b in place:
            assert ring.GetBondBetweenAtoms(place[a], place[b]) is not None


@pytest.mark.parametrize("smiles", FRAGMENTS)
def test_every_walk_keeps_the_scaffold(smiles: str, tokenizer: MoleculeTokenizer) -> None:
    kept = fragment(smiles)
    request, rng = tokenizer.request({"scaffold": kept}, "x"), np.random.default_rng(0)
    sizes, pattern = set(), Chem.MolFromSmiles(smiles)
    for _ in range(25):
        made = walked(tokenizer, request, rng)
        assert_kept(made, kept)
        assert len(made) <= 36
        sizes.add(len(made))
        assert pattern.GetNumAtoms() <= sum(s != "H" for s in made.symbols)
    assert len(sizes) > 1


def test_chains_are_inserted_and_the_end_grows(tokenizer: MoleculeTokenizer) -> None:
    request = tokenizer.request({"scaffold": fragment("c1ccccc1")}, "x")
    rng, inserted, grown = np.random.default_rng(1), 0, 0
    for _ in range(40):
        cursor = tokenizer.cursor(request)
        while isinstance(expected := cursor.expect(), Choice):
            cursor.push_token(int(rng.choice(np.flatnonzero(expected.mask))))
        words = cursor.fields["smiles"].tokens  # type: ignore[union-attr]
        first_six = [w for w in words if w.isalpha()][:6]
        inserted += (
            first_six != ["C"] * 6 or words[:9] != Scaffold.of(fragment("c1ccccc1")).tokens[:9]
        )
        grown += len(words) > len(Scaffold.of(fragment("c1ccccc1")).tokens)
    assert inserted > 5 and grown > 10


@pytest.mark.parametrize("size", [1, 4])
def test_it_holds_through_the_engine(size: int, tokenizer: MoleculeTokenizer) -> None:
    kept = fragment("CC(=O)N")
    model = tiny_model(tokenizer, tiny_config(head_options={"steps": 4}), shake=0.02)
    request = tokenizer.request({"scaffold": kept, "max_atoms": 20}, "x")
    settings = GenerationSettings(batch_size=size, seed=1)
    for sample in draw(model, tokenizer, [request] * 6, settings):
        made = sample.structure or sample.rejected
        assert isinstance(made, Molecule), sample.message
        assert len(made) <= 20
        assert_kept(made, kept)


@pytest.mark.parametrize(
    ("constraints", "error", "message"),
    [
        ({"scaffold": "C"}, UsageError, "is a molecule"),
        ({"scaffold": Molecule(("C",), np.zeros((1, 3)))}, RecordError, "bonds and coordinates"),
        ({"scaffold": "large", "max_atoms": 10}, RecordError, "does not fit"),
        ({"scaffold": "large", "smiles": "CC"}, UsageError, "leave out scaffold"),
    ],
)
def test_impossible_scaffolds_are_named(
    constraints: dict[str, Any], error: type[Exception], message: str, tokenizer: MoleculeTokenizer
) -> None:
    if constraints["scaffold"] == "large":
        constraints = {**constraints, "scaffold": fragment("C1CCNCC1")}
    with pytest.raises(error, match=message):
        tokenizer.request(constraints)
