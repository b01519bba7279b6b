"""``sciar generate --pxrd``: patterns guide, keep their ids, and bad ones are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import random_crystals, tiny_config, tiny_model

from sciar.cli import main
from sciar.datasets.readers import read_all
from sciar.datasets.writers import write
from sciar.folder import ModelFolder, save_folder
from sciar.records import Record
from sciar.tokenization.pattern import PatternTokenizer

ANGLES = np.linspace(8, 82, 700)
COUNTS = 1 + 100 * np.exp(-((ANGLES - 30) ** 2)) + 40 * np.exp(-((ANGLES - 51) ** 2))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = {
        "class_path": "sciar.tokenization.crystal.CrystalTokenizer",
        "init_args": {"max_atoms": 8, "cell": "as-given"},
    }
    grid = {"start": 10.0, "stop": 80.0, "points": 64}
    tokenizer = PatternTokenizer(base, grid=grid, width=16)
    tokenizer.fit_statistics(random_crystals(20))
    network = tiny_model(tokenizer, tiny_config(), shake=0.02)
    folder = tmp_path_factory.mktemp("models") / "guided"
    save_folder(folder, ModelFolder("guided", network, tokenizer, {"steps": 4}, {}, ""))
    return str(folder)


def pattern(path: Path, header: str = "") -> str:
    rows = (f"{a:.3f} {c:.3f}" for a, c in zip(ANGLES, COUNTS, strict=True))
    path.write_text(header + "\n".join(rows) + "\n")
    return str(path)


def test_one_pattern_guides_all_samples(model: str, tmp_path: Path) -> None:
    made = []
    for name in (pattern(tmp_path / "run.xy"), "none"):
        out = tmp_path / f"{Path(name).stem}.jsonl"
        words = ["generate", model, "--composition", "Na Cl", "-n", "3", "--pxrd", name, "--raw"]
        assert main([*words, "--out", str(out)]) in (0, 1, 3)
        made.append([r.structure.volume for r in read_all(out)[0]])  # type: ignore[union-attr]
    assert len(made[0]) == len(made[1]) == 3 and made[0] != made[1]


def test_several_patterns_keep_their_ids_and_bad_ones_their_place(
    model: str, tmp_path: Path
) -> None:
    good = {"two_theta": ANGLES.tolist(), "intensity": COUNTS.tolist()}
    rows = [
        {"id": "a", **good},
        {"id": "b", "two_theta": [1], "intensity": [2]},
        {"id": "c", **good},
    ]
    file, numbers = tmp_path / "many.jsonl", tmp_path / "n.json"
    file.write_text("\n".join(map(json.dumps, rows)))
    words = ["generate", model, "--composition", "Na Cl", "--pxrd", str(file), "--raw"]
    assert main([*words, "--json", str(numbers), "--out", str(tmp_path / "o.jsonl")]) == 3
    found = json.loads(numbers.read_text())["samples"]
    assert [s["input"] for s in found] == ["a", "b", "c"]
    assert "many.jsonl, record b" in found[1]["message"] and found[1]["status"] == "failed"


def test_records_bring_patterns_of_their_own(model: str, tmp_path: Path) -> None:
    file = tmp_path / "in.cif"
    write([Record(f"c{i}", c) for i, c in enumerate(random_crystals(3))], file)
    words = ["generate", model, "--input", str(file), "--raw"]
    guided, blind = tmp_path / "guided.jsonl", tmp_path / "blind.jsonl"
    assert main([*words, "--out", str(guided)]) in (0, 1, 3)
    assert main([*words, "--pxrd", "none", "--out", str(blind)]) in (0, 1, 3)
    assert guided.read_text() != blind.read_text()


def test_what_is_wrong_is_said(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["generate", model, "--composition", "Na Cl", "--pxrd"]
    wrong = pattern(tmp_path / "q.xy", "# q (1/A) counts\n")
    assert main([*asked, wrong]) == 2
    assert main([*asked, str(tmp_path / "none.xy")]) == 2
    assert (
        main(["generate", "csp", "--composition", "C", "--pxrd", pattern(tmp_path / "a.xy")]) == 2
    )
    told = capsys.readouterr().err
    assert "q.xy" in told and "momentum transfer" in told
    assert "no such file" in told and "leave out pxrd" in told
