"""Each kind of bad record or file gives its message, and costs nothing but itself."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from sciar.datasets.readers import RecordFailure, read, read_all
from sciar.errors import RecordError, UsageError

CELL = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]
GOOD = {"id": "good", "lattice": CELL, "species": ["Na"], "frac": [[0, 0, 0]]}
NAN = float("nan")
CIF = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(fmt="cif")
MOL = """m
     RDKit          3D

  2  1  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    1.2000    0.0000    0.3000 O   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  2  0
M  END
$$$$
"""


def failure(path: Path, **options: str) -> RecordFailure:
    records, failures = read_all(path, **options)  # type: ignore[arg-type]
    assert not records
    assert len(failures) == 1
    return failures[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": ["Xx"]}, "unknown element 'Xx'"),
        ({"species": ["X"]}, "unknown element"),
        ({"lattice": [[NAN, 0, 0], [0, 4, 0], [0, 0, 4]]}, "NaN"),
        ({"lattice": [[4, 0, 0], [8, 0, 0], [0, 0, 4]]}, "singular"),
        ({"lattice": [[4, 0], [0, 4]]}, "expected shape"),
        ({"lattice": "cubic"}, "expected numbers"),
        ({"frac": [[0, 0, NAN]]}, "NaN"),
        ({"frac": [[0, 0, 0], [0.5, 0, 0]]}, "1 atoms but 2 coordinates"),
        ({"frac": [[0, 0]]}, "expected shape"),
        ({"frac": None}, "field frac: the field is missing"),
        ({"natoms": 7}, "7 atoms announced but 1 given"),
        ({"species": [], "frac": []}, "no atoms"),
    ],
)
def test_bad_crystal_in_jsonl(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**GOOD, **change, "id": "bad"}) + "\n")
    found = failure(path)
    assert found.id == "bad"
    assert message in str(found.error)
    assert str(path) in str(found.error) and "record bad" in str(found.error)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"z": [6, 200], "pos": [[0, 0, 0], [0, 0, 1]]}, "200 is not the atomic number"),
        ({"z": [6], "pos": [[0, 0, 0], [0, 0, 1]]}, "1 atoms but 2 coordinates"),
        ({"z": [6]}, "field pos"),
        ({"z": [6, 8], "pos": [[0, 0, NAN], [0, 0, 1]]}, "NaN"),
        ({"z": [6, 8], "pos": [[0, 0, 0], [0, 0, 1]], "bonds": [[0, 5, 1]]}, "bond [0, 5, 1]"),
        ({"smi": "CCO", "pos": [[0, 0, 0]], "num": 1}, "fit neither the 3 heavy atoms"),
        ({"smi": "C1CC", "pos": [[0, 0, 0]], "num": 1}, "does not parse"),
        ({"smiles": "CX"}, "does not parse"),
        ({"formula": "NaCl"}, "coordinates missing"),
    ],
)
def test_bad_molecule_in_jsonl(tmp_path: Path, row: dict[str, object], message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert message in str(failure(path).error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CIF[: CIF.index("Cl1")], "truncated"),
        (CIF[: CIF.index("_atom_site_")], "coordinates missing"),
        (CIF[: CIF.rindex("0.5")], "truncated"),
        (CIF.replace("Cl", "Qq"), "data_NaQq"),
        (CIF.rstrip()[:-1] + "0.5\n", "partial occupanc"),
        (CIF.replace("4.0", "nan"), "CIF does not parse"),
        ("loop_\n", "no data_ block"),
    ],
)
def test_bad_cif(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.cif"
    path.write_text(text)
    error = str(failure(path).error)
    if message.startswith("data_"):
        assert "unknown element" in error or "does not parse" in error
    else:
        assert message in error


def test_vasp4_without_symbols(tmp_path: Path) -> None:
    path = tmp_path / "POSCAR"
    path.write_text("salt\n1.0\n4 0 0\n0 4 0\n0 0 4\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n")
    assert "element symbols missing" in str(failure(path).error)
    path.write_text("salt\n1.0\n4 0 0\n0 4 0\n0 0 4\nQq Cl\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n")
    assert "unknown element 'Qq'" in str(failure(path).error)
    path.write_text("salt\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\ndirect\n0 0 0\n")
    assert "truncated" in str(failure(path).error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n\nH 0 0 0\n", "2 atoms announced, 1 given"),
        ("1\n\nH 0 0\n", "inhomogeneous|malformed|reshape"),
        ("1\n\nQq 0 0 0\n", "unknown element"),
        ("1\n\nH 0 0 nan\n", "NaN"),
        ("H 0 0 0\n", "expected a number of atoms"),
        ('1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T F"\nH 0 0 0\n',
         "some directions only"),
        ('1\nLattice="4 0 0 8 0 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nH 0 0 0\n',
         "singular"),
        ('1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nQq 0 0 0\n',
         "unknown element"),
    ],
)  # fmt: skip
def test_bad_xyz(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(text)
    import re

    assert re.search(message, str(failure(path).error))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MOL[: MOL.index("  1  2  2")], "truncated"),
        (MOL.replace("  1  2  2  0", "  1  7  2  0"), "molblock"),
        (MOL.replace(" O  ", " Qq "), "unknown element|does not parse"),
        (MOL.replace("C   0  0", "F   0  0"), "valence"),
    ],
)
def test_bad_sdf(tmp_path: Path, text: str, message: str) -> None:
    import re

    path = tmp_path / "a.sdf"
    path.write_text(text)
    assert re.search(message, str(failure(path).error))


def test_the_undamaged_texts_are_good(tmp_path: Path) -> None:
    for name, text in (("a.sdf", MOL), ("a.cif", CIF), ("a.jsonl", json.dumps(GOOD))):
        (tmp_path / name).write_text(text)
        records, failures = read_all(tmp_path / name)
        assert len(records) == 1 and not failures


@pytest.mark.parametrize("smiles", ["C1CC", "c1cccc1", "F(C)C", "C*", "not-a-smiles"])
def test_bad_smiles(tmp_path: Path, smiles: str) -> None:
    path = tmp_path / "a.smi"
    path.write_text(f"{smiles} bad\n")
    found = failure(path)
    assert found.id == "bad" and found.error.field == "smiles"


@pytest.mark.parametrize(
    ("name", "content", "good"),
    [
        ("a.jsonl", json.dumps(GOOD).encode() + b'\n{"id": "x", "\xff"}\n'
         + json.dumps({**GOOD, "id": "b"}).encode() + b"\n", ["good", "b"]),
        ("a.smi", b"C a\nC\xff b\nCC c\n", ["a", "c"]),
        ("a.csv", b"smiles,id\nC,a\nCC,\xff\nCCC,c\n", ["a", "c"]),
        ("a.xyz", b"1\na\nH 0 0 0\n1\n\xff\nH 0 0 0\n1\nc\nH 0 0 0\n", ["a", "c"]),
        ("a.sdf", MOL.encode() + b"x\xff" + MOL.encode() + b"z" + MOL.encode(), ["m", "zm"]),
        ("a.cif", CIF.encode() + b"\ndata_bad\n# \xff\n_cell_length_a 1\n"
         + CIF.replace("data_NaCl", "data_c").encode(), ["NaCl", "c"]),
    ],
)  # fmt: skip
def test_not_utf8_in_the_middle_keeps_the_others(
    tmp_path: Path, name: str, content: bytes, good: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    items = list(read(path))
    assert len(items) == 3
    assert [item.index for item in items] == [0, 1, 2]
    assert isinstance(items[1], RecordFailure)
    assert "UTF-8" in str(items[1].error)
    assert [item.id for item in (items[0], items[2])] == good
    with pytest.raises(RecordError, match="UTF-8"):
        read_all(path, strict=True)


def test_bad_record_in_the_middle_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bad = {**GOOD, "id": "bad", "species": ["Xx"]}
    cut = json.dumps(GOOD)[:20]
    rows = [json.dumps({**GOOD, "id": f"r{i}"}) for i in range(4)]
    path.write_text("\n".join([rows[0], json.dumps(bad), rows[1], cut, rows[2], "[1]", rows[3]]))
    records, failures = read_all(path)
    assert [(r.id, r.index) for r in records] == [("r0", 0), ("r1", 2), ("r2", 4), ("r3", 6)]
    assert [f.index for f in failures] == [1, 3, 5]
    assert "truncated" in str(failures[1].error)


def test_csv_row_with_missing_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,smiles,y\na,C,1\nb,C\nc,CC,3\n")
    records, failures = read_all(path)
    assert [r.id for r in records] == ["a", "c"]
    assert "3 columns in the header but 2 in the row" in str(failures[0].error)


def test_truncated_gzip_keeps_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.smi.gz"
    rng = np.random.default_rng(0)
    text = "".join(f"{'C' * int(rng.integers(1, 9))} m{i}\n" for i in range(20000))
    packed = gzip.compress(text.encode())
    path.write_bytes(packed[: len(packed) // 2])
    records, failures = read_all(path)
    assert len(records) > 100
    assert len(failures) == 1 and "damaged or truncated" in str(failures[0].error)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.cif", b"", "empty"),
        ("a.smi.gz", gzip.compress(b"", mtime=0), "empty"),
        ("a.smi", b"\n\n", "no records"),
        ("a.csv", b"x,y\n1,2\n", "no column named"),
        ("a.npz", b"not a zip", "not an npz"),
        ("a.weird", b"something", "unknown format"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_all(path)
    assert str(path) in str(caught.value)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, atomic_numbers=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match="plain arrays"):
        read_all(path)


def test_npz_lengths_that_disagree(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, atomic_numbers=[1, 1], positions=np.zeros((2, 3)), n_atoms=[3])
    with pytest.raises(UsageError, match="adds up to 3"):
        read_all(path)


def test_missing_path_unknown_format_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "absent.cif")
    (tmp_path / "a.smi").write_text("C\n")
    with pytest.raises(UsageError, match="unknown format 'mol5'"):
        read(tmp_path / "a.smi", format="mol5")
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError, match="no structure files"):
        read(tmp_path / "sub")
