"""Proteins as labelled points with their pockets, and through the octree and back."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.datasets.formats.pockets import near
from sciar.datasets.formats.protein_points import HEAVY, RESIDUES
from sciar.datasets.readers import RecordFailure, read, read_all
from sciar.datasets.registry import resolve
from sciar.errors import UsageError
from sciar.records import Record
from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer

ATOMS = (("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O"), ("CB", "C"), ("H", "H"))
RING = [("C", np.array([np.cos(a), np.sin(a), 0]) * 1.4) for a in np.arange(6) * np.pi / 3]


class File:
    """A PDB file in the making."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def atom(
        self,
        kind: str,
        name: str,
        residue: str,
        number: int,
        at: np.ndarray,
        element: str,
        chain: str = "A",
    ) -> None:
        shown = f" {name:<3}" if len(element) == 1 else f"{name:<4}"
        x, y, z = at
        self.lines.append(
            f"{kind:<6}{len(self.lines) + 1:>5} {shown} {residue:>3} {chain}{number:>4}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2}"
        )

    def group(self, residue: str, number: int, at: list[float], atoms=RING, chain="A") -> None:
        """A group that is no residue."""
        for i, (element, where) in enumerate(atoms):
            name = element if len(atoms) == 1 else f"{element}{i}"
            self.atom("HETATM", name, residue, number, np.array(at) + where, element, chain)

    def residue(self, name: str, number: int, at: float, kind="ATOM", chain="A", y=0.0) -> None:
        """Backbone and C-beta along x; neighbours 2.5 angstrom apart are bonded, C to N."""
        for atom, element, x, up in (
            ("N", "N", 0.0, 0.0), ("CA", "C", 0.6, 0.6), ("C", "C", 1.2, 0.0),
            ("O", "O", 1.2, -1.2), ("CB", "C", 0.6, 2.1), ("H", "H", 0.0, -1.0),
        ):  # fmt: skip
            self.atom(kind, atom, name, number, np.array([at + x, y + up, 0.0]), element, chain)

    def write(self, path: Path) -> Path:
        text = "\n".join([*self.lines, "END"]) + "\n"
        raw = text.encode("ascii")
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
        return path


def strand(count: int = 8) -> File:
    file = File()
    for i in range(count):
        file.residue(RESIDUES[i], i + 1, 2.5 * i)
    return file


def one(path: Path, format: str = "calpha") -> Record:
    (record,), failures = read_all(path, format=format)
    assert not failures
    return record


def test_calpha_atoms_are_named_by_residue(tmp_path: Path) -> None:
    file = strand(2)
    file.residue("MSE", 3, 5.0, "HETATM")
    record = one(file.write(tmp_path / "x.pdb"))
    assert record.id == "x_A" and record.structure.symbols == ("ALA", "ARG", "UNK")
    assert record.properties["sequence"] == "ARM"
    assert record.properties["atom_names"] == ["ALA1", "ARG2", "MSE3"]
    assert "pocket" not in record.properties and "ligands" not in record.properties
    expected = [[0.6, 0.6, 0], [3.1, 0.6, 0], [5.6, 0.6, 0]]
    np.testing.assert_allclose(record.structure.positions, expected, atol=1e-3)
    tokenizer = OctreeMoleculeTokenizer(preset="protein", labels=RESIDUES, max_atoms=50)
    found = tokenizer.decode(tokenizer.encode(record.structure))
    assert Counter(found.symbols) == Counter(record.structure.symbols)
    away = [np.sort(np.linalg.norm(p[:, None] - p[None], axis=-1).ravel())
            for p in (found.positions, np.array(expected))]  # fmt: skip
    np.testing.assert_allclose(away[0], away[1], atol=1e-3)


def test_heavy_atoms_are_named_by_element(tmp_path: Path) -> None:
    file = strand(3)
    file.group("LIG", 90, [0.6, 6.0, 0])
    record = one(file.write(tmp_path / "x.pdb"), "heavy-atoms")
    assert Counter(record.structure.symbols) == {"C": 9, "N": 3, "O": 3}
    assert record.properties["atom_names"][:5] == ["ALA1"] * 5
    assert len(record.properties["pocket"]) == 15
    assert 0 < record.properties["pocket"].count("yes") < 15
    tokenizer = OctreeMoleculeTokenizer(preset="protein", labels=HEAVY, max_atoms=50)
    assert len(tokenizer.decode(tokenizer.encode(record.structure))) == 15


def test_a_residue_is_in_the_pocket_by_its_nearest_heavy_atom(tmp_path: Path) -> None:
    """The ring is 4.36 angstrom from one C-beta, and 4.6 or more from everything else."""
    file = strand(8)
    file.group("LIG", 90, [8.1, 7.61, 0])
    path = file.write(tmp_path / "x.pdb")
    assert one(path).properties["pocket"] == ["no"] * 3 + ["yes"] + ["no"] * 4
    assert one(path).properties["ligands"] == ["LIG"]
    wide = one(path, "calpha:6").properties["pocket"]
    assert wide.count("yes") > 1 and wide[3] == "yes"
    assert "pocket" not in one(path, "calpha:4").properties
    atoms = one(path, "heavy-atoms").properties
    pairs = zip(atoms["atom_names"], atoms["pocket"], strict=True)
    assert [residue for residue, pocket in pairs if pocket == "yes"] == ["ASP4"]


@pytest.mark.parametrize("name", ["HOH", "SO4", "GOL", "PEG", "NAG"])
def test_what_comes_from_the_solution_is_no_ligand(name: str, tmp_path: Path) -> None:
    file = strand()
    file.group(name, 90, [8.1, 4.0, 0])
    assert "pocket" not in one(file.write(tmp_path / "x.pdb")).properties


def test_ions_small_groups_and_modified_residues_are_no_ligands(tmp_path: Path) -> None:
    file = strand(4)
    file.residue("SEP", 5, 10.0, "HETATM")  # bonded to the chain: a residue
    file.residue("GLU", 95, 30.0, "HETATM")  # free: a ligand, but far away
    file.atom("HETATM", "CA", "CA", 91, np.array([3.0, 3.0, 0]), "CA")
    file.group("ACT", 92, [3.0, 3.0, 0], RING[:4])
    record = one(file.write(tmp_path / "x.pdb"))
    assert len(record.structure) == 5 and record.structure.symbols[-1] == "UNK"
    assert record.properties["sequence"] == "ARNDS" and "pocket" not in record.properties
    file.residue("GLU", 96, 3.0, "HETATM", y=5.0)
    assert one(file.write(tmp_path / "y.pdb")).properties["ligands"] == ["GLU"]


def test_each_chain_has_labels_of_its_own(tmp_path: Path) -> None:
    """A ligand that the file lists under B touches A; B touches none."""
    file = strand(5)
    for i in range(3):
        file.residue("GLY", i + 1, 2.5 * i, chain="B", y=60.0)
    file.group("LIG", 90, [3.0, 5.0, 0], chain="B")
    (first, second), _ = read_all(file.write(tmp_path / "two.pdb.gz"), format="calpha")
    assert (first.id, second.id) == ("two_A", "two_B")
    assert "yes" in first.properties["pocket"] and "pocket" not in second.properties


def test_mmcif_says_the_same(tmp_path: Path) -> None:
    from Bio.PDB import MMCIFIO, PDBParser

    file = strand()
    file.group("LIG", 90, [8.1, 6.0, 0])
    path = file.write(tmp_path / "x.pdb")
    writer = MMCIFIO()
    writer.set_structure(PDBParser(QUIET=True).get_structure("x", path))
    writer.save(str(tmp_path / "y.cif"))
    for format in ("calpha", "heavy-atoms"):
        a, b = one(path, format), one(tmp_path / "y.cif", format)
        assert a.structure.symbols == b.structure.symbols and a.properties == b.properties


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.5, 8), st.integers(0, 99))
def test_nearness_is_the_smallest_distance(n: int, m: int, distance: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    atoms, ligand = rng.normal(size=(n, 3)) * 4, rng.normal(size=(m, 3)) * 4
    brute = [min(np.linalg.norm(a - b) for b in ligand) <= distance for a in atoms]
    assert near(atoms, ligand, distance).tolist() == brute


def test_folders_give_all_their_files_and_name_bad_ones(tmp_path: Path) -> None:
    strand().write(tmp_path / "a.pdb")
    strand().write(tmp_path / "b.ent.gz")
    (tmp_path / "c.pdb").write_text("END\n", encoding="utf-8")
    (tmp_path / "d.cif").write_text("nonsense\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no structure\n", encoding="utf-8")
    found = list(read(tmp_path, format="calpha"))
    failed = [f for f in found if isinstance(f, RecordFailure)]
    assert [f.id for f in found] == ["a_A", "b_A", "c", "d"] and len(failed) == 2
    assert "c.pdb" in str(failed[0].error) and "no protein chain" in str(failed[0].error)


def test_wrong_formats_are_refused(tmp_path: Path) -> None:
    path = strand().write(tmp_path / "x.pdb")
    for format in ("calpha:near", "calpha:0", "calpha:", "cif:4", "backbone"):
        with pytest.raises(UsageError, match=f"format '{format}'"):
            read(path, format=format)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no structure files"):
        read(tmp_path / "empty", format="calpha")


def test_the_sample_has_labels_and_chains_without() -> None:
    for part, count in (("train", 8), ("val", 2), ("test", 3)):
        records, failures = read_all(resolve("sample-pockets", part), format="calpha")
        labelled = [r for r in records if "pocket" in r.properties]
        assert not failures and len(labelled) == count
        assert all(r.properties["ligands"] == ["LIG"] for r in labelled)
        shares = [r.properties["pocket"].count("yes") / len(r.structure) for r in labelled]
        assert min(shares) > 0.1 and max(shares) < 0.5
