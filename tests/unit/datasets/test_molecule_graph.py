"""Graphs perceived from coordinates: known molecules, shuffled atoms, disagreement, failure."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem

from sciar.datasets.molecule_graph import perceive, perceive_record
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.errors import RecordError
from sciar.records import Crystal, Molecule, Record

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "molecules" / "qm9"
SAMPLE = [
    record
    for split in ("train", "val", "test")
    for record in read_all(resolve("sample-molecules", split))[0]
]


def smiles_of(molecule: Molecule) -> str:
    assert molecule.mol is not None
    return str(Chem.CanonSmiles(Chem.MolToSmiles(Chem.RemoveHs(molecule.mol))))


def flat(molecule: Molecule) -> str:
    """Constitution only: the sample's SMILES say nothing of stereochemistry."""
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles_of(molecule)), isomericSmiles=False))


def cloud(smiles: str, *, seed: int = 1, keep: bool = True) -> Molecule:
    """Coordinates of a SMILES without its graph."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=seed) == 0
    molecule = Molecule.from_rdkit(mol, smiles if keep else None)
    return replace(molecule, mol=None, smiles=smiles if keep else None)


@pytest.mark.parametrize("record", SAMPLE, ids=lambda record: record.structure.smiles)
def test_sample_with_and_without_smiles(record: Record) -> None:
    assert isinstance(record.structure, Molecule)
    bare = replace(record.structure, mol=None)
    expected = Chem.CanonSmiles(str(record.structure.smiles))
    assert flat(perceive(bare)) == expected
    blind = perceive(replace(bare, smiles=None))
    assert Chem.MolToInchiKey(blind.mol) == Chem.MolToInchiKey(record.structure.mol)


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(SAMPLE))
def test_atom_order_is_free(random: object, record: Record) -> None:
    molecule = record.structure
    assert isinstance(molecule, Molecule) and molecule.positions is not None
    order = list(range(len(molecule)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = Molecule(
        tuple(molecule.symbols[i] for i in order), molecule.positions[order], molecule.smiles
    )
    found = perceive(shuffled)
    assert found.mol is not None
    assert tuple(a.GetSymbol() for a in found.mol.GetAtoms()) == shuffled.symbols
    np.testing.assert_allclose(found.mol.GetConformer().GetPositions(), shuffled.positions)
    assert flat(found) == Chem.CanonSmiles(str(molecule.smiles))


@pytest.mark.parametrize("smiles", ["C[NH3+]", "CC(=O)[O-]", "C[N+](=O)[O-]", "[NH3+]CC(=O)[O-]"])
def test_charges(smiles: str) -> None:
    found = perceive(cloud(smiles))
    assert smiles_of(found) == Chem.CanonSmiles(smiles)
    assert found.charge == Chem.GetFormalCharge(Chem.MolFromSmiles(smiles))


def test_alternating_bonds_fall_on_the_short_distances() -> None:
    molecule = cloud("C1=CC=CC=CC=C1", seed=7)
    found = perceive(molecule)
    assert found.mol is not None and found.positions is not None
    lengths: dict[float, list[float]] = {1.0: [], 2.0: []}
    for bond in found.mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if {found.symbols[i], found.symbols[j]} == {"C"}:
            length = float(np.linalg.norm(found.positions[i] - found.positions[j]))
            lengths[bond.GetBondTypeAsDouble()].append(length)
    assert len(lengths[2.0]) == 4
    assert max(lengths[2.0]) < min(lengths[1.0])


def test_cage_diagonals_are_not_bonds() -> None:
    found = perceive(cloud("C1C2CC1C2", keep=False))
    assert smiles_of(found) == Chem.CanonSmiles("C1C2CC1C2")


def test_heavy_atoms_alone_use_the_smiles() -> None:
    mol = Chem.RemoveHs(perceive(cloud("CC(=O)O")).mol)
    heavy = replace(Molecule.from_rdkit(mol, "CC(=O)O"), mol=None)
    assert smiles_of(perceive(heavy)) == "CC(=O)O"


def test_coordinates_win_over_the_smiles() -> None:
    ethanol = replace(cloud("CCO"), smiles="COC")
    record = perceive_record(Record("a", ethanol, {"y": 1}))
    assert isinstance(record.structure, Molecule)
    assert record.structure.smiles == "CCO"
    assert "disagree with the given SMILES COC" in record.properties["graph"]
    assert record.properties["y"] == 1
    mirrored = replace(cloud("C[C@H](N)C(=O)O"), smiles="C[C@@H](N)C(=O)O")
    record = perceive_record(Record("b", mirrored))
    assert isinstance(record.structure, Molecule)
    assert record.structure.smiles == "C[C@H](N)C(=O)O"
    assert "stereochemistry" in record.properties["graph"]


def test_agreement_leaves_properties_alone() -> None:
    record = perceive_record(Record("a", cloud("C[C@H](N)C(=O)O"), {"y": 1}))
    assert record.properties == {"y": 1}


@pytest.mark.parametrize(
    ("molecule", "message"),
    [
        (Molecule(("C", "O"), None), "neither coordinates nor a graph"),
        (Molecule(("C", "C"), np.array([[0, 0, 0], [0, 0, 0.1]])), "closer than 0.3"),
        (
            Molecule(("F", "H", "H"), np.array([[0, 0, 0], [0, 0, 0.92], [0, 0, 5]])),
            "a hydrogen is bonded to nothing",
        ),
        (Molecule(("C", "H"), np.array([[0, 0, 0], [0, 0, 1.1]])), "no graph with charge 0"),
    ],
)
def test_impossible_graphs(molecule: Molecule, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        perceive(molecule)


def test_errors_name_the_record_and_crystals_are_refused() -> None:
    with pytest.raises(RecordError, match=r"file f\.xyz, record m7"):
        perceive_record(Record("m7", Molecule(("C", "O"), None), source="f.xyz"))
    with pytest.raises(RecordError, match="only molecules"):
        perceive_record(Record("c", Crystal(np.eye(3), ("H",), np.zeros((1, 3)))))


def test_hopeless_input_ends_in_time() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3) * 1.45
    molecule = Molecule(("C", "N", "S") * 9, grid + rng.normal(0, 0.02, grid.shape))
    start = time.monotonic()
    with pytest.raises(RecordError):
        perceive(molecule)
    assert time.monotonic() - start < 30


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="shared data absent")
def test_qm9_success_rate() -> None:
    records, _ = read_all(SHARED / "val.jsonl.gz")
    notes = [perceive_record(record).properties.get("graph") for record in records]
    assert len(notes) == 1000 and not any(notes)
