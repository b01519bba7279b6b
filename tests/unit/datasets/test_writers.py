"""Files appear complete or not at all; what is finished survives an interruption."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciar.datasets import writers
from sciar.datasets.readers import read_all
from sciar.datasets.writers import open_writer, write
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule, Record

SALT = Crystal(np.eye(3) * 4, ("Na", "Cl"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
ENDINGS = (".cif", ".extxyz", ".jsonl", ".jsonl.gz", ".csv")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_interruption_keeps_finished_records(
    tmp_path: Path, ending: str, stop: type[BaseException]
) -> None:
    path = tmp_path / f"out{ending}"
    with pytest.raises(stop), open_writer(path) as writer:
        writer.add(Record("first", SALT))
        writer.add(Record("second", SALT))
        assert not path.exists()
        raise stop
    records, failures = read_all(path)
    assert [r.id for r in records] == ["first", "second"] and not failures
    assert os.listdir(tmp_path) == [path.name]


class _FullDisk:
    """A stream on a disk without space."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("ending", [*ENDINGS, "/"])
def test_full_disk_leaves_nothing(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = writers._FileWriter.__init__

    def full(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self._stream = _FullDisk(self._stream)

    monkeypatch.setattr(writers._FileWriter, "__init__", full)
    target = f"{tmp_path}/out{ending}"
    with pytest.raises(UsageError, match="No space left on device") as caught:
        write([Record("a", SALT)], target)
    assert f"{tmp_path}/out" in str(caught.value)
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == []


def test_full_disk_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    write([Record("old", SALT)], path)

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writers.os, "replace", refuse)
    with pytest.raises(UsageError, match="No space left"):
        write([Record("new", SALT)], path)
    assert [r.id for r in read_all(path)[0]] == ["old"]
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_target_inside_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        write([SALT], tmp_path / "file" / "out.cif")


def test_record_that_does_not_fit_keeps_those_before(tmp_path: Path) -> None:
    cloud = Molecule(("H",), np.zeros((1, 3)))
    path = tmp_path / "out.cif"
    with pytest.raises(RecordError, match="no cell"):
        write([Record("a", SALT), Record("b", cloud), Record("c", SALT)], path)
    assert [r.id for r in read_all(path)[0]] == ["a"]
    with pytest.raises(RecordError, match="use CIF"):
        write([SALT], tmp_path / "out.sdf")
    with pytest.raises(RecordError, match="perceive"):
        write([cloud], tmp_path / "out.smi")


def test_folder_names_are_safe_and_distinct(tmp_path: Path) -> None:
    ids = ["a/b", "a b", "A_B", "../up"]
    folder = tmp_path / "sub" / "cifs"
    assert write([Record(i, SALT) for i in ids], f"{folder}/") == 4
    assert len(list(folder.iterdir())) == 4
    assert all(p.parent == folder for p in tmp_path.rglob("*.cif"))
    assert {r.id for r in read_all(folder)[0]} == set(ids)


def test_bare_structures_get_ids_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    assert write([SALT, SALT], tmp_path / "a.jsonl") == 2
    assert [r.id for r in read_all(tmp_path / "a.jsonl")[0]] == ["structure_0", "structure_1"]
    with pytest.raises(UsageError, match=r"cannot write \.pdb"):
        write([SALT], tmp_path / "a.pdb")


def test_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write([Record("x", SALT, {"logp": -1.5})], tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_non_finite_properties_do_not_break_json(tmp_path: Path) -> None:
    write([Record("x", SALT, {"logp": float("nan"), "n": np.float32(2)})], tmp_path / "a.jsonl")
    (record,), _ = read_all(tmp_path / "a.jsonl")
    assert record.properties == {"logp": None, "n": 2.0}


def test_an_exploded_molecule_survives_sdf(tmp_path: Path) -> None:
    """Raw samples may lie anywhere; V2000 has ten characters for a coordinate."""
    from rdkit import Chem

    mol = Chem.MolFromSmiles("O")
    far = Molecule(("O",), np.array([[-123456.7, 23456.8, 3.0]]), "O", mol)
    write([Record("far", far)], tmp_path / "far.sdf")
    (found,) = read_all(tmp_path / "far.sdf", strict=True)[0]
    assert isinstance(found.structure, Molecule) and found.structure.positions is not None
    np.testing.assert_allclose(found.structure.positions, far.positions, rtol=1e-6)
