"""``sciar predict MODEL FILE``: one row a record, errors in their place, views and exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from property_models import MOLECULES, crystal_properties, labelled_crystals, property_folder

import sciar
from sciar.api.model import Model
from sciar.cli import main
from sciar.datasets.formats.protein_points import RESIDUES
from sciar.datasets.writers import write
from sciar.folder import save_folder
from sciar.records import Molecule, Record
from sciar.tokenization.property import PropertyTokenizer


@pytest.fixture(scope="module")
def crystal_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "crystals"
    save_folder(folder, property_folder(crystal_properties()))
    return folder


@pytest.fixture(scope="module")
def molecule_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "molecules"
    asked: list[Any] = ["logS", {"name": "toxic", "classes": [0, 1]}]
    save_folder(folder, property_folder(PropertyTokenizer(MOLECULES, asked)))
    return folder


def predict(model: Path, file: Path, out: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["predict", str(model), str(file), "--out", str(out), *more])
    if out.suffix == ".csv":
        with out.open(newline="") as stream:
            return code, list(csv.DictReader(stream))
    return code, [json.loads(line) for line in out.read_text().splitlines()]


def test_errors_stay_in_their_place(molecule_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "molecules.csv"
    table.write_text("id,smiles,logS\na,CCO,1\nb,C1CC(,2\nc,c1ccccc1,x\nd,[13CH4],1\n")
    code, rows = predict(molecule_model, table, tmp_path / "out.csv")
    assert code == 3 and [r["id"] for r in rows] == ["a", "b", "c", "d"]
    assert [r["status"] for r in rows] == ["ok", "failed", "ok", "failed"]
    for row in rows:
        if row["status"] == "ok":
            assert np.isfinite(float(row["logS"])) and float(row["logS_sd"]) > 0
            shares = [float(row["toxic_p:0"]), float(row["toxic_p:1"])]
            assert sum(shares) == pytest.approx(1) and row["toxic"] == str(np.argmax(shares))
        else:
            assert row["logS"] == "" and row["message"]
    assert "molecules.csv, record b" in rows[1]["message"]


def test_no_record_and_none_good(
    molecule_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.smi"
    bad.write_text("C1CC( x\n")
    assert predict(molecule_model, bad, tmp_path / "out.jsonl")[0] == 1
    assert main(["predict", str(molecule_model), str(tmp_path / "none.sdf")]) == 2
    assert main(["predict", str(molecule_model), str(bad), "--out", "x.sdf"]) == 2
    assert main(["predict", "csp", str(bad)]) == 2
    told = capsys.readouterr().err
    assert "no such file" in told and ".csv or .jsonl" in told and "makes structures" in told
    assert main(["generate", str(molecule_model), "-n", "1"]) == 2
    assert "sciar predict" in capsys.readouterr().err


def test_batches_change_nothing_and_atoms_keep_their_order(
    crystal_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "crystals.cif"
    write(labelled_crystals(7), file)
    code, rows = predict(crystal_model, file, tmp_path / "a.jsonl", "--batch-tokens", "1")
    again = predict(crystal_model, file, tmp_path / "b.jsonl", "--batch-tokens", "5000")[1]
    assert code == 0 and len(rows) == len(again) == 7
    for one, two, record in zip(rows, again, labelled_crystals(7), strict=True):
        assert one["id"] == two["id"] == record.id and one["metal"] == two["metal"]
        assert one["volume"] == pytest.approx(two["volume"], rel=1e-4)
        assert len(one["site"]) == len(one["charge"]) == len(record.structure)
        np.testing.assert_allclose(one["charge"], two["charge"], rtol=1e-3, atol=1e-4)


def test_views_are_averaged_and_their_spread_reported(molecule_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.smi"
    file.write_text("CCO ethanol\nCC(=O)Nc1ccc(O)cc1 paracetamol\n")
    _, plain = predict(molecule_model, file, tmp_path / "plain.jsonl")
    code, rows = predict(molecule_model, file, tmp_path / "v.jsonl", "--views", "6", "--seed", "2")
    assert code == 0 and "logS_spread" not in plain[0]
    model = sciar.load(molecule_model)
    from sciar.datasets.readers import read

    (one, two) = model.predict(read(file), views=6, seed=2, batch_tokens=30)
    assert one.views == two.views == 6
    assert rows[1]["logS"] == pytest.approx(two.values["logS"], rel=1e-4)
    assert rows[1]["logS_spread"] == pytest.approx(two.spread["logS"], rel=1e-3, abs=1e-6)
    assert rows[1]["logS_spread"] > 0 and rows[1]["toxic_spread"] >= 0


def test_a_molecule_of_another_kind_is_one_failed_row(crystal_model: Path) -> None:
    molecule = Record("m", Molecule(("C",), np.zeros((1, 3))), {}, "m.xyz", 0)
    found = list(sciar.load(crystal_model).predict([molecule, labelled_crystals(1)[0]]))
    assert [p.status for p in found] == ["failed", "ok"] and "molecules" in found[0].message


def test_help_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--help"]) == 0
    assert "--views" in capsys.readouterr().out
    assert main(["predict"]) == 2


def test_predictions_are_scored_against_labels(
    molecule_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out, numbers = (tmp_path / n for n in ("m.csv", "p.csv", "n.json"))
    table.write_text("id,smiles,logS,toxic\na,CCO,1,0\nb,C1CC(,2,1\nc,CCN,,1\nd,CCC,3,1\n")
    assert predict(molecule_model, table, out)[0] == 3
    words = ["evaluate", "properties", str(out), "--bootstrap", "0", "--json", str(numbers)]
    assert main([*words, "--reference", str(table)]) == 3
    summary = json.loads(numbers.read_text())["summary"]
    assert summary["logS"]["records"] == 3  # b cannot be read, so it has no label either
    assert summary["logS"]["labelled"] == summary["logS"]["predicted"] == 2
    assert summary["toxic"]["labelled"] == 3 and summary["toxic"]["accuracy"]["of"] == 3
    with out.open(newline="") as stream:
        rows = {r["id"]: r for r in csv.DictReader(stream)}
    wanted = np.mean([abs(float(rows["a"]["logS"]) - 1), abs(float(rows["d"]["logS"]) - 3)])
    assert summary["logS"]["mae"]["mean"] == pytest.approx(wanted)
    other = tmp_path / "other.csv"
    other.write_text("id,smiles,logS\nz,CCO,1\n")
    assert main([*words, "--reference", str(other)]) == 2
    other.write_text("id,smiles,colour\na,CCO,1\n")
    assert main([*words, "--reference", str(other)]) == 2
    other.write_text("id,smiles,logS\na,CCO,high\n")
    assert main([*words, "--reference", str(other)]) == 2
    assert main(words) == 2
    told = capsys.readouterr().err
    for part in (
        "no id in common",
        "no record has a property",
        "'high' is no number",
        "--reference",
    ):
        assert part in told


def test_several_classes_are_scored_apart_and_together(tmp_path: Path) -> None:
    """Twelve assays of which many are missing: each target has its own counts."""
    rows = ["id,smiles,a,b,c", "1,CCO,1,0,", "2,CCN,0,,", "3,CCC,1,1,1", "4,CC,0,1,1"]
    table, out, numbers = (tmp_path / n for n in ("t.csv", "p.jsonl", "n.json"))
    table.write_text("\n".join(rows) + "\n")
    shares = {"a": [0.9, 0.2, 0.3, 0.4], "b": [0.1, 0.1, 0.8, 0.7], "c": [0.1, 0.2, 0.3, 0.4]}
    lines = []
    for i in range(4):
        row: dict[str, Any] = {"id": str(i + 1), "status": "ok", "message": ""}
        for name, p in shares.items():
            row |= {name: str(int(p[i] >= 0.5)), f"{name}_p:0": 1 - p[i], f"{name}_p:1": p[i]}
        lines.append(json.dumps(row))
    out.write_text("\n".join(lines) + "\n")
    words = ["evaluate", "properties", str(out), "--reference", str(table), "--bootstrap", "0"]
    assert main([*words, "--json", str(numbers)]) == 0
    found = json.loads(numbers.read_text())["summary"]
    assert [found[n]["labelled"] for n in "abc"] == [4, 3, 2]
    assert [found[n]["of_class_1"] for n in "abc"] == [2, 2, 2]
    assert [found[n]["roc_auc"] for n in "abc"] == [0.75, 1.0, None]
    over = found["mean_over_targets"]["roc_auc"]
    assert (over["mean"], over["count"], over["of"]) == (0.875, 2, 3)
    table.write_text("id,smiles,a,split\n1,CCO,1,train\n2,CCN,0,test\n3,CCC,1,test\n4,CC,0,val\n")
    assert main([*words, "--divide", "column:split", "--json", str(numbers)]) == 0
    part = json.loads(numbers.read_text())["summary"]["a"]
    assert (part["records"], part["labelled"], part["roc_auc"]) == (2, 2, 1.0)
    assert main(["evaluate", "molecules", str(table), "--divide", "scaffold"]) == 2


def test_views_of_atoms_come_back_in_order() -> None:
    """Each augmented octree orders its atoms in another way; averages are over the same atom."""
    base = {
        "class_path": "sciar.tokenization.octree_molecule.OctreeMoleculeTokenizer",
        "init_args": {"max_atoms": 30, "preset": "drug", "rotation": 1.0},
    }
    tokenizer = PropertyTokenizer(base, [{"name": "q", "each": "atom"}])
    content = property_folder(tokenizer, axes=3)
    rng = np.random.default_rng(0)
    molecule = Molecule(tuple("CNOCFC"), rng.normal(size=(6, 3)) * 2)
    turned = Molecule(molecule.symbols[::-1], molecule.positions[::-1])  # type: ignore[index]
    one, two = (
        next(Model(content).predict([Record("m", m)], views=4, seed=1)) for m in (molecule, turned)
    )
    np.testing.assert_allclose(one.values["q"], two.values["q"][::-1], rtol=1e-3, atol=1e-4)
    assert len(one.spread["q"]) == 6 and max(one.spread["q"]) > 0


def test_a_pocket_is_a_class_for_each_residue() -> None:
    """C-alpha atoms as labelled points: missing labels are allowed, every residue is answered."""
    base = {
        "class_path": "sciar.tokenization.octree_molecule.OctreeMoleculeTokenizer",
        "init_args": {"max_atoms": 80, "preset": "protein", "labels": list(RESIDUES)},
    }
    target = {"name": "pocket", "classes": ["no", "yes"], "each": "atom"}
    tokenizer = PropertyTokenizer(base, [target])
    rng = np.random.default_rng(2)
    chain = np.cumsum(rng.normal(size=(40, 3)) * 2.2, axis=0)
    labels = ["yes" if i % 7 == 0 else None if i % 5 == 0 else "no" for i in range(40)]
    protein = Molecule(tuple(rng.choice(RESIDUES, 40)), chain)
    record = Record("p", protein, {"pocket": labels})
    sequence = tokenizer.encode(tokenizer.subject(record))
    assert sequence.weights.sum() == sum(label is not None for label in labels)
    found = next(Model(property_folder(tokenizer, axes=3)).predict([record]))
    assert len(found.values["pocket"]) == 40 and set(found.values["pocket"]) <= {"no", "yes"}
    shares = np.array([found.probabilities["pocket"][c] for c in ("no", "yes")])
    np.testing.assert_allclose(shares.sum(0), 1, rtol=1e-5)
    assert np.ptp(shares[1]) > 0
