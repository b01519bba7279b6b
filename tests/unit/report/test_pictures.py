"""Pictures of structures: complete, self-contained, small, and true to the structure."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.evaluation.pictures import (
    _molecule_view,
    crystal_svg,
    depiction_svg,
    molecule_svg,
    structure_svg,
)
from sciar.evaluation.report import checked_svg
from sciar.evaluation.scene import MAX_BYTES
from sciar.records import Crystal, Molecule

PEROVSKITE = Crystal(
    3.905 * np.eye(3),
    ("Sr", "Ti", "O", "O", "O"),
    np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]),
)
WATER = Molecule(
    ("O", "H", "H"), np.array([[0, 0, 0.119], [0, 0.763, -0.477], [0, -0.763, -0.477]])
)


def balls(svg: str, element: str) -> int:
    """Atoms of an element that a picture shows; the legend's chip (r=6) is not one."""
    return len(re.findall(rf'r="(?!6")[\d.]+" fill="url\(#s\w+?\d+{element}\)"', svg))


def sticks(svg: str) -> set[str]:
    """The half-bonds a picture shows: coloured lines (the cell is grey, the tripod relative)."""
    return set(re.findall(r'<path d="(M[\d. -]+L[\d. -]+)" stroke="#[0-9a-f]{6}"', svg))


def embedded(smiles: str) -> Molecule:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=7)
    return Molecule.from_rdkit(mol)


def test_atoms_on_the_boundary_are_completed() -> None:
    svg = crystal_svg(PEROVSKITE)
    # 8 corners, 1 centre, 6 faces
    assert [balls(svg, e) for e in ("Sr", "Ti", "O")] == [8, 1, 6]


def test_only_the_octahedron_has_sticks() -> None:
    svg = crystal_svg(PEROVSKITE)
    halves = sticks(svg)
    # six Ti-O bonds of two halves each; strontium, with 12 neighbours, has none
    assert len(halves) == 12


def test_the_origin_does_not_change_what_is_shown() -> None:
    moved = Crystal(PEROVSKITE.lattice, PEROVSKITE.species, PEROVSKITE.frac + [2, -1, 1 - 1e-9])
    assert balls(crystal_svg(moved), "Sr") == 8


def test_space_filling_has_no_sticks() -> None:
    svg = crystal_svg(PEROVSKITE, style="space-filling")
    assert not sticks(svg)
    assert balls(svg, "Ti") == 1


@pytest.mark.parametrize(
    "smiles", ["C", "C#N", "c1ccccc1C(=O)O", "CC(C)C1CCC(C)CC1O", "[Na+].[Cl-]"]
)
def test_molecules_show_every_atom(smiles: str) -> None:
    molecule = embedded(smiles)
    svg = molecule_svg(molecule)
    for element in set(molecule.symbols):
        assert balls(svg, element) == molecule.symbols.count(element)
    checked_svg(svg)
    checked_svg(depiction_svg(molecule))


def test_bond_orders_are_drawn() -> None:
    ethane, ethyne = embedded("CC"), embedded("C#C")

    def carbon_halves(molecule: Molecule) -> int:
        from sciar.evaluation.pictures import _bond_sticks, _molecule_bonds
        from sciar.evaluation.scene import Ball

        bonds = [b for b in _molecule_bonds(molecule) if {b[0], b[1]} == {0, 1}]
        a, b = (Ball(molecule.positions[i], 0.4, "C") for i in (0, 1))  # type: ignore[index]
        return len(_bond_sticks(a, b, bonds[0][2]))

    assert (carbon_halves(ethane), carbon_halves(ethyne)) == (2, 6)


def test_without_a_graph_bonds_follow_distances() -> None:
    svg = molecule_svg(WATER)
    halves = sticks(svg)
    assert len(halves) == 4  # two O-H bonds; the hydrogens are not bonded to each other


@given(st.integers(0, 10_000))
def test_the_view_of_a_molecule_is_a_proper_rotation(seed: int) -> None:
    positions = np.random.default_rng(seed).normal(size=(5, 3))
    seen = _molecule_view(positions)
    before, after = positions - positions.mean(0), seen - seen.mean(0)
    np.testing.assert_allclose(before @ before.T, after @ after.T, atol=1e-9)
    volume = np.linalg.det(before[1:4] - before[0])
    assert np.linalg.det(after[1:4] - after[0]) == pytest.approx(volume, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_any_crystal_gives_small_plain_svg(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = np.diag(rng.uniform(2, 12, 3)) + rng.uniform(-1, 1, (3, 3))
    species = tuple(rng.choice(["H", "C", "O", "Si", "Fe", "Cs", "U"], count))
    svg = crystal_svg(Crystal(lattice, species, rng.uniform(-1, 2, (count, 3))))
    assert len(svg) <= MAX_BYTES
    checked_svg(svg)
    assert "nan" not in svg


def test_a_collapsed_cell_is_drawn_without_sticks() -> None:
    crystal = Crystal(0.9 * np.eye(3), ("C",) * 3, np.random.default_rng(0).random((3, 3)))
    assert not sticks(crystal_svg(crystal))


def test_atoms_on_one_point_or_one_line_are_drawn() -> None:
    checked_svg(molecule_svg(Molecule(("H",), np.zeros((1, 3)))))
    checked_svg(molecule_svg(Molecule(("C", "C"), np.zeros((2, 3)))))
    checked_svg(molecule_svg(Molecule(("O", "C", "O"), np.diag([-1.2, 0, 0])[[0, 1, 2]])))


def test_ids_are_never_shared_between_pictures() -> None:
    ids = [re.findall(r' id="([^"]+)"', crystal_svg(PEROVSKITE)) for _ in range(3)]
    flat = [name for group in ids for name in group]
    assert len(flat) == 9
    assert len(set(flat)) == 9


def test_title_and_size_are_those_asked_for() -> None:
    root = ElementTree.fromstring(structure_svg(PEROVSKITE, width=500, height=400))
    assert root.attrib["viewBox"] == "0 0 500 400"
    assert root.attrib["aria-label"] == "O3SrTi"


def test_an_impossible_molecule_is_still_depicted() -> None:
    from rdkit import Chem

    mol = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    checked_svg(depiction_svg(Molecule.from_rdkit(mol, smiles="C(C)(C)(C)(C)C")))


def test_errors_say_what_to_do() -> None:
    with pytest.raises(UsageError, match="ball-and-stick"):
        crystal_svg(PEROVSKITE, style="cartoon")
    with pytest.raises(RecordError, match="embed it first"):
        molecule_svg(Molecule(("C",), None, smiles="C"))
    with pytest.raises(RecordError, match="graph"):
        depiction_svg(WATER)
    with pytest.raises(RecordError, match="too many"):
        molecule_svg(Molecule(("C",) * 800, np.zeros((800, 3))))
