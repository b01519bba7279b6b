"""``sciar generate --keep`` and ``sciar evaluate``: raw and chosen figures stand apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sciar.cli import main
from sciar.datasets.readers import read_all

SAMPLES = 10


def evaluate(path: Path) -> dict[str, Any]:
    numbers = path.parent / "metrics.json"
    words = ["evaluate", "crystals", str(path), "--task", "denovo", "--train", "sample-crystals"]
    assert main([*words, "--bootstrap", "0", "--json", str(numbers)]) in (0, 3)
    found: dict[str, Any] = json.loads(numbers.read_text())
    return found


@pytest.mark.parametrize("name", ["a.extxyz", "a.jsonl", "a.csv", "a.cif"])
def test_all_samples_are_written_with_their_rank(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plain = tmp_path / name, tmp_path / f"plain-{name}"
    asked = ["generate", "denovo", "-n", str(SAMPLES), "--raw"]
    assert main([*asked, "--keep", "0.2", "--out", str(out)]) in (0, 3)
    told = capsys.readouterr()
    assert "ranked by the log-likelihood of symbols, <lattice>, <site>" in told.err
    assert f"chosen by likelihood: 2 of {SAMPLES}" in told.out
    assert main([*asked, "--out", str(plain)]) in (0, 3)
    records, before = read_all(out)[0], read_all(plain)[0]
    assert [r.id for r in records] == [r.id for r in before]  # the step chooses, it draws nothing
    ranks = [r.properties["rank"] for r in records]
    assert sorted(ranks) == list(range(1, len(records) + 1))
    best = {r.id for r in records if r.properties["chosen"] == 1}
    assert best == {r.id for r in records if r.properties["rank"] <= 2}
    each = {r.id: float(r.properties["logp"]) / len(r.structure) for r in records}
    assert min(each[i] for i in best) >= max(v for i, v in each.items() if i not in best)


def test_figures_of_all_and_of_the_chosen_are_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.jsonl"
    main(["generate", "denovo", "-n", str(SAMPLES), "--raw", "--keep", "0.3", "--out", str(out)])
    capsys.readouterr()
    found = evaluate(out)
    told = capsys.readouterr().out
    assert told.index("raw samples") < told.index("chosen by likelihood, apart")
    assert found["summary"]["structures"] == SAMPLES
    assert found["chosen"]["samples"]["chosen"] == found["chosen"]["summary"]["structures"] == 3
    assert found["samples"]["selection"] == "raw"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--keep", "0"], "share of samples"),
        (["--keep", "0.5", "--out", "x.vasp"], "no place for the status"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "denovo", *words]) == 2
    assert message in capsys.readouterr().err
