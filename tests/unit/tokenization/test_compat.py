"""UniGenX's layouts: golden vectors of the release, dictionaries, preprocessing, generation."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from cursor_walks import assert_replayed, finish_randomly
from rdkit import Chem
from rdkit.Chem import AllChem

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule
from sciar.tokenization.compat import UniGenXTokenizer
from sciar.tokenization.compat_dictionaries import BUILT_IN, dictionary_lines
from sciar.tokenization.compat_parts import site_order, split_smiles, wrap_coordinates

DICTIONARIES = Path(__file__).resolve().parents[4] / "shared" / "data" / "unigenx_dictionaries"
needs_files = pytest.mark.skipif(not DICTIONARIES.exists(), reason="no shared data")

SALT = Crystal(5.6 * np.eye(3), ("Na", "Cl"), [[0, 0, 0], [0.5, 0.5, 0.5]])


def ethanol() -> Molecule:
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.EmbedMolecule(mol, randomSeed=3)
    return Molecule.from_rdkit(mol)


# spec 1.12: target, dictionary, structure, ids, mask
GOLDEN = [
    ("material", "mat", SALT, [1, 14, 20, 353, *[352] * 5, 2], [0] * 4 + [1] * 5 + [0]),
    ("uni_mat", "uni", SALT, [1, 5, 61, 67, 191, *[190] * 5, 2], [0] * 5 + [1] * 5 + [0]),
    ("uni_mol", "uni", None, [1, 4, 8, 8, 10, 191, *[190] * 3, 2], [0] * 6 + [1] * 3 + [0]),
    ("mol", "qm9", None, [1, 5, 5, 7, 25, *[24] * 3, 2], [0] * 5 + [1] * 3 + [0]),
    ("mol", "drugs", None, [1, 4, 4, 6, 36, *[35] * 3, 2], [0] * 5 + [1] * 3 + [0]),
]


@pytest.mark.parametrize(
    "files", [False, pytest.param(True, marks=[needs_files, pytest.mark.shared])]
)
@pytest.mark.parametrize(("target", "name", "structure", "ids", "mask"), GOLDEN)
def test_golden_vectors(
    target: str, name: str, structure: Crystal | None, ids: list[int], mask: list[int], files: bool
) -> None:
    dictionary = str(DICTIONARIES / f"dict_{name}.txt") if files else name
    sequence = UniGenXTokenizer(target, dictionary).encode(structure or ethanol())
    assert sequence.ids.tolist() == ids
    assert sequence.kinds.tolist() == mask
    assert sequence.context == 0


@needs_files
@pytest.mark.shared
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_dictionaries_are_those_of_the_release(name: str) -> None:
    assert dictionary_lines(name) == dictionary_lines(DICTIONARIES / f"dict_{name}.txt")


@pytest.mark.parametrize(("name", "size"), [("mat", 355), ("qm9", 27), ("drugs", 38), ("uni", 193)])
def test_sizes_of_the_vocabularies(name: str, size: int) -> None:
    target = {"mat": "material", "uni": "uni_mol"}.get(name, "mol")
    vocabulary = UniGenXTokenizer(target, name).vocabulary
    assert len(vocabulary) == size
    assert vocabulary.names[:4] == ("<pad>", "<bos>", "<eos>", "<unk>")
    assert vocabulary.names[-3:] == ("<mask>", "<coord>", "<sg>")


def test_dictionary_lines_keep_the_first_field() -> None:
    assert dictionary_lines(["C 12", "", "  ", "Cl\t3"]) == ["C", "Cl"]
    with pytest.raises(UsageError, match="no dictionary"):
        dictionary_lines("nowhere.txt")


def test_payloads_are_raw_rows(perovskite: Crystal) -> None:
    sequence = UniGenXTokenizer(sort=False).encode(perovskite)
    rows = sequence.payload(1, 3)
    np.testing.assert_allclose(rows[:3], perovskite.lattice, atol=1e-6)
    np.testing.assert_allclose(rows[3:], perovskite.frac, atol=1e-6)


def test_wrapping_follows_the_release() -> None:
    values = np.array([-0.25, -1.0, 1.0, 1.25, 0.99995, 0.00005, -2.3, 2.7, 0.1234567])
    wanted = [0.75, 0, 0, 0.25, 0, 0, 0.7, 0.7, 0.123457]
    np.testing.assert_allclose(wrap_coordinates(values), wanted, atol=1e-12)


def test_sites_are_grouped_and_sorted() -> None:
    frac = np.array([[0.5, 0, 0], [0.1, 0, 0], [0.1, 0.2, 0], [0, 0, 0.9]])
    species = ("O", "Ti", "O", "O")
    assert site_order(species, frac).tolist() == [3, 2, 0, 1]
    assert site_order(species, frac, "zxy").tolist() == [2, 0, 3, 1]
    words = UniGenXTokenizer().fields(Crystal(4 * np.eye(3), species, frac))["words"]
    assert words.tokens == ("O", "O", "O", "Ti")


def test_order_token_names_the_axes(perovskite: Crystal) -> None:
    tokenizer = UniGenXTokenizer(reorder=True)
    assert len(tokenizer.vocabulary) == 361
    plain = tokenizer.encode(perovskite)
    assert tokenizer.vocabulary.names[plain.ids[7]] == "<orderxyz>"
    assert len(plain) == 2 * 5 + 7
    seen = set()
    for seed in range(40):
        fields = tokenizer.fields(perovskite, np.random.default_rng(seed))
        (order,) = fields["order"].tokens
        seen.add(order)
        oxygen = fields["rows"].values[-3:]
        keys = [tuple(row["xyz".index(axis)] for axis in order[6:9]) for row in oxygen]
        assert keys == sorted(keys)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [("ClCBr", ["Cl", "C", "Br"]), ("C[NH3+]", [*"C[NH3+]"]), ("C%10", [*"C%10"])],
)
def test_smiles_are_split_by_character(smiles: str, tokens: list[str]) -> None:
    assert split_smiles(smiles) == tuple(tokens)


@pytest.mark.parametrize("smiles", ["c1ccccc1", "C1=cC1", "(c)"])
def test_aromatic_smiles_are_refused(smiles: str) -> None:
    with pytest.raises(RecordError, match="Kekule"):
        split_smiles(smiles)


def test_unknown_symbols_raise() -> None:
    chloroform = Chem.AddHs(Chem.MolFromSmiles("ClC(Cl)Cl"))
    AllChem.EmbedMolecule(chloroform, randomSeed=3)
    with pytest.raises(RecordError, match="'Cl'"):
        UniGenXTokenizer("mol", "qm9").encode(Molecule.from_rdkit(chloroform))
    with pytest.raises(RecordError, match="'Na'"):
        UniGenXTokenizer("material", ["Cl"]).encode(SALT)
    with pytest.raises(RecordError, match="takes crystals"):
        UniGenXTokenizer().encode(ethanol())


@pytest.mark.parametrize("target", ["material", "uni_mat"])
def test_cursor_rebuilds_crystals(crystals: list[Crystal], target: str) -> None:
    tokenizer = UniGenXTokenizer(target, sort=True)
    for crystal in crystals:
        words = tokenizer.fields(crystal)["words"].tokens
        counts = {w.removeprefix("<m>"): words.count(w) for w in words}
        wish = tokenizer.request({"composition": counts})
        assert_replayed(tokenizer, wish, tokenizer.encode(crystal))


@pytest.mark.parametrize(("target", "dictionary"), [("mol", "drugs"), ("uni_mol", "uni")])
def test_cursor_rebuilds_molecules(molecules: list[Molecule], target: str, dictionary: str) -> None:
    tokenizer = UniGenXTokenizer(target, dictionary)
    for molecule in molecules[::4]:
        wish = tokenizer.request({"smiles": Chem.MolToSmiles(molecule.mol)})
        assert_replayed(tokenizer, wish, tokenizer.encode(molecule))


def test_crystals_from_nothing(crystals: list[Crystal]) -> None:
    tokenizer = UniGenXTokenizer(task="denovo", max_atoms=60)
    for crystal in crystals:
        assert_replayed(tokenizer, tokenizer.request({}), tokenizer.encode(crystal))
    for seed in range(30):
        cursor = tokenizer.cursor(tokenizer.request({"max_atoms": 4}))
        sequence = finish_randomly(cursor, np.random.default_rng(seed))
        words = tokenizer.layout.split(tokenizer.vocabulary, sequence)["words"].tokens
        assert 1 <= len(words) <= 4
        assert len(sequence) == 2 * len(words) + 6
        runs = 1 + sum(a != b for a, b in itertools.pairwise(words))
        assert runs == len(set(words))


@pytest.mark.parametrize(
    "options", [{"target": "x"}, {"task": "x"}, {"target": "mol", "task": "denovo"}]
)
def test_unknown_options_are_refused(options: dict) -> None:
    with pytest.raises(UsageError):
        UniGenXTokenizer(**options)


def test_wrong_wishes_are_refused() -> None:
    with pytest.raises(UsageError, match="needs composition"):
        UniGenXTokenizer().request({})
    with pytest.raises(UsageError, match="takes smiles; leave out composition"):
        UniGenXTokenizer("mol").request({"composition": "CH4"})
    with pytest.raises(RecordError, match="201 atoms"):
        UniGenXTokenizer().request({"composition": "Na201"})


def test_numbers_are_not_standardised(crystals: list[Crystal]) -> None:
    tokenizer = UniGenXTokenizer()
    before = tokenizer.fingerprint
    tokenizer.fit_statistics(crystals)
    assert tokenizer.fingerprint == before
    assert tokenizer.vocabulary.slots[0].std == (1.0, 1.0, 1.0)
