"""``sciar invert``: programs out, bad files reported; the job resumes to the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from observed_models import PATTERN, api_model, pictures, tokenizer
from PIL import Image

from sciar.cli import main
from sciar.datasets.makers.dots import DotMaker
from sciar.datasets.makers.haadf import HaadfMaker
from sciar.datasets.makers.pxrd import PxrdMaker
from sciar.datasets.readers import read_all
from sciar.jobs.table import read_rows
from sciar.tokenization.programs.language import load_language
from sciar.tokenization.programs.text import read_program

DOTS = DotMaker(size=16, radius=2.0, cells=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model of dots, with its simulator."""
    made = tokenizer("dots", max_calls=2)
    return str(api_model(made, DOTS).save(tmp_path_factory.mktemp("model") / "dots"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, one of them of another size, and a file that is none."""
    place = tmp_path / "images"
    place.mkdir()
    for i, picture in enumerate(pictures(DOTS, "train", 2)):
        Image.fromarray(picture.image).save(place / f"a{i}.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "b.png")
    (place / "c.png").write_bytes(b"no image")
    return place


def test_one_image(model: str, folder: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "scene.json", tmp_path / "page.html"
    words = ["invert", str(folder / "a0.png"), "--model", model, "--out", str(out)]
    assert main([*words, "--report", str(page), "--samples", "3", "--verify"]) == 0
    (row,) = json.loads(out.read_text(encoding="utf-8"))
    assert row["id"] == "a0" and row["status"] == "ok" and len(row["residuals"]) == 3
    assert row["residual"] <= row["unrefined"] == min(row["residuals"])
    read_program(row["program"], load_language("dots"))
    for call in row["calls"]:
        low, high = call["intervals"]["x"][0]
        assert 0 <= low <= high <= 1
    assert "<svg" in page.read_text(encoding="utf-8")


def test_bad_images_are_reported_and_the_others_are_there(
    model: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scenes.jsonl"
    assert main(["invert", str(folder), "--model", model, "--out", str(out)]) == 3
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [r["id"] for r in rows] == ["a0", "a1", "b", "c"]
    assert [r["status"] for r in rows] == ["ok", "ok", "failed", "failed"]
    told = capsys.readouterr().out
    assert "described 2, failed 2" in told
    assert "record b" in told and "is gray; this model reads RGB" in told
    assert "c.png" in told and "no readable image" in told
    assert main(["invert", str(folder), "--model", model, "--out", str(out), "--fit"]) == 3
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert "constant" in rows[2]["message"]


def test_a_job_resumes_to_the_same_bytes(model: str, folder: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    words = ["invert", str(folder), "--model", model, "--shard-size", "2", "--verify"]
    assert main([*words, "--out", str(whole)]) == 3
    shutil.copytree(whole, cut)
    parts = sorted(p.name for p in whole.glob("part-*.parquet"))
    assert len(parts) == 2
    (cut / parts[1]).unlink()
    assert main([*words, "--out", str(cut), "--resume"]) == 3
    for name in parts:
        assert (whole / name).read_bytes() == (cut / name).read_bytes()
    rows = list(read_rows(whole))
    assert {r.task for r in rows} == {"program", "calls", "residual"} and len(rows) == 12
    good = [r for r in rows if r.status == "ok"]
    assert {r.id for r in good} == {"a0", "a1"}
    for row in good:
        if row.task == "program":
            read_program(row.value, load_language("dots"))
    assert main([*words, "--out", str(cut), "--resume", "--seed", "5"]) == 2


def test_micrographs_become_points_and_patterns_crystals(tmp_path: Path) -> None:
    haadf = HaadfMaker(size=16)
    frame = {"kind": "image", "size": [16, 16], "channels": 1, "patch": 4, "scale": "range"}
    made = tokenizer("micrograph", frame)
    model = str(api_model(made, haadf).save(tmp_path / "stem"))
    stack = np.stack([p.image[..., 0] for p in pictures(haadf, "train", 3)]).astype(np.uint16)
    np.savez(tmp_path / "stack.npz", images=stack)
    out = tmp_path / "columns.extxyz"
    code = main(["invert", str(tmp_path / "stack.npz"), "--model", model, "--out", str(out)])
    assert code in (0, 1, 3)  # an untrained model may place no columns
    pxrd = PxrdMaker(grid=PATTERN["grid"], atoms=True)
    model = str(api_model(tokenizer("crystal", PATTERN), pxrd).save(tmp_path / "pxrd"))
    lines = ["two_theta,intensity", *(f"{t},{1 + 9 * (t == 40)}" for t in range(10, 90))]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    words = ["invert", str(tmp_path / "a.csv"), "--model", model, "--out", str(tmp_path / "x.sdf")]
    assert main(words) == 2
    out = tmp_path / "cells.cif"
    code = main(["invert", str(tmp_path / "a.csv"), "--model", model, "--out", str(out)])
    if code == 0:
        assert len(read_all(out)[0]) == 1
    words = ["invert", str(tmp_path / "a.csv"), "--model", model, "--out", str(tmp_path / "x.txt")]
    assert main([*words, "--samples", "2", "--verify", "--refine", "2"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "2"], "told apart by verify"),
        (["--level", "1.5"], "between 0 and 1"),
        (["--resume", "--out", "x.json"], "give --out a folder"),
        (["--out", "x.cif"], "programs of dots describe no structures"),
        (["--out", "job", "--report", "x.html"], "writes no report"),
    ],
)
def test_wrong_usage(
    words: list[str], message: str, model: str, folder: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["invert", str(folder / "a0.png"), "--model", model, *words]) == 2
    assert message in capsys.readouterr().err


def test_a_model_without_a_simulator(folder: Path, tmp_path: Path, capsys: Any) -> None:
    model = str(api_model(tokenizer("dots")).save(tmp_path / "bare"))
    words = ["invert", str(folder / "a0.png"), "--model", model]
    assert main(words) == 0
    assert main([*words, "--verify"]) == 1
    assert "names no simulator" in capsys.readouterr().err
    assert main(["invert", str(tmp_path), "--model", model]) == 2
    assert "holds no files of .png" in capsys.readouterr().err
