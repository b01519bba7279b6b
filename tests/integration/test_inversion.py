"""From a recipe to programs of new observations, as a user goes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import sciar
from sciar.cli import main
from sciar.datasets.makers.registry import maker_of
from sciar.datasets.makers.shards import Job
from sciar.training import recipes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
    pytest.mark.filterwarnings("ignore:.*add_instantiator"),
    pytest.mark.filterwarnings("ignore:.*JsonargparseDeprecationWarning"),
]


def fitted(recipe: str, folder: Path, *options: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(
            ["fit", "--config", recipe, "--trainer.max_steps", "3", "--trainer.accelerator", "cpu",
             "--trainer.enable_progress_bar", "false", "--trainer.default_root_dir", str(folder),
             *options]
        )  # fmt: skip
    assert code == 0
    return folder / "model"


def test_fit_then_invert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = fitted("tiny-dots", tmp_path / "run")
    facts = sciar.load(model).info["simulator"]
    picture = Job(maker_of(facts["maker"], facts["options"]), "extrapolation", 1).picture(0)
    Image.fromarray(picture.image).save(tmp_path / "dot.png")
    out = tmp_path / "dot.json"
    words = ["invert", str(tmp_path / "dot.png"), "--model", str(model), "--out", str(out)]
    assert main([*words, "--samples", "4", "--verify"]) == 0
    (row,) = json.loads(out.read_text(encoding="utf-8"))
    assert len(row["residuals"]) == 4 and row["residual"] <= min(row["residuals"])
    assert main(["predict", "--config", "tiny-dots", "--trainer.accelerator", "cpu",
                 "--data.limit", "3", "--trainer.enable_progress_bar", "false"]) == 0  # fmt: skip
    told = [json.loads(x) for x in capsys.readouterr().out.splitlines() if x.startswith('{"id"')]
    assert [r["id"] for r in told] == ["picture-0", "picture-1", "picture-2"]
    assert all(np.isfinite(r["loss"]) for r in told)


def test_an_encoder_is_frozen_in_another_run(tmp_path: Path) -> None:
    first = fitted("tiny-dots", tmp_path / "first")
    content = yaml.safe_load(recipes()["tiny-dots"].read_text(encoding="utf-8"))
    options = content["model"]["model"]["inputs"]["<image>"]["options"]
    options |= {"weights": str(first), "train": "frozen", "cache": str(tmp_path / "vectors")}
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    second = fitted(str(own), tmp_path / "second", "--model.seed=5")
    states: list[dict[str, Any]] = [sciar.load(m).network.state_dict() for m in (first, second)]
    names = [n for n in states[0] if ".encoder." in n]
    assert names
    for name in names:
        # averages of equal weights are equal up to rounding
        torch.testing.assert_close(states[0][name], states[1][name], atol=1e-6, rtol=1e-5)
    other = [n for n in states[0] if "words" in n]
    assert any((states[0][n] != states[1][n]).any() for n in other)
    options = sciar.load(second).network.config.inputs["<image>"].options
    assert options["train"] == "frozen" and not {"weights", "cache"} & set(options)
