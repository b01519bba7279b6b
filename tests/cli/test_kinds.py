"""Models that make several kinds of structures, and what decides which."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from sciar.cli import main
from sciar.datasets.readers import read_all
from sciar.records import kind_of


def made(*words: str) -> int:
    return main(["generate", "unified", "-n", "3", "--retries", "9", *words])


@pytest.mark.parametrize("kind", ["crystals", "molecules"])
def test_a_kind_is_a_kind_kept(kind: str, tmp_path: Path) -> None:
    assert made("--kind", kind, "--out", str(tmp_path / "a.jsonl")) in (0, 3)
    records, _ = read_all(tmp_path / "a.jsonl")
    assert records and {kind_of(r.structure) for r in records} == {kind}


def test_a_folder_takes_the_format_of_each_structure(tmp_path: Path) -> None:
    for kind, suffix in (("crystals", ".cif"), ("molecules", ".sdf")):
        assert made("--kind", kind, "--out", str(tmp_path / kind)) in (0, 3)
        assert {p.suffix for p in (tmp_path / kind).iterdir()} == {suffix}


def test_a_table_has_the_columns_of_the_kind(tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    made("--kind", "molecules", "--max-atoms", "2", "--out", str(out))
    with out.open() as stream:
        assert list(next(csv.DictReader(stream)))[:2] == ["id", "smiles"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["unified"], "kind: crystals or molecules"),
        (["unified", "--kind", "proteins"], "kind: crystals or molecules"),
        (["unified", "--kind", "molecules", "--out", "x.cif"], "holds crystals"),
        (["unified", "--smiles", "C", "--kind", "crystals"], "leave out smiles"),
        (["csp", "--composition", "C", "--kind", "molecules"], "leave out kind"),
        (["csp", "--smiles", "C"], "makes crystals and takes composition"),
        (["conformer", "--composition", "C"], "makes molecules and takes smiles"),
        (["denovo", "--max-atoms", "3", "--conditions.max_atoms", "4"], "given twice"),
        (["denovo", "--conditions.warmth", "4"], "leave out warmth"),
    ],
)
def test_what_a_model_does_not_take(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_only_kind_may_be_named(tmp_path: Path) -> None:
    words = ["csp", "--composition", "Na2 Cl2", "--kind", "crystals", "--retries", "9"]
    assert main(["generate", *words, "--out", str(tmp_path / "a.cif")]) == 0


def test_conditions_by_name(tmp_path: Path) -> None:
    words = ["generate", "denovo", "-n", "4", "--retries", "9", "--conditions.max_atoms", "2"]
    assert main([*words, "--out", str(tmp_path / "a.jsonl")]) in (0, 3)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    sizes = [row["natoms"] for row in rows if "natoms" in row]
    assert sizes and max(sizes) <= 2
