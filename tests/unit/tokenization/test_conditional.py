"""Properties as conditions: any subset, ranges, transforms, dropout; around any layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem
from tiny_models import random_crystals

from sciar.datasets.tokens import cached, data_fingerprint
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Labelled, Molecule, Record, Structure
from sciar.testing.tokenizers import TokenizerTests, assert_equal_sequences
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.computed import COMPUTED
from sciar.tokenization.conditional import ConditionalTokenizer
from sciar.tokenization.conditions import Condition

CRYSTALS = {
    "class_path": "sciar.tokenization.crystal.CrystalTokenizer",
    "init_args": {"max_atoms": 8, "cell": "as-given", "task": "denovo"},
}
PROPERTIES = ["density", {"name": "energy", "unit": "eV", "field": "e"}]


def records(count: int = 20) -> list[Record]:
    """Crystals; every third has no energy."""
    made = []
    for i, crystal in enumerate(random_crystals(count)):
        made.append(Record(f"r{i}", crystal, {} if i % 3 == 2 else {"e": 0.5 * i - 3.0}))
    return made


def tokenizer(properties: Sequence[Any] = PROPERTIES, **options: Any) -> ConditionalTokenizer:
    made = ConditionalTokenizer(CRYSTALS, list(properties), **options)
    made.fit_statistics([made.subject(r) for r in records()])
    return made


def molecule(smiles: str) -> Molecule:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return Molecule.from_rdkit(mol)


class TestContract(TokenizerTests):
    def make_tokenizer(self) -> ConditionalTokenizer:
        return tokenizer()

    def make_structures(self) -> Sequence[Structure]:
        return random_crystals(5)

    def make_inexpressible(self) -> Structure:
        return Crystal(np.eye(3) * 4, ("Zz",), np.zeros((1, 3)))


def test_a_record_brings_the_properties_that_it_has() -> None:
    made = tokenizer()
    density, energy = (made.vocabulary.kind(p.slot) for p in made.properties)
    for record in records(6):
        sequence = made.encode(made.subject(record))
        given = np.isin(sequence.kinds, (density, energy))
        assert given.sum() == 1 + ("e" in record.properties)
        assert not sequence.weights[given].any() and given[1 : 1 + given.sum()].all()
        assert sequence.payload(density, 1)[0, 0] == pytest.approx(
            record.structure.to_pymatgen().density,
            rel=1e-5,  # type: ignore[union-attr]
        )
        if "e" in record.properties:
            assert sequence.payload(energy, 1)[0, 0] == pytest.approx(record.properties["e"])


def test_a_sequence_without_properties_is_one_of_the_base() -> None:
    made = tokenizer()
    crystal = random_crystals(3)[2]
    assert_equal_sequences(made.encode(crystal), made.base.encode(crystal))


def test_dropout_leaves_every_subset_to_its_share() -> None:
    made = tokenizer(drop=0.2, drop_each=0.5)
    subject = made.subject(records(2)[1])
    counts = np.zeros(4, dtype=int)
    for seed in range(400):
        sequence = made.encode(subject, augment=np.random.default_rng(seed))
        again = made.encode(subject, augment=np.random.default_rng(seed))
        assert_equal_sequences(sequence, again)
        has = [int((sequence.kinds == made.vocabulary.kind(p.slot)).any()) for p in made.properties]
        counts[has[0] + 2 * has[1]] += 1
    # none: 0.2 + 0.8 / 4, each other subset: 0.8 / 4
    np.testing.assert_allclose(counts / 400, [0.4, 0.2, 0.2, 0.2], atol=0.07)


def test_the_statistics_are_those_of_the_known_values() -> None:
    made = tokenizer()
    known = [r.properties["e"] for r in records() if "e" in r.properties]
    energy = made.properties[1]
    assert (energy.low, energy.high, energy.count) == (min(known), max(known), len(known))
    slot = made.vocabulary.slots[made.vocabulary.kind(energy.slot) - 1]
    assert slot.mean[0] == pytest.approx(np.mean(known))
    assert slot.std[0] == pytest.approx(np.std(known))


def test_the_registry_is_stored_with_the_tokenizer() -> None:
    made = tokenizer()
    again = build_tokenizer(entry_of(made), vocabulary=made.vocabulary)
    assert isinstance(again, ConditionalTokenizer)
    assert again.fingerprint == made.fingerprint and again.properties == made.properties
    assert tokenizer(PROPERTIES[:1]).fingerprint != made.fingerprint


@pytest.mark.parametrize(("transform", "scale"), [("linear", 1.0), ("log", 2.0), ("asinh", 0.5)])
def test_transforms(transform: str, scale: float) -> None:
    condition = Condition("x", transform=transform, scale=scale)
    wanted = {"linear": 3.0, "log": math.log(1.5), "asinh": math.asinh(6.0)}[transform]
    assert condition.forward(3.0) == pytest.approx(wanted)
    if transform == "log":
        with pytest.raises(RecordError, match="not above zero"):
            condition.checked(-1.0)
    else:
        assert condition.checked(-1.0) == -1.0


def test_requests_take_any_subset_and_name_bad_values() -> None:
    made = tokenizer()
    for asked in ({}, {"density": 3}, {"energy": "-1.5"}, {"density": 3, "energy": 1}):
        request = made.request(asked, "x")
        assert dict(request.asked) == {k: float(v) for k, v in asked.items()}
        sequence = made.cursor(request).sequence()
        assert len(sequence) == 1 + len(asked)
        untold = made.unconditional(request)
        if asked:
            assert untold is not None and len(made.cursor(untold).sequence()) == 1
            assert dict(untold.asked) == dict(request.asked)
        else:
            assert untold is None
    for bad in ("heavy", math.nan, math.inf, [1.0]):
        with pytest.raises(RecordError, match="density"):
            made.request({"density": bad})
    with pytest.raises(UsageError, match="leave out colour"):
        made.request({"colour": 1.0})


def test_values_outside_the_range_are_told() -> None:
    made = tokenizer()
    assert made.outside({"energy": 0.0, "max_atoms": 3}) == []
    (message,) = made.outside({"energy": 100.0, "density": made.properties[0].low})
    assert "energy = 100 eV" in message and f"{made.properties[1].high:g} eV" in message


def test_a_record_with_a_bad_value_is_refused_by_field() -> None:
    with pytest.raises(RecordError, match=r"field e.*no number"):
        tokenizer().subject(Record("a", random_crystals(1)[0], {"e": "much"}))
    assert "energy" not in tokenizer().subject(Record("a", random_crystals(1)[0], {"e": ""})).labels


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ([], "at least one"),
        (["density", "density"], "each name once"),
        ([{"name": "max_atoms"}], "already"),
        ([{"name": "x", "transform": "cube"}], "none of linear"),
        ([{"name": "x", "computed": "beauty"}], "is not computed"),
        ([{"name": "x", "computed": "density", "field": "d"}], "not both"),
        ([{"name": "x", "colour": 1}], "other options"),
        ([{"name": "a=b"}], "letters"),
    ],
)
def test_wrong_registries_are_refused(properties: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ConditionalTokenizer(CRYSTALS, properties)


def test_a_property_that_nobody_has_is_refused() -> None:
    made = ConditionalTokenizer(CRYSTALS, ["fame"])
    with pytest.raises(UsageError, match=r"no training record has a value.*'fame'"):
        made.fit_statistics([made.subject(r) for r in records()])


def test_shares_are_shares() -> None:
    with pytest.raises(UsageError, match="shares"):
        ConditionalTokenizer(CRYSTALS, PROPERTIES, drop=1.5)


def test_token_caches_see_the_labels() -> None:
    made = tokenizer()
    crystal = random_crystals(1)[0]
    one, two = (Record("a", made.subject(Record("a", crystal, {"e": e}))) for e in (1.0, 2.0))
    assert data_fingerprint([one]) != data_fingerprint([two])
    cache = cached(records(4), made, None, copies=3, seed=1)
    kinds = [made.vocabulary.kind(p.slot) for p in made.properties]
    shares = [np.isin(cache.sequence(i, c).kinds, kinds).sum() for i in range(4) for c in range(3)]
    assert 0 < sum(shares) < 2 * 12


BASES = {
    "crystal.CrystalTokenizer": {"task": "csp", "max_atoms": 8},
    "octree_crystal.OctreeCrystalTokenizer": {"task": "csp", "max_atoms": 8},
    "molecule.MoleculeTokenizer": {"task": "denovo"},
    "octree_molecule.OctreeMoleculeTokenizer": {"task": "denovo"},
}


@pytest.mark.parametrize("name", BASES)
def test_one_mechanism_around_every_layout(name: str) -> None:
    base = {"class_path": f"sciar.tokenization.{name}", "init_args": BASES[name]}
    made = ConditionalTokenizer(base, [{"name": "size", "computed": "atoms"}, "x"])
    structures: list[Any] = (
        random_crystals(4)
        if made.makes == ("crystals",)
        else [molecule(s) for s in ("CCO", "CC#N", "C1CC1", "C")]
    )
    subjects = [made.subject(Record("a", s, {"x": float(i)})) for i, s in enumerate(structures)]
    made.fit_statistics(subjects)
    for subject, structure in zip(subjects, structures, strict=True):
        sequence = made.encode(subject)
        kind = made.vocabulary.kind(made.properties[0].slot)
        assert sequence.payload(kind, 1)[0, 0] == len(structure)
        atoms = {a for a in made.atoms_of(subject, sequence) if a is not None}
        assert atoms == set(range(len(structure)))
        decoded = made.decode(sequence)
        assert len(decoded) == len(structure)
        assert isinstance(subject, Labelled)
    wanted = made.conditions_of(Record("a", structures[0], {"x": 2.0}))
    assert wanted["x"] == 2.0 and wanted["size"] == len(structures[0])


def test_computed_properties() -> None:
    salt = Crystal(5.6402 * np.eye(3), ("Na",) * 4 + ("Cl",) * 4, np.zeros((8, 3)))
    assert COMPUTED["density"].of(salt) == pytest.approx(2.163, abs=2e-3)  # halite
    assert COMPUTED["volume_per_atom"].of(salt) == pytest.approx(5.6402**3 / 8)
    aspirin = molecule("CC(=O)Oc1ccccc1C(=O)O")
    assert COMPUTED["weight"].of(aspirin) == pytest.approx(180.16, abs=0.01)
    assert COMPUTED["qed"].of(aspirin) == pytest.approx(0.55, abs=0.01)  # as RDKit documents it
    assert COMPUTED["logp"].of(aspirin) == pytest.approx(1.3101, abs=1e-3)
    with pytest.raises(RecordError, match="only a crystal"):
        COMPUTED["density"].of(aspirin)
    with pytest.raises(RecordError, match="only a molecule"):
        COMPUTED["qed"].of(salt)
