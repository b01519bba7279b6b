"""Layouts and formats that others write, and how they are recognised."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sciar.datasets.readers import DuplicateIdWarning, read_all, recognise
from sciar.datasets.writers import write
from sciar.errors import UsageError
from sciar.records import Crystal, Molecule, Record

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def lines(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_unigenx_crystal_and_prediction(tmp_path: Path) -> None:
    sites = [
        {"element": "Na", "fractional_coordinates": [0, 0, 0]},
        {"element": "Cl", "fractional_coordinates": [0.5, 0.5, 0.5]},
    ]
    prediction = {"lattice": (np.eye(3) * 4).tolist(), "coordinates": [[0, 0, 0], [0.4, 0.5, 0.5]]}
    row = {"id": 3, "formula": "NaCl", "lattice": (np.eye(3) * 3).tolist(), "sites": sites}
    path = lines(tmp_path / "a.jsonl", row | {"prediction": prediction, "source": "mp"})
    (given,), _ = read_all(path)
    (made,), _ = read_all(path, format="unigenx-prediction")
    assert isinstance(given.structure, Crystal) and isinstance(made.structure, Crystal)
    assert (given.id, made.id) == ("3", "3")
    assert given.properties == {"source": "mp"}
    assert given.structure.volume == pytest.approx(27)
    assert made.structure.volume == pytest.approx(64)
    assert made.structure.frac[1, 0] == pytest.approx(0.4)


@pytest.mark.parametrize(("smiles", "symbols"), [("OC", "OC"), ("[H]OC", "HOC"), ("O", "OHH")])
def test_unigenx_molecule(tmp_path: Path, smiles: str, symbols: str) -> None:
    pos = [[float(i), 0.5, 0.0] for i in range(len(symbols))]
    row = {"id": 1, "smi": smiles, "pos": pos, "num": len(symbols)}
    (record,), _ = read_all(lines(tmp_path / "a.jsonl", row))
    assert isinstance(record.structure, Molecule)
    assert "".join(record.structure.symbols) == symbols
    assert record.structure.mol is not None


def test_cdvae_csv(tmp_path: Path) -> None:
    cif = SALT.to(fmt="cif").replace('"', '""')
    text = f',material_id,band_gap,pretty_formula,cif\n0,mp-22862,5.0,NaCl,"{cif}"\n'
    path = tmp_path / "val.csv"
    path.write_text(text, "utf-8")
    (record,), failures = read_all(path)
    assert not failures
    assert record.id == "mp-22862"
    assert record.properties == {"band_gap": 5.0, "pretty_formula": "NaCl"}
    assert isinstance(record.structure, Crystal)
    assert record.structure.composition == {"Na": 4, "Cl": 4}


def test_csv_of_smiles_keeps_label_columns(tmp_path: Path) -> None:
    path = tmp_path / "esol.csv.gz"
    path.write_bytes(gzip.compress(b"SMILES,logS,split,empty\nCCO,-0.77,test,\n"))
    (record,), _ = read_all(path, kind="molecule")
    assert record.properties == {"logS": -0.77, "split": "test"}


def test_symmetric_and_multi_block_cif(tmp_path: Path) -> None:
    from pymatgen.io.cif import CifWriter

    block = str(CifWriter(SALT, symprec=0.01))
    assert "Fm-3m" in block
    path = tmp_path / "two.cif"
    path.write_text(f"# comment\n{block}\n{block.replace('data_NaCl', 'data_other')}", "utf-8")
    records, failures = read_all(path)
    assert not failures
    assert [record.id for record in records] == ["NaCl", "other"]
    assert all(len(record.structure) == 8 for record in records)


def test_poscar_round_trip_and_name_without_extension(tmp_path: Path) -> None:
    crystal = Crystal.from_pymatgen(SALT)
    path = tmp_path / "POSCAR"
    assert write([Record("salt", crystal)], path, format="poscar") == 1
    (record,), _ = read_all(path)
    assert record.id == "salt"
    assert isinstance(record.structure, Crystal)
    assert record.structure.species == crystal.species
    np.testing.assert_allclose(record.structure.lattice, crystal.lattice, atol=1e-8)
    np.testing.assert_allclose(record.structure.frac, crystal.frac, atol=1e-8)


def test_folder_of_mixed_files(tmp_path: Path) -> None:
    crystal = Crystal.from_pymatgen(SALT)
    write([Record("a", crystal)], tmp_path / "a.cif")
    write([Record("b", crystal)], tmp_path / "b.vasp")
    (tmp_path / "notes.log").write_text("not a structure")
    records, failures = read_all(tmp_path)
    assert not failures
    assert [(r.id, r.index) for r in records] == [("a", 0), ("b", 1)]


def test_plain_xyz_by_symbol_and_number(tmp_path: Path) -> None:
    path = tmp_path / "m.xyz"
    path.write_text("2\nhydrogen fluoride\nH 0 0 0\nF 0 0 0.92\n1\nneon\n10 0 0 0\n")
    (first, second), _ = read_all(path)
    assert first.properties == {"comment": "hydrogen fluoride"}
    assert isinstance(first.structure, Molecule) and isinstance(second.structure, Molecule)
    assert first.structure.symbols == ("H", "F")
    assert (second.id, second.structure.symbols) == ("neon", ("Ne",))


def test_flat_npz(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    np.savez(
        path,
        atomic_numbers=np.array([8, 1, 1, 2], dtype=np.uint8),
        positions=np.arange(12, dtype=np.float32).reshape(4, 3),
        n_atoms=np.array([3, 1]),
        finished=np.array([True, False]),
    )
    (water, helium), _ = read_all(path)
    assert isinstance(water.structure, Molecule) and isinstance(helium.structure, Molecule)
    assert water.structure.symbols == ("O", "H", "H")
    assert helium.structure.positions is not None
    np.testing.assert_array_equal(helium.structure.positions, [[9, 10, 11]])
    assert (water.properties, helium.properties) == ({"finished": True}, {"finished": False})


def test_qm9_raw_folder(tmp_path: Path) -> None:
    molecules = []
    for i, symbols in enumerate(["CO", "OH", "NN"], 1):
        positions = np.array([[0.0, 0, 0], [0, 0, 1.1 + i / 10]])
        molecules.append(Record(f"gdb_{i}", Molecule(tuple(symbols), positions)))
    write(molecules, tmp_path / "gdb9.sdf")
    rows = "".join(f"gdb_{i},1.5,-{i}.25,{i}\n" for i in (1, 2, 3))
    (tmp_path / "gdb9.sdf.csv").write_text(f"mol_id,mu,u0,cv\n{rows}")
    (tmp_path / "uncharacterized.txt").write_text(
        "header\n---\n   2  CO  x  0.1\n---\n1 molecules\n"
    )
    # a footer that begins with a number and has words must not skip molecule 1
    records, failures = read_all(tmp_path)
    assert not failures
    assert [record.id for record in records] == ["gdb_1", "gdb_3"]
    assert records[1].properties == {"mu": 1.5, "U0": -3.25, "Cv": 3}


def test_content_decides_without_extension(tmp_path: Path) -> None:
    texts = {
        "jsonl": '{"id": 1}\n',
        "cif": "# made by hand\ndata_x\n_cell_length_a 1\n",
        "xyz": "1\n\nH 0 0 0\n",
        "sdf": "\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n$$$$\n",
    }
    for name, text in texts.items():
        path = tmp_path / f"{name}_file"
        path.write_text(text)
        assert recognise(path) == name


def test_repeated_ids_become_unique_with_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_text("C x\nCC x\nCCC x-2\nCCCC x\nN y\n")
    with pytest.warns(DuplicateIdWarning, match="'x' occurs more than once") as caught:
        records, _ = read_all(path)
    assert len(caught) == 1
    ids = [record.id for record in records]
    assert ids == ["x", "x-2", "x-2-2", "x-3", "y"]


def test_kind_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_text("C methane\n")
    records, failures = read_all(path, kind="crystal")
    assert not records
    assert "expected a crystal" in str(failures[0].error)
    with pytest.raises(UsageError, match="kind"):
        read_all(path, kind="protein")  # type: ignore[arg-type]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="shared data absent")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("crystals/perov_5/test", 3028),
        ("molecules/qm9/val", 1000),
        ("molecules/druglike3d/val", 293),
    ],
)
def test_shared_sets_read_without_failures(name: str, count: int) -> None:
    records, failures = read_all(SHARED / f"{name}.jsonl.gz")
    assert (len(records), failures) == (count, [])
