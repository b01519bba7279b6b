"""Every option of ``sciar generate`` reaches the sampler or the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sciar.cli import main
from sciar.datasets.readers import read_all


def test_sampling_options_are_those_of_the_run(tmp_path: Path) -> None:
    numbers, out = tmp_path / "n.json", tmp_path / "a.extxyz"
    options = {
        "seed": 7, "batch-size": 2, "steps": 6, "temperature": 0.7, "top-p": 0.9, "retries": 9,
        "elements": "Li,O", "max-atoms": 5, "device": "cpu", "out": out, "json": numbers,
    }  # fmt: skip
    words = ["generate", "denovo", "-n", "3", "--logp"]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    assert main(words) in (0, 3)
    content = json.loads(numbers.read_text())
    settings, counts = content["settings"], content["counts"]
    wanted = {"seed": 7, "batch_size": 2, "temperature": 0.7, "top_p": 0.9, "retries": 9}
    assert {k: settings[k] for k in wanted} == wanted
    assert settings["payload"]["steps"] == 6 and settings["score"] is True
    assert counts["requested"] == 3 and not content["interrupted"]
    kept = [row for row in content["samples"] if row["status"] == "ok"]
    assert kept and all(row["logp"] is not None for row in kept)
    records = read_all(out)[0]
    assert len(records) == len(kept)
    for record in records:
        assert set(record.structure.species) == {"Li", "O"}  # type: ignore[union-attr]
        assert len(record.structure) <= 5


def test_conformers_of_one_smiles(tmp_path: Path) -> None:
    numbers, out = tmp_path / "n.json", tmp_path / "a.sdf"
    words = ["generate", "conformer", "--smiles", "CCO", "-n", "3", "--retries", "5"]
    assert main([*words, "--out", str(out), "--json", str(numbers)]) in (0, 1, 3)
    rows = json.loads(numbers.read_text())["samples"]
    assert [row["id"].rpartition("_")[2] for row in rows] == ["0", "1", "2"]
    kept = sum(row["status"] == "ok" for row in rows)
    assert (len(read_all(out)[0]) if out.exists() else 0) == kept


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("[13CH4]", "isotope"),
        ("O[Cl+3]([O-])([O-])[O-]", "'[Cl+3]' is not in this model's vocabulary"),
        ("C1CC(", "C1CC("),
        ("C" * 40, "at most 30"),
    ],
)
def test_a_smiles_that_cannot_be_expressed(
    smiles: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "conformer", "--smiles", smiles]) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
