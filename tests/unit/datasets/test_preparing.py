"""Division of sets without official parts, coordinates for graphs, and what cannot be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.datasets.datamodule import StructureData
from sciar.datasets.embedding import embedded
from sciar.datasets.formats.graphs import molecule_from_smiles
from sciar.datasets.preparing import divided, prepared, source_path
from sciar.datasets.splits import scaffold
from sciar.errors import RecordError, UsageError
from sciar.records import Molecule, Record
from sciar.tokenization.property import PropertyTokenizer

SMILES = (
    "CCO", "CCN", "CCC", "c1ccccc1", "Cc1ccccc1", "Oc1ccccc1", "C1CCCCC1", "CC1CCCCC1", "c1ccncc1",
    "Cc1ccncc1", "C1CCNCC1", "c1ccc2ccccc2c1", "CC(=O)O", "CCOC", "c1ccoc1", "c1ccsc1", "C1CC1",
    "CC1CC1", "c1ccc(-c2ccccc2)cc1", "OCC1CC1",
)  # fmt: skip
PARTS = ("train", "val", "test")


def records() -> list[Record]:
    return [
        Record(f"m{i}", molecule_from_smiles(s), {"split": PARTS[i % 3], "y": float(i)}, "m.csv", i)
        for i, s in enumerate(SMILES)
    ]


@given(st.integers(0, 2**31), st.sampled_from(["scaffold", "composition", "random"]))
def test_parts_never_overlap(seed: int, how: str) -> None:
    whole = records()
    try:
        parts = {part: divided(whole, how, part, seed) for part in PARTS}
    except UsageError as error:
        assert "is in" in str(error)  # few groups may leave a part empty; that is said
        return
    ids = [r.id for part in parts.values() for r in part]
    assert sorted(ids) == sorted(r.id for r in whole)
    again = {part: divided(whole, how, part, seed) for part in PARTS}
    assert {k: [r.id for r in v] for k, v in parts.items()} == {
        k: [r.id for r in v] for k, v in again.items()
    }
    if how == "scaffold":
        groups = [{scaffold(r) for r in part} for part in parts.values()]
        assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_a_column_may_say_the_part() -> None:
    found = [divided(records(), "column:split", part) for part in PARTS]
    assert [len(part) for part in found] == [7, 7, 6]
    for how, message in (("column:none", "none of 20"), ("weight", "is none of")):
        with pytest.raises(UsageError, match=message):
            divided(records(), how, "train")


def test_conformers_hang_on_the_molecule_alone() -> None:
    molecule = molecule_from_smiles("CC(=O)Nc1ccccc1")
    one, two, other = embedded(molecule), embedded(molecule), embedded(molecule, seed=1)
    assert one.symbols.count("H") == 9 and one.mol is not None
    np.testing.assert_array_equal(one.positions, two.positions)  # type: ignore[arg-type]
    assert np.abs(one.positions - other.positions).max() > 1e-3  # type: ignore[operator]
    assert prepared(Record("a", molecule), graphs=True, conformers=False).structure is molecule


def test_what_cannot_be_embedded_is_named() -> None:
    bare = Record("x", Molecule(("C",), None), {}, "m.csv", 0)
    with pytest.raises(RecordError, match=r"file m.csv, record x.*no graph"):
        prepared(bare, graphs=False, conformers=True)


def test_sources_are_paths_names_and_parts(tmp_path: Path) -> None:
    file = tmp_path / "a:b.csv"
    file.write_text("smiles\nC\n")
    assert source_path(str(file), "train") == file
    assert source_path("sample-properties:all", "val").name == "sample_properties_all.jsonl"
    assert source_path("sample-molecules", "val").name == "sample_molecules_val.jsonl"
    with pytest.raises(UsageError, match="no split 'none'"):
        source_path("sample-properties:none", "val")


def test_parts_of_a_data_module_share_no_molecule_and_keep_bad_labels_out() -> None:
    base = {"class_path": "sciar.tokenization.molecule.MoleculeTokenizer", "init_args": {}}
    tokenizer = PropertyTokenizer(base, ["logp", {"name": "aromatic", "classes": [0, 1]}])
    data = StructureData(
        ["sample-properties:all"], tokenizer, divide="scaffold", conformers=True, limit=12
    )
    parts = [{r.id for r in data.records(part)} for part in PARTS]
    assert all(parts) and not parts[0] & parts[1] and not parts[0] & parts[2]
    fitted = data.fitted_tokenizer.vocabulary
    known = [r.properties["logp"] for r in data.train_records if "logp" in r.properties]
    slot = fitted.slots[fitted.kind("<property:logp>") - 1]
    assert len(known) < len(data.train_records)
    assert slot.mean[0] == pytest.approx(np.mean(known), rel=1e-6)


@pytest.mark.shared
def test_every_table_of_moleculenet_is_read(shared_data: Path) -> None:
    from sciar.datasets.readers import read_all

    folder = shared_data / "molecules" / "moleculenet"
    for name, column, count in (("esol", "logSolubility", 1095), ("freesolv", "freesolv", 629)):
        found, failures = read_all(folder / f"{name}.csv.gz")
        assert len(found) == count and not failures
        assert all(isinstance(r.properties[column], int | float) for r in found)
        parts = [divided(found, "scaffold", part) for part in PARTS]
        assert sum(map(len, parts)) == count
        assert not {scaffold(r) for r in parts[0]} & {scaffold(r) for r in parts[2]}


def test_conformers_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same to the last bit, also another process's; failures are remembered as well."""
    from sciar.datasets import embedding

    names = ("CCO", "C1CC1", "[O-]C(=O)C")
    alone = [embedding.embedded(molecule_from_smiles(s)) for s in names]
    store, other = embedding.ConformerStore(tmp_path), embedding.ConformerStore(tmp_path)
    first = embedding.embedded(molecule_from_smiles(names[0]), store=store)
    store.save()
    for name in names[1:]:
        embedding.embedded(molecule_from_smiles(name), store=other)
    other.put("impossible", np.zeros((0, 3)))
    other.save()
    calls: list[int] = []
    found = embedding._conformer
    monkeypatch.setattr(embedding, "_conformer", lambda *a: calls.append(1) or found(*a))
    again = embedding.ConformerStore(tmp_path)
    assert len(again.get("impossible")) == 0
    for name, expected in zip(names, alone, strict=True):
        made = embedding.embedded(molecule_from_smiles(name), store=again)
        np.testing.assert_array_equal(made.positions, expected.positions)
        assert made.symbols == expected.symbols and made.charge == expected.charge
        assert made.to_smiles() == expected.to_smiles()
    np.testing.assert_array_equal(first.positions, alone[0].positions)
    assert not calls
    embedding.embedded(molecule_from_smiles(names[0]), seed=5, store=again)
    assert calls == [1]
    again.path.write_bytes(b"damaged")
    assert embedding.ConformerStore(tmp_path).get("impossible") is None
