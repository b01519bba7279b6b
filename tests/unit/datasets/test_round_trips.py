"""What is written is read back: structures, ids and properties, in every format that has them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice
from rdkit import Chem
from rdkit.Chem import AllChem

from sciar.datasets.readers import read_all
from sciar.datasets.writers import write
from sciar.records import Crystal, Molecule, Record

CRYSTAL_ENDINGS = (".jsonl", ".jsonl.gz", ".cif", ".cif.gz", ".extxyz", ".xyz.gz", ".csv")
MOLECULE_ENDINGS = (".jsonl", ".jsonl.gz", ".sdf", ".sdf.gz", ".xyz")
SMILES = ("CCO", "c1cc[nH]c1", "C[N+](=O)[O-]", "C[C@H](N)C(=O)O", "F/C=C/F", "[NH3+]CC(=O)[O-]")

texts = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1
).map(lambda text: " ".join(text.split()) or "-")
numbers = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6, allow_subnormal=False)


@st.composite
def crystals(draw: st.DrawFn) -> Crystal:
    lengths = draw(st.tuples(*[st.floats(3, 9)] * 3))
    angles = draw(st.tuples(*[st.floats(70, 110)] * 3))
    species = draw(st.lists(st.sampled_from(["Na", "Cl", "O", "U", "H"]), min_size=1, max_size=6))
    # distinct places on a coarse grid: CIF readers merge sites that coincide
    places = draw(st.permutations(range(27)))[: len(species)]
    jitter = draw(st.floats(0, 0.05))
    frac = np.array([[p // 9, p // 3 % 3, p % 3] for p in places]) / 3 + jitter
    return Crystal(Lattice.from_parameters(*lengths, *angles).matrix, tuple(species), frac)


@st.composite
def point_clouds(draw: st.DrawFn) -> Molecule:
    symbols = draw(st.lists(st.sampled_from(["C", "H", "O", "Br"]), min_size=1, max_size=8))
    numbers = st.floats(-50, 50).map(lambda x: round(x, 4))
    rows = [draw(st.tuples(numbers, numbers, numbers)) for _ in symbols]
    # an SDF whose coordinates are all zero has none
    return Molecule(tuple(symbols), np.array(rows) + [0, 0, 101.5])


def again(records: list[Record], ending: str) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending}"
        assert write(records, path) == len(records)
        found, failures = read_all(path)
    assert not failures, failures[0].error
    return found


def embedded(smiles: str) -> Molecule:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    return Molecule.from_rdkit(mol, smiles)


@pytest.mark.parametrize("ending", CRYSTAL_ENDINGS)
@settings(max_examples=12, deadline=None)
@given(crystal=crystals(), number=numbers, text=texts)
def test_crystals(ending: str, crystal: Crystal, number: float, text: str) -> None:
    properties = {"logp": number, "status": "ok", "seed": 7, "message": f"note: {text}"}
    (found,) = again([Record("mp-1 a", crystal, properties)], ending)
    structure = found.structure
    assert isinstance(structure, Crystal)
    assert found.id == "mp-1 a"
    assert structure.species == crystal.species
    metric = structure.lattice @ structure.lattice.T
    np.testing.assert_allclose(metric, crystal.lattice @ crystal.lattice.T, atol=1e-6)
    shift = structure.frac - crystal.frac
    np.testing.assert_allclose(shift - np.round(shift), 0, atol=1e-4)
    assert found.properties["logp"] == pytest.approx(number, rel=1e-12)
    assert found.properties["status"] == "ok" and found.properties["seed"] == 7
    if ".cif" not in ending:
        assert found.properties["message"] == f"note: {text}"
    else:
        assert str(found.properties["message"]).startswith("note:")


@pytest.mark.parametrize("ending", [".jsonl", ".extxyz"])
@settings(max_examples=12, deadline=None)
@given(crystal=crystals())
def test_orientation_is_kept_where_the_format_can(ending: str, crystal: Crystal) -> None:
    (found,) = again([Record("a", crystal)], ending)
    assert isinstance(found.structure, Crystal)
    np.testing.assert_allclose(found.structure.lattice, crystal.lattice, atol=1e-8)


@pytest.mark.parametrize("ending", MOLECULE_ENDINGS)
@settings(max_examples=12, deadline=None)
@given(molecule=point_clouds(), number=numbers, text=texts)
def test_point_clouds(ending: str, molecule: Molecule, number: float, text: str) -> None:
    properties = {"logp": number, "message": f"note: {text}"}
    (found,) = again([Record("m1", molecule, properties)], ending)
    assert isinstance(found.structure, Molecule)
    assert (found.id, found.structure.symbols) == ("m1", molecule.symbols)
    np.testing.assert_allclose(found.structure.positions, molecule.positions, atol=1e-4)
    assert found.properties["logp"] == pytest.approx(number, rel=1e-12)
    assert found.properties["message"] == f"note: {text}"


@pytest.mark.parametrize("ending", [".jsonl", ".sdf", ".smi", ".csv"])
@pytest.mark.parametrize("smiles", SMILES)
def test_graphs(ending: str, smiles: str) -> None:
    molecule = embedded(smiles)
    (found,) = again([Record("m1", molecule)], ending)
    assert isinstance(found.structure, Molecule) and found.structure.mol is not None
    assert Chem.MolToSmiles(Chem.RemoveHs(found.structure.mol)) == Chem.CanonSmiles(smiles)
    assert found.structure.smiles == smiles
    assert found.structure.charge == molecule.charge
    if ending in (".jsonl", ".sdf"):
        assert found.structure.symbols == molecule.symbols


def test_charge_isotope_and_radical_survive_jsonl() -> None:
    for smiles in ("[13CH4]", "C[NH3+]", "[CH3]", "CC(=O)[O-]"):
        (found,) = again([Record("m", embedded(smiles))], ".jsonl")
        assert isinstance(found.structure, Molecule) and found.structure.mol is not None
        assert Chem.MolToSmiles(Chem.RemoveHs(found.structure.mol)) == Chem.CanonSmiles(smiles)


def test_graph_only_molecules_have_heavy_atoms_and_no_positions() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.smi"
        path.write_text("smiles name\n# comment\nOCC ethanol\n\nC[NH3+]\n", "utf-8")
        records, failures = read_all(path)
    assert not failures
    assert [r.id for r in records] == ["ethanol", "a_1"]
    ethanol, cation = (r.structure for r in records)
    assert isinstance(ethanol, Molecule) and isinstance(cation, Molecule)
    assert ethanol.symbols == ("O", "C", "C") and ethanol.positions is None
    assert cation.charge == 1
    assert [r.id for r in again(records, ".jsonl")] == ["ethanol", "a_1"]
