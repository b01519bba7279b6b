"""Molecules: round trip, references, canonical frame and hydrogens, requests, checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cursor_walks import assert_replayed, finish_randomly
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem

from sciar.datasets.molecule_graph import perceive
from sciar.datasets.readers import read_all
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule
from sciar.tokenization.layout import Slots
from sciar.tokenization.molecule import MoleculeTokenizer, molecule_vocabulary
from sciar.tokenization.molecule_frame import local_positions
from sciar.tokenization.molecule_plan import REFERENCES, closest, molecule_plan
from sciar.tokenization.molecule_relations import bonds_between

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SMILES = ["CC", "C#C", "O", "N", "C", "CC#N", "C1CC1", "C1=CC=CC=C1", "CC(C)(C)O", "C[C@H](F)Cl"]


def embedded(smiles: str, seed: int = 7) -> Molecule:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=seed) == 0
    return Molecule.from_rdkit(mol)


def distance_matrix(molecule: Molecule) -> np.ndarray:
    assert molecule.positions is not None
    return np.linalg.norm(molecule.positions[:, None] - molecule.positions[None], axis=-1)


def assert_same_conformer(found: Molecule, wanted: Molecule) -> None:
    """Equal graphs, and equal distances: all together, and those seen from each atom."""
    assert found.mol is not None and wanted.mol is not None
    a, b = distance_matrix(found), distance_matrix(wanted)
    np.testing.assert_allclose(np.sort(a, axis=None), np.sort(b, axis=None), atol=1e-3)
    rows = [tuple(np.round(np.sort(row), 2)) for row in b]
    for i, row in enumerate(a):
        near = [
            j
            for j, other in enumerate(rows)
            if found.symbols[i] == wanted.symbols[j]
            and np.abs(np.sort(row) - np.array(other)).max() < 0.01
        ]
        assert near
    heavy = [Chem.RemoveAllHs(molecule.mol) for molecule in (found, wanted)]
    for mol in heavy:
        Chem.RemoveStereochemistry(mol)
    assert Chem.MolToSmiles(heavy[0]) == Chem.MolToSmiles(heavy[1])


@pytest.mark.parametrize("augmented", [False, True])
def test_round_trip_of_the_shipped_molecules(molecules: list[Molecule], augmented: bool) -> None:
    tokenizer = MoleculeTokenizer(max_atoms=80)
    for seed, molecule in enumerate(molecules):
        rng = np.random.default_rng(seed) if augmented else None
        back = tokenizer.decode(tokenizer.encode(molecule, augment=rng))
        assert isinstance(back, Molecule)
        assert_same_conformer(back, molecule)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
def test_round_trip_of_qm9() -> None:
    records, _ = read_all(SHARED / "molecules" / "qm9" / "test.jsonl.gz")
    tokenizer = MoleculeTokenizer()
    for record in records[:600:6]:
        molecule = perceive(record.structure)
        assert_same_conformer(tokenizer.decode(tokenizer.encode(molecule)), molecule)


@pytest.mark.parametrize("smiles", SMILES)
def test_frame_is_canonical(smiles: str) -> None:
    tokenizer = MoleculeTokenizer()
    values = tokenizer.fields(embedded(smiles))["atoms"].values
    np.testing.assert_allclose(values[0], 0, atol=1e-9)
    np.testing.assert_allclose(values[1, 1:], 0, atol=1e-9)
    assert values[1, 0] > 0
    off = np.hypot(values[:, 1], values[:, 2]) > 0.25 * np.linalg.norm(values, axis=1)
    first = int(np.flatnonzero(off[2:])[0]) + 2 if off[2:].any() else None
    if first is not None:
        assert values[first, 1] > 0
        assert abs(values[first, 2]) < 0.1


@given(st.integers(0, 10**6), st.sampled_from(SMILES))
def test_rigid_motion_and_order_of_the_input_do_not_matter(seed: int, smiles: str) -> None:
    from scipy.spatial.transform import Rotation

    molecule = embedded(smiles)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(molecule)).tolist()
    mol = Chem.RenumberAtoms(molecule.mol, order)
    turned = Rotation.random(random_state=seed).apply(molecule.positions[order]) + rng.normal(
        size=3
    )
    moved = Molecule(tuple(molecule.symbols[i] for i in order), turned, mol=mol)
    tokenizer = MoleculeTokenizer()
    first, second = tokenizer.fields(molecule), tokenizer.fields(moved)
    assert first["smiles"] == second["smiles"]
    a, b = first["atoms"].values, second["atoms"].values
    # automorphisms of the graph may swap equivalent atoms, so all distances together are compared
    d, e = (np.sort(np.linalg.norm(x[:, None] - x, axis=-1), axis=None) for x in (a, b))
    np.testing.assert_allclose(d, e, atol=1e-6)


def test_only_rotations_never_reflections() -> None:
    tokenizer = MoleculeTokenizer()
    for smiles in ("C[C@H](F)Cl", "C[C@@H](F)Cl", "N[C@@H](C)C(=O)O"):
        back = tokenizer.decode(tokenizer.encode(embedded(smiles)))
        assert Chem.CanonSmiles(back.smiles) == Chem.CanonSmiles(smiles)


def test_augmentation_mirrors_and_reorders() -> None:
    tokenizer, molecule = MoleculeTokenizer(), embedded("C[C@H](F)Cl")
    seen = [
        tokenizer.decode(tokenizer.encode(molecule, augment=np.random.default_rng(seed)))
        for seed in range(40)
    ]
    smiles = [Chem.CanonSmiles(m.smiles) for m in seen]
    assert set(smiles) == {Chem.CanonSmiles("C[C@H](F)Cl"), Chem.CanonSmiles("C[C@@H](F)Cl")}
    assert 8 < smiles.count(smiles[0]) < 32
    assert len({m.symbols for m in seen}) > 3


def test_hydrogens_of_a_parent_turn_the_same_way() -> None:
    """The second and third hydrogen of a methyl follow the first by +120 degrees each."""
    tokenizer = MoleculeTokenizer()
    for smiles in ("CC", "CCO", "CC(C)(C)O", "CN", "CC(=O)C"):
        for seed in range(3):
            fields = tokenizer.fields(embedded(smiles, seed + 1))
            plan = molecule_plan("".join(fields["smiles"].tokens), True)
            local = local_positions(plan.specs, fields["atoms"].values)
            for group in plan.hydrogens:
                if len(group) == 3:
                    # their frame's plane goes through an earlier hydrogen or heavy sibling
                    second, third = local[group[1]], local[group[2]]
                    assert second[0] > 0 and third[0] > 0
                    p, q, r = fields["atoms"].values[list(group)]
                    axis = fields["atoms"].values[plan.specs[group[0]].references[0]]
                    axis = axis - fields["atoms"].values[plan.specs[group[0]].references[1]]
                    assert np.dot(np.cross(p, q) + np.cross(q, r) + np.cross(r, p), axis) > 0


def test_references_of_acetone() -> None:
    plan = molecule_plan("CC(C)=O", True)
    specs = plan.specs
    assert [s.label for s in specs] == ["C", "C", "C", "O"] + ["H"] * 6
    assert plan.hydrogens == ((4, 5, 6), (), (7, 8, 9), ())
    assert [s.anchor for s in specs] == list(range(10))
    assert specs[0].references == ()
    assert specs[2].references == (1, 0)
    assert specs[3].references == (1, 0, 2)
    # first hydrogen: parent, the parent's neighbour, then what is three bonds away
    assert specs[4].references == (0, 1, 2, 3)
    assert [bonds_between(r) for r in specs[4].relations] == [1, 2, 3, 3]
    assert specs[5].references[:3] == (0, 1, 4)  # the sibling gives the plane
    assert all(len(s.references) <= REFERENCES for s in specs)


def test_ring_closures_are_among_the_first_references() -> None:
    plan = molecule_plan("C1CCCC1", False)
    assert plan.specs[4].references == (3, 0, 2, 1)
    assert [bonds_between(r) for r in plan.specs[4].relations] == [1, 1, 2, 2]


@given(st.integers(2, 12), st.integers(0, 10**6))
def test_references_are_earlier_slots_without_repetition(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.integers(1, 6, (n, n))
    distances = np.maximum(distances, distances.T)
    np.fill_diagonal(distances, 0)
    for slot in range(n):
        near = closest(slot, distances)
        assert len(near) == len(set(near)) == min(slot, REFERENCES)
        assert all(j < slot for j in near)


@pytest.mark.parametrize("task", ["conformer", "denovo"])
def test_cursor_rebuilds_the_sequence(molecules: list[Molecule], task: str) -> None:
    tokenizer = MoleculeTokenizer(task=task, max_atoms=80)
    for molecule in molecules[::3]:
        encoded = tokenizer.encode(molecule)
        wish = {"smiles": Chem.MolToSmiles(molecule.mol)}
        assert_replayed(tokenizer, tokenizer.request(wish), encoded)
        if task == "denovo":  # it also writes the SMILES itself
            assert_replayed(tokenizer, tokenizer.request({}), encoded)


def test_random_generation_decodes_within_the_limit() -> None:
    tokenizer = MoleculeTokenizer(task="denovo")
    for seed in range(60):
        cursor = tokenizer.cursor(tokenizer.request({"max_atoms": 15}))
        molecule = tokenizer.decode(finish_randomly(cursor, np.random.default_rng(seed)))
        assert isinstance(molecule, Molecule)
        assert len(molecule) <= 15


def test_words_share_the_anchor_of_their_atom() -> None:
    sequence = MoleculeTokenizer().encode(embedded("CC(=O)[O-]"))
    words = sequence.anchors[1 : sequence.context - 1].tolist()
    assert words == [0, 1, -1, -1, 2, -1, 3]
    assert sequence.anchors[sequence.context : -1].tolist() == list(
        range(len(sequence.anchors) - 10)
    )


def test_statistics_are_those_of_local_frames(molecules: list[Molecule]) -> None:
    tokenizer = MoleculeTokenizer(max_atoms=80)
    tokenizer.fit_statistics(molecules)
    rows = []
    for molecule in molecules:
        atoms = tokenizer.fields(molecule)["atoms"]
        assert isinstance(atoms, Slots)
        rows.append(local_positions(atoms.specs, atoms.values, 1))
    (slot,) = tokenizer.vocabulary.slots
    np.testing.assert_allclose(slot.mean, np.concatenate(rows).mean(0))
    np.testing.assert_allclose(slot.std, np.concatenate(rows).std(0))
    # bonded displacements, not positions in a molecule
    assert max(slot.std) < 1.2


def test_heavy_atoms_only() -> None:
    tokenizer = MoleculeTokenizer(hydrogens=False, max_atoms=4)
    molecule = embedded("CC(C)O")
    back = tokenizer.decode(tokenizer.encode(molecule))
    assert isinstance(back, Molecule)
    assert sorted(back.symbols) == ["C", "C", "C", "O"]
    heavy = molecule.positions[:4]
    wanted = np.sort(np.linalg.norm(heavy[:, None] - heavy, axis=-1), axis=None)
    np.testing.assert_allclose(np.sort(distance_matrix(back), axis=None), wanted, atol=1e-5)


def test_stereo_of_the_request_is_met_by_mirroring() -> None:
    tokenizer = MoleculeTokenizer()
    for asked, drawn in (("C[C@H](F)Cl", "C[C@@H](F)Cl"), ("C[C@H](F)Cl", "C[C@H](F)Cl")):
        request = tokenizer.request({"smiles": asked})
        done = tokenizer.finish(embedded(drawn), request)
        assert Chem.CanonSmiles(done.smiles) == Chem.CanonSmiles(asked)
        assert tokenizer.verify(done, request) == ""


def test_stereo_that_mirroring_cannot_give_is_told() -> None:
    tokenizer = MoleculeTokenizer()
    request = tokenizer.request({"smiles": "F/C=C/F"})
    wrong = tokenizer.finish(embedded("F/C=C\\F"), request)
    assert "F/C=C/F" in tokenizer.verify(wrong, request)
    assert tokenizer.verify(embedded("F/C=C/F"), request) == ""


def test_unsound_geometry_is_told() -> None:
    tokenizer, molecule = MoleculeTokenizer(), embedded("CCO")
    request = tokenizer.request({"smiles": "CCO"})
    assert tokenizer.verify(molecule, request) == ""
    for scale, word in ((0.2, "apart"), (2.0, "bond")):
        wrong = Molecule(molecule.symbols, molecule.positions * scale, mol=molecule.mol)
        assert word in tokenizer.verify(wrong, request)


@pytest.mark.parametrize(
    ("wish", "error", "reason"),
    [
        ({"smiles": "C1CC"}, RecordError, "C1CC"),
        ({"smiles": "C(C)(C)(C)(C)C"}, RecordError, "valence"),
        ({"smiles": "C.C"}, RecordError, "fragments"),
        ({"smiles": "[U]"}, RecordError, "U"),
        ({"smiles": "C" * 20}, RecordError, "62 atoms"),
        ({}, UsageError, "give smiles"),
        ({"smiles": "C", "max_atoms": 3}, UsageError, "max_atoms"),
    ],
)
def test_impossible_requests_are_refused(wish: dict, error: type, reason: str) -> None:
    with pytest.raises(error, match=reason):
        MoleculeTokenizer().request(wish)


def test_denovo_requests() -> None:
    tokenizer = MoleculeTokenizer(task="denovo")
    with pytest.raises(UsageError, match="composition"):
        tokenizer.request({"composition": "CH4"})
    with pytest.raises(UsageError):
        tokenizer.request({"max_atoms": 1})


def test_input_that_cannot_be_expressed_is_refused() -> None:
    tokenizer, ethanol = MoleculeTokenizer(), embedded("CCO")
    bare = Molecule(ethanol.symbols, ethanol.positions)
    graph = Molecule(ethanol.symbols, None, mol=ethanol.mol)
    skeleton = Molecule.from_rdkit(Chem.RemoveHs(ethanol.mol))
    for wrong, reason, field in (
        (bare, "perceive", "mol"),
        (graph, "no coordinates", "positions"),
        (skeleton, "hydrogens", "symbols"),
        (embedded("C[Se]C"), r"\[Se\]", None),
        (embedded("C" * 14), "44 atoms", "natoms"),
    ):
        with pytest.raises(RecordError, match=reason) as caught:
            tokenizer.encode(wrong)
        assert caught.value.field == field
    with pytest.raises(RecordError, match="not crystals"):
        tokenizer.encode(Crystal(np.eye(3), ("H",), np.zeros((1, 3))))
    with pytest.raises(UsageError, match="'x'"):
        MoleculeTokenizer(task="x")


def test_symbols_collected_from_data(molecules: list[Molecule]) -> None:
    molecules = [*molecules, embedded("C[Se]C")]
    tokenizer = MoleculeTokenizer.build(molecules, task="denovo", max_atoms=80)
    backwards = MoleculeTokenizer.build(molecules[::-1], task="denovo", max_atoms=80)
    assert tokenizer.fingerprint == backwards.fingerprint
    assert "[Se]" in tokenizer.vocabulary and "Se" in tokenizer.vocabulary
    for molecule in molecules:
        tokenizer.encode(molecule)


def test_default_vocabulary_labels_every_element() -> None:
    vocabulary = molecule_vocabulary()
    assert all(name in vocabulary for name in ("H", "C", "Si", "Br", "[NH3+]", "<atom>"))
    assert len(set(vocabulary.names)) == len(vocabulary)
