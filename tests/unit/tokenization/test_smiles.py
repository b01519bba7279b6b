"""SMILES: tokens, valence rules, and the grammar whose every string RDKit accepts."""

from __future__ import annotations

import numpy as np
import pytest
from cursor_walks import random_words
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, rdBase

from sciar.errors import RecordError, UsageError
from sciar.records import Molecule
from sciar.tokenization.kekule import heavy_graph, kekule_smiles
from sciar.tokenization.smiles import SYMBOLS, element, tokenize
from sciar.tokenization.smiles_grammar import SmilesGrammar
from sciar.tokenization.smiles_rules import atom_rule
from sciar.tokenization.vocabulary import Vocabulary

VOCABULARY = Vocabulary(SYMBOLS)


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [
        ("C[NH3+]", ("C", "[NH3+]")),
        ("ClC(Br)=O", ("Cl", "C", "(", "Br", ")", "=", "O")),
        ("C%10CC%10", ("C", "%10", "C", "C", "%10")),
        ("BC#N", ("B", "C", "#", "N")),
        ("[SiH3]I", ("[SiH3]", "I")),
    ],
)
def test_tokens(smiles: str, tokens: tuple[str, ...]) -> None:
    assert tokenize(smiles) == tokens


@given(st.lists(st.sampled_from([*SYMBOLS, "%10", "%99"]), min_size=1, max_size=30))
def test_tokens_join_to_the_smiles(tokens: list[str]) -> None:
    smiles = "".join(tokens)
    assert "".join(tokenize(smiles)) == smiles


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("c1ccccc1", "Kekule"),
        ("F/C=C/F", "stereo"),
        ("CC.O", "fragments"),
        ("C?C", "position 1"),
        ("C[NH3+", "position 1"),
        ("", "empty"),
        ("CXC", "'X'"),
    ],
)
def test_other_text_is_refused(smiles: str, reason: str) -> None:
    with pytest.raises(RecordError, match=reason) as caught:
        tokenize(smiles)
    assert caught.value.field == "smiles"


def test_fragments_on_request() -> None:
    assert tokenize("C.O", fragments=True) == ("C", ".", "O")


def test_elements() -> None:
    found = [element(t) for t in ("C", "Cl", "[NH3+]", "[SiH2]", "(", "=", "%10", "1", "Na")]
    assert found == ["C", "Cl", "N", "Si", "", "", "", "", ""]


@pytest.mark.parametrize(
    ("token", "sums"),
    [
        ("C", {0: 4, 1: 3, 2: 2, 3: 1, 4: 0}),
        ("O", {0: 2, 1: 1, 2: 0}),
        ("Cl", {0: 1, 1: 0}),
        ("[NH3+]", {1: 3}),
        ("[N+]", {4: 0}),
        ("[O-]", {1: 0}),
        ("[CH-]", {2: 1}),
    ],
)
def test_valence_rules(token: str, sums: dict[int, int]) -> None:
    rule = atom_rule(token)
    assert rule is not None
    assert dict(rule.hydrogens) == sums


def test_token_without_a_valence_has_no_rule() -> None:
    assert atom_rule("[CH9]") is None


@pytest.mark.parametrize("hydrogens", [True, False])
def test_every_random_string_is_a_molecule_within_the_limits(hydrogens: bool) -> None:
    for seed in range(600):
        rng = np.random.default_rng((seed, hydrogens))
        heavy = int(rng.integers(1, 14))
        total = int(rng.integers(heavy + 4, 45)) if hydrogens else None
        words = random_words(SmilesGrammar(VOCABULARY, heavy, total), VOCABULARY, rng)
        smiles = "".join(words)
        mol = Chem.MolFromSmiles(smiles)
        assert mol is not None, smiles
        assert not any(a.GetNumRadicalElectrons() for a in mol.GetAtoms()), smiles
        assert mol.GetNumAtoms() <= heavy, smiles
        assert total is None or Chem.AddHs(mol).GetNumAtoms() <= total, smiles


def test_random_strings_use_the_whole_language() -> None:
    used: set[str] = set()
    for seed in range(150):
        grammar = SmilesGrammar(VOCABULARY, 25)
        used.update(random_words(grammar, VOCABULARY, np.random.default_rng(seed)))
    generable = {s for s in SYMBOLS if not element(s) or atom_rule(s)}
    assert {"(", ")", "=", "#", "1", "2", "C", "N", "O", "[N+]", "[O-]"} <= used
    assert len(used) > 0.8 * len(generable)


def test_strings_of_real_molecules_are_in_the_language(molecules: list[Molecule]) -> None:
    for seed, molecule in enumerate(molecules):
        heavy = heavy_graph(molecule.mol)[0]
        for rng in (None, np.random.default_rng(seed)):
            grammar = SmilesGrammar(VOCABULARY, 40)
            for token in VOCABULARY.ids(tokenize(kekule_smiles(heavy, rng)[0])):
                assert grammar.allowed()[0][token]
                grammar.push(int(token))
            assert grammar.allowed()[1]


def allowed_after(smiles: str, limit: int = 20) -> tuple[set[str], bool]:
    grammar = SmilesGrammar(VOCABULARY, limit)
    for token in tokenize(smiles):
        grammar.push(VOCABULARY.id(token))
    mask, may_end = grammar.allowed()
    return {VOCABULARY.names[i] for i in np.flatnonzero(mask)}, may_end


def test_chosen_states() -> None:
    after_fluorine, may_end = allowed_after("CF")
    assert after_fluorine == set()
    assert may_end
    assert "1" not in allowed_after("C1C")[0]  # along an existing bond
    assert "1" in allowed_after("C1CC")[0]
    assert not allowed_after("C1CC")[1]  # an open ring
    assert not allowed_after("C(C")[1]  # an open branch
    assert ")" not in allowed_after("C(")[0]  # an empty branch
    assert not allowed_after("C[N+]")[1]  # bonds are missing
    assert "#" not in allowed_after("CC=")[0]
    assert "#" in allowed_after("C")[0]
    assert "O" not in allowed_after("CC#")[0]
    assert allowed_after("CC", limit=2) == (set(), True)  # nothing fits any more


def test_digits_are_the_lowest_free_ones() -> None:
    digits = set("123456789")
    assert allowed_after("C")[0] & digits == {"1"}
    assert allowed_after("C1CC")[0] & digits == {"1", "2"}
    assert allowed_after("C1CC1")[0] & digits == {"2"}
    assert allowed_after("C1CC1C")[0] & digits == {"1"}


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        SmilesGrammar(VOCABULARY, 0)
    with pytest.raises(UsageError, match="no molecule"):
        SmilesGrammar(VOCABULARY, 5, 1)
    with pytest.raises(UsageError, match="needs"):
        SmilesGrammar(Vocabulary(("C", "O")), 5)


def test_canonical_kekule_smiles_ignore_the_order_of_the_input() -> None:
    rng = np.random.default_rng(0)
    for smiles in ("c1ccc2ncccc2c1C", "Cc1cc(O)c[nH]1", "O=C1C=CC(=O)c2ccccc12"):
        mol = Chem.MolFromSmiles(smiles)
        wanted, _ = kekule_smiles(mol)
        for _ in range(20):
            order = rng.permutation(mol.GetNumAtoms()).tolist()
            found, atoms = kekule_smiles(Chem.RenumberAtoms(mol, order))
            assert found == wanted
            symbols = [mol.GetAtomWithIdx(order[i]).GetSymbol() for i in atoms]
            assert symbols == [a.GetSymbol() for a in Chem.MolFromSmiles(found).GetAtoms()]


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("[13CH4]", "isotope"),
        ("C[CH2]", "unpaired"),
        ("C.O", "fragments"),
        ("[H][H]", "no heavy atom"),
    ],
)
def test_graphs_outside_the_language_are_refused(smiles: str, reason: str) -> None:
    with rdBase.BlockLogs(), pytest.raises(RecordError, match=reason):
        heavy_graph(Chem.MolFromSmiles(smiles))
