"""Binding pockets from files of complexes to scores: the model knows how to read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sciar.cli import main
from sciar.datasets.datamodule import StructureData
from sciar.datasets.preparing import divided
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.errors import RecordError
from sciar.folder import load_folder
from sciar.training import main as train

QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pockets")
    words = [
        "fit",
        "--config",
        "tiny-protein-pocket-octree",
        "--trainer.default_root_dir",
        str(root),
    ]
    train([*words, "--trainer.max_steps", "2", *QUIET])
    return root / "model"


@pytest.mark.filterwarnings("ignore")
def test_complexes_are_read_predicted_and_scored(model: Path, tmp_path: Path) -> None:
    assert load_folder(model).info["format"] == "calpha"
    complexes = tmp_path / "complexes"
    shutil.copytree(resolve("sample-pockets", "test"), complexes)
    (complexes / "bad.pdb").write_text("END\n", encoding="utf-8")
    records, _ = read_all(complexes, format="calpha")
    for name in ("p.csv", "p.jsonl"):
        out, numbers = tmp_path / name, tmp_path / f"{name}.json"
        words = ["predict", str(model), str(complexes), "--views", "3", "--out", str(out)]
        assert main(words) == 3
        scored = ["evaluate", "properties", str(out), "--reference", str(complexes)]
        assert (
            main([*scored, "--format", "calpha", "--json", str(numbers), "--bootstrap", "0"]) == 3
        )
        found = json.loads(numbers.read_text())["summary"]["pocket"]
        assert found["records"] == len(records) == 4  # one chain touches no ligand
        assert found["labelled"] == found["predicted"] == found["iou"]["of"] == 3
        assert found["atoms_labelled"] == found["atoms_predicted"] == 3 * 34
        assert found["roc_auc"]["count"] == 3 and 0 <= found["roc_auc"]["mean"] <= 1
    rows = {r["id"]: r for r in map(json.loads, (tmp_path / "p.jsonl").read_text().splitlines())}
    assert rows["bad"]["status"] == "failed" and "no protein chain" in rows["bad"]["message"]
    ious = []
    for record in records:
        assert len(rows[record.id]["pocket"]) == len(record.structure)
        assert rows[record.id]["atom_names"] == record.properties["atom_names"]
        if "pocket" in record.properties:
            said = np.array(rows[record.id]["pocket_p:yes"]) >= 0.5
            true = np.array(record.properties["pocket"]) == "yes"
            ious.append((said & true).sum() / (said | true).sum())
    assert found["iou"]["mean"] == pytest.approx(np.mean(ious))


def test_another_format_may_be_asked_for(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = str(resolve("sample-pockets", "test"))
    assert main(["predict", str(model), test, "--format", "heavy-atoms"]) == 1
    assert "'C' is not among the 21 kinds of points" in capsys.readouterr().out
    assert main(["tokenize", test, "--model", str(model)]) == 0
    assert "TYR" in capsys.readouterr().out
    assert main(["evaluate", "crystals", test, "--format", "calpha"]) == 2


def test_relatives_stay_in_one_part() -> None:
    folder = resolve("sample-pockets", "train")
    records, _ = read_all(folder, format="calpha")
    copies = [*records, *records[:4]]
    parts = [divided(copies, "sequence", part) for part in ("train", "val", "test")]
    held = [{r.properties["sequence"] for r in part} for part in parts]
    assert sum(map(len, parts)) == len(copies)
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    data = StructureData(
        [str(folder)], load_folder_tokenizer(), format="calpha:6", divide="sequence"
    )
    assert 0 < len(data.records("test")) < len(records)
    bare, _ = read_all(resolve("sample-molecules", "val"))
    with pytest.raises(RecordError, match="no sequence to split by"):
        divided(bare, "sequence", "train")


def load_folder_tokenizer():
    from sciar.datasets.formats.protein_points import RESIDUES
    from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer

    return OctreeMoleculeTokenizer(preset="protein", labels=RESIDUES, max_atoms=60)
