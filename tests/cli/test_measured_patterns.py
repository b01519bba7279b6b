"""scripts/measured_patterns.py: measured patterns guide a model, beside none and another."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from property_models import crystal_properties, property_folder
from tiny_models import random_crystals, tiny_config, tiny_model

from sciar.api.model import Model
from sciar.errors import UsageError
from sciar.folder import ModelFolder, save_folder
from sciar.tokenization.diffraction import PatternGrid, peaks_of
from sciar.tokenization.pattern import PatternTokenizer

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measured_patterns.py"
GRID = {"start": 10.0, "stop": 60.0, "points": 128}
PHASES = [
    {"ids": ["lead*"], "sample": "CsPbBr3", "ask": "Cs1 Pb1 Br3"},
    {"ids": ["tin"], "sample": "CsSnI3", "ask": "Cs1 Sn1 I3"},
    {"ids": ["large"], "sample": "Cs3Bi2Br9", "ask": "Cs3 Bi2 Br9"},
]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measured_patterns", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def content() -> ModelFolder:
    base = {
        "class_path": "sciar.tokenization.crystal.CrystalTokenizer",
        "init_args": {"task": "csp", "max_atoms": 8, "cell": "as-given"},
    }
    tokenizer = PatternTokenizer(base, grid=GRID, width=16)
    tokenizer.fit_statistics(random_crystals(20))
    network = tiny_model(tokenizer, tiny_config(), shake=0.02)
    return ModelFolder("guided", network, tokenizer, {"steps": 4}, {}, "")


@pytest.fixture()
def measured(script: ModuleType, tmp_path: Path) -> Path:
    """Profiles of cubic perovskites with noise on a background, as a diffractometer writes them."""
    grid, rng = PatternGrid(**GRID), np.random.default_rng(0)
    edges = {"lead_1": ("Pb", "Br", 5.88), "tin": ("Sn", "I", 6.2), "large": ("Pb", "I", 6.3),
             "mixture": ("Pb", "I", 6.0), "lead_2": ("Pb", "Br", 5.9)}  # fmt: skip
    rows = []
    for name, (b, x, edge) in edges.items():
        peaks = peaks_of(script.perovskite({"Cs": 1, b: 1, x: 3}, edge), grid)
        angles = np.arange(5, 59, 0.04)
        counts = 200 - 2 * angles + 5 * rng.random(len(angles))
        for angle, height in zip(peaks.two_theta, peaks.intensity, strict=True):
            counts = counts + 50 * height * np.exp(-(((angles - angle) / 0.12) ** 2))
        rows.append({"id": name, "two_theta": angles.tolist(), "intensity": counts.tolist()})
    rows.append({"id": "short", "two_theta": [5, 6, 7], "intensity": [1, 2, 1]})
    rows[-1]["id"] = "lead_short"
    rows.append({"id": "broken", "intensity": [1]})
    path = tmp_path / "measured.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


def test_each_pattern_is_compared_in_all_ways(
    script: ModuleType, content: ModelFolder, measured: Path
) -> None:
    found, rows = script.check(Model(content), measured, PHASES, n=2, seed=1)
    assert [r["id"] for r in rows] == ["lead_1", "tin", "lead_2"]
    assert found["patterns"] == {
        "in_the_file": 7, "unreadable": 1, "of_no_single_known_compound": 1,
        "outside_the_range_of_the_model": 1, "asked_about": 4, "too_many_atoms_for_the_model": 1,
    }  # fmt: skip
    for row, edge in zip(rows, (5.88, 6.2, 5.9), strict=True):
        assert row["cubic_edge"] == pytest.approx(edge, abs=0.03) and row["cubic"] > 0.9
    for way in script.WAYS:
        assert found[way]["decoded"]["of"] == 6
        assert found[way]["agreement"]["count"] == sum(r[way] is not None for r in rows)
        known = [r[way] for r in rows if r[way] is not None]
        assert all(r[f"{way}_best"] >= r[way] for r in rows if r[way] is not None)
        assert not known or found[way]["agreement"]["mean"] == pytest.approx(np.mean(known))
    assert any(r["guided"] != r["without"] for r in rows)
    again, _ = script.check(Model(content), measured, PHASES, n=2, seed=1, limit=1)
    assert again["asked_now"] == 1


def test_the_command_prints_and_writes(
    script: ModuleType, content: ModelFolder, measured: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder, phases, out = tmp_path / "model", tmp_path / "phases.yaml", tmp_path / "out.json"
    save_folder(folder, content)
    phases.write_text(json.dumps(PHASES), encoding="utf-8")
    words = ["measured_patterns.py", str(folder), str(measured), "--phases", str(phases)]
    monkeypatch.setattr(sys, "argv", [*words, "--n", "1", "--json", str(out)])
    script.main()
    told = capsys.readouterr().out
    assert "guided / agreement" in told and "guided above without" in told
    assert [r["id"] for r in json.loads(out.read_text())["rows"]] == ["lead_1", "tin", "lead_2"]


def test_models_and_files_that_do_not_fit_are_refused(
    script: ModuleType, content: ModelFolder, measured: Path
) -> None:
    with pytest.raises(UsageError, match="not guided"):
        script.check(Model(property_folder(crystal_properties())), measured, PHASES, 1, 0)
    with pytest.raises(UsageError, match="none of the patterns"):
        script.check(Model(content), measured, PHASES[2:], 1, 0)


@pytest.mark.shared
def test_the_shared_patterns_are_known(script: ModuleType, shared_data: Path) -> None:
    import yaml

    phases = yaml.safe_load(SCRIPT.with_suffix(".yaml").read_text(encoding="utf-8"))
    path = shared_data / "xrd" / "perovskite_thinfilm" / "records.jsonl.gz"
    items, counts = script.known_patterns(path, phases, PatternGrid(10, 90, 512))
    assert counts["in_the_file"] == 81 and counts["asked_about"] == len(items) == 22
    (pattern,) = (p for p, phase in items if phase["sample"] == "CH3NH3PbBr3")
    grid = PatternGrid(10, 90, 512)
    fits = [(grid.agreement(pattern, peaks), edge)
            for edge, peaks in script.template_peaks("Cs1 Pb1 Br3", grid)]  # fmt: skip
    # Bragg's law from the strongest peak, (100) at 14.96 degrees.
    assert max(fits)[1] == pytest.approx(1.5406 / 2 / np.sin(np.radians(14.96 / 2)), abs=0.06)
