"""The table of property prediction: every method on one split, with counts and seeds."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield import_module("property_table")
    for name in ("property_table", "property_baselines"):
        sys.modules.pop(name, None)


def test_every_method_predicts_the_same_molecules(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["scratch", "graph", *(["ridge"] if find_spec("sklearn") else [])]
    words = ["--recipes", "tiny-moleculenet", "--sets", "qm8", "--seeds", "0", "1"]
    words += ["--steps", "2", "--epochs", "2", "--limit", "16", "--methods", *methods]
    out = tmp_path / "n.json"
    words += ["--cache", str(tmp_path / "cache"), "--json", str(out)]
    with pytest.raises(SystemExit):
        script.main(["--methods", "alchemy"])
    found = script.main(words)
    assert len(found) == 4 + (len(methods) == 3)
    for row in found:
        assert row["test_molecules"] > 0 and row["labelled"] == found[0]["labelled"]
        assert row["predicted"] == row["labelled"] and np.isfinite(row["mae"])
        assert row["mae"] <= row["rmse"] + 1e-9
    assert len(json.loads(out.read_text())["rows"]) == len(found)
    assert "AttentiveFP (PyG)" in capsys.readouterr().out
