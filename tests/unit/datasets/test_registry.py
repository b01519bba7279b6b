"""Named sets: the order of the search, the sample, and messages that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from sciar.datasets import registry
from sciar.datasets.readers import read_all
from sciar.datasets.registry import catalogue, lookup, resolve
from sciar.errors import UsageError
from sciar.records import Crystal, Molecule


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No shared data anywhere: an own working folder, package place and cache."""
    monkeypatch.delenv("SCIAR_DATA", raising=False)
    work = tmp_path / "a" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setattr(registry, "_PACKAGE", tmp_path / "b" / "c" / "sciar")
    monkeypatch.setattr(registry, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path


def put(root: Path, name: str = "crystals/perov_5/train.csv") -> Path:
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text("x")
    return path


def test_search_order(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="sciar data fetch perov_5"):
        resolve("perov_5")
    cached = put(alone / "cache")
    assert resolve("perov_5") == cached
    beside_repository = put(alone / "b" / "shared" / "data")
    assert resolve("perov_5") == beside_repository
    beside = put(alone / "a" / "shared" / "data")
    assert resolve("perov_5") == beside
    own = put(alone / "own")
    monkeypatch.setenv("SCIAR_DATA", str(alone / "own"))
    assert resolve("Perov-5", "train") == own


def test_messages(alone: Path) -> None:
    with pytest.raises(UsageError, match="known: perov_5, carbon_24") as caught:
        resolve("perovskites")
    assert "sample-crystals" in str(caught.value)
    put(alone / "cache")
    with pytest.raises(UsageError, match="no split 'test' here; found: train"):
        resolve("perov_5", "test")
    with pytest.raises(UsageError, match="no official address is known"):
        resolve("qm7")


def test_qm9_raw_folder_is_one_split(alone: Path) -> None:
    folder = put(alone / "cache", "molecules/qm9/gdb9.sdf").parent
    (folder / "gdb9.sdf.csv").write_text("x")
    (folder / "qm9.zip.part").write_text("x")
    assert resolve("qm9", "all") == folder
    row = next(row for row in catalogue() if row.dataset.name == "qm9")
    assert (row.splits, row.folder, row.fetchable) == (("all",), folder, True)


def test_catalogue_without_data_shows_absence(alone: Path) -> None:
    rows = {row.dataset.name: row for row in catalogue()}
    assert rows["mp_20"].splits == () and rows["mp_20"].folder is None
    assert all(row.dataset.licence and row.dataset.what for row in rows.values())


def test_names_are_found_without_regard_to_case_and_dash() -> None:
    assert lookup("MP-20").name == "mp_20"
    assert lookup("sample_crystals").name == "sample-crystals"


@pytest.mark.parametrize(("name", "kind"), [("crystals", Crystal), ("molecules", Molecule)])
def test_shipped_sample(name: str, kind: type) -> None:
    ids: list[str] = []
    for split in ("train", "val", "test"):
        records, failures = read_all(resolve(f"sample-{name}", split), strict=True)
        assert not failures
        assert len(records) >= 10
        assert all(isinstance(record.structure, kind) for record in records)
        ids += [record.id for record in records]
    assert len(ids) == len(set(ids)) >= 120


def test_sample_is_small_and_geometries_are_sensible() -> None:
    folder = resolve("sample-crystals", "train").parent
    assert sum(path.stat().st_size for path in folder.glob("sample_*.jsonl")) < 500_000
    for record in read_all(resolve("sample-crystals", "train"))[0]:
        assert isinstance(record.structure, Crystal)
        distances = record.structure.to_pymatgen().distance_matrix
        assert (distances[distances > 0] > 1.3).all(), record.id
        assert 5 < record.structure.volume / len(record.structure) < 90, record.id


def test_parts_may_be_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own complexes: one folder of structure files for each part."""
    monkeypatch.setenv("SCIAR_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="proteins/protein_pockets"):
        resolve("protein_pockets", "train")
    for part in ("train", "test"):
        (tmp_path / "proteins" / "protein_pockets" / part).mkdir(parents=True)
    assert resolve("protein-pockets", "test") == tmp_path / "proteins/protein_pockets/test"
    with pytest.raises(UsageError, match="no split 'val' here; found: test, train"):
        resolve("protein_pockets", "val")
