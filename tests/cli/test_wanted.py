"""``sciar oracle`` and ``sciar evaluate wanted``: from data to figures with bounds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sciar.cli import main
from sciar.datasets.writers import write
from sciar.oracle.folder import load_oracle
from sciar.records import Crystal, Molecule, Record


def molecules(path: Path, count: int, seed: int, asked: bool = False) -> str:
    """Records of C-O at different distances; with what each was asked for."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        length = float(rng.uniform(0.9, 1.6))
        name = "asked_bond" if asked else "bond"
        structure = Molecule(("C", "O"), np.array([[0.0, 0, 0], [length, 0, 0]]))
        made.append(Record(f"{path.stem}{i}", structure, {name: round(length, 4)}))
    write(made, path)
    return str(path)


def test_an_oracle_judges_samples_beside_its_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = molecules(tmp_path / "train.jsonl", 80, 0)
    out = str(tmp_path / "oracle")
    words = ["oracle", data, "--properties", "bond", "--out", out, "--steps", "60"]
    assert main([*words, "--hidden", "16", "--layers", "1", "--lr", "0.005"]) == 0
    assert "oracle of bond" in capsys.readouterr().out
    facts = load_oracle(out).facts
    assert facts["half"] == "second half" and 20 < int(str(facts["molecules"])) < 60

    samples = molecules(tmp_path / "samples.jsonl", 10, 1, asked=True)
    real = molecules(tmp_path / "real.jsonl", 30, 2)
    numbers = tmp_path / "n.json"
    words = ["evaluate", "wanted", samples, "--oracle", out, "--reference", real]
    assert main([*words, "--train", data, "--bootstrap", "0", "--json", str(numbers)]) == 0
    found = json.loads(numbers.read_text())
    assert found["summary"]["bond"]["mae"]["count"] == 10
    assert set(found["beside"]) == {"random", "atoms", "oracle"}
    bound = {k: v["bond"]["mae"]["mean"] for k, v in found["beside"].items()}
    assert bound["oracle"] < bound["random"]
    row = found["rows"][0]
    assert row["id"] == "samples0" and abs(row["obtained_bond"] - row["asked_bond"]) < 1
    told = capsys.readouterr().out
    assert "10 structures of 10 records" in told and "second half" in told


def test_density_is_computed(tmp_path: Path) -> None:
    salt = Crystal(
        5.6402 * np.eye(3), ("Na",) * 4 + ("Cl",) * 4, np.random.default_rng(0).random((8, 3))
    )
    write([Record("a", salt, {"asked_density": 2.0})], tmp_path / "s.jsonl")
    numbers = tmp_path / "n.json"
    words = ["evaluate", "wanted", str(tmp_path / "s.jsonl"), "--json", str(numbers)]
    assert main([*words, "--reference", "sample-crystals"]) == 0
    found = json.loads(numbers.read_text())
    assert found["summary"]["density"]["mae"]["mean"] == pytest.approx(0.163, abs=2e-3)
    assert found["beside"]["oracle"]["density"]["mae"]["mean"] == 0.0
    assert found["beside"]["random"]["density"]["mae"]["mean"] > 0.1


@pytest.mark.parametrize("case", ["nothing asked", "no oracle", "oracle elsewhere"])
def test_wrong_calls(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = molecules(tmp_path / "a.jsonl", 2, 0, asked=True)
    plain = molecules(tmp_path / "p.jsonl", 2, 0)
    words, message = {
        "nothing asked": (["wanted", plain], "asked_NAME"),
        "no oracle": (["wanted", asked], "sciar oracle makes one"),
        "oracle elsewhere": (["molecules", plain, "--oracle", "x"], "evaluate wanted"),
    }[case]
    assert main(["evaluate", *words]) == 2
    assert message in capsys.readouterr().err
