"""``sciar generate --raw``: all samples reach the metrics, and raw is never mixed with filtered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sciar.cli import main
from sciar.datasets.readers import read_all
from sciar.records import Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.cursor import Request
from sciar.tokenization.molecule import MoleculeTokenizer

SAMPLES = 12


def refuses(structure: Structure) -> bool:
    """A check that depends on nothing but the structure."""
    positions = getattr(structure, "positions", None)
    total = float(positions.sum()) if positions is not None else structure.volume  # type: ignore[union-attr]
    return int(total * 1e4) % 3 == 0


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(self: LayoutTokenizer, structure: Structure, request: Request) -> str:
        return "refused by the test" if refuses(structure) else ""

    for tokenizer in (CrystalTokenizer, MoleculeTokenizer):
        monkeypatch.setattr(tokenizer, "verify", verify)


def generate(out: Path, *more: str) -> dict[str, Any]:
    """Counts of a run over ethanol, or over a crystal for a crystal's extension."""
    numbers = out.parent / "numbers.json"
    asked = ["conformer", "--smiles", "CCO"]
    if "crystal" in out.stem:
        asked = ["csp", "--composition", "Na2 Cl2"]
    words = ["generate", *asked, "-n", str(SAMPLES), "--out", str(out), "--json", str(numbers)]
    assert main([*words, *more]) in (0, 1, 3)
    counts: dict[str, Any] = json.loads(numbers.read_text())["counts"]
    assert counts["requested"] == SAMPLES
    assert 0 < counts["kept"] < counts["parsed"] <= SAMPLES
    return counts


def evaluate(kind: str, path: Path, *more: str) -> dict[str, Any]:
    numbers = path.parent / "metrics.json"
    words = ["evaluate", kind, str(path), "--task", "denovo", "--json", str(numbers)]
    assert main([*words, "--bootstrap", "0", *more]) in (0, 3)
    found: dict[str, Any] = json.loads(numbers.read_text())
    return found


@pytest.mark.parametrize(
    "name", ["a.sdf", "a.extxyz", "a.jsonl", "folder", "crystal.cif", "crystal.csv"]
)
def test_raw_files_hold_rejected_structures_with_their_status(name: str, tmp_path: Path) -> None:
    raw, kept = tmp_path / "raw" / name, tmp_path / "kept" / name
    counts = generate(raw, "--raw")
    assert counts["attempts"] == SAMPLES
    assert generate(kept)["kept"] == counts["kept"]  # the same samples, only fewer are written
    everything, fewer = read_all(raw)[0], read_all(kept)[0]
    assert len(everything) == counts["parsed"] and len(fewer) == counts["kept"]
    for record in everything:
        status = "rejected" if refuses_record(record.properties) else "ok"
        assert record.properties["status"] == status
        assert record.properties["selection"] == "raw"
        assert record.properties["requested"] == SAMPLES
    passed = [r.id for r in everything if r.properties["status"] == "ok"]
    assert sorted(passed) == sorted(r.id for r in fewer)
    assert {r.properties["selection"] for r in fewer} == {"kept"}


def refuses_record(properties: dict[str, Any]) -> bool:
    return "refused by the test" in str(properties.get("message", ""))


def test_stability_is_over_all_raw_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, kept = tmp_path / "raw.sdf", tmp_path / "kept.sdf"
    counts = generate(raw, "--raw")
    generate(kept)
    capsys.readouterr()
    all_samples = evaluate("molecules", raw)
    told = capsys.readouterr().out
    assert f"requested {SAMPLES}, parsed {counts['parsed']}, kept {counts['kept']}" in told
    assert all_samples["samples"]["selection"] == "raw"
    assert all_samples["summary"]["molecules"] == SAMPLES
    assert all_samples["summary"]["validity"]["of"] == SAMPLES
    atoms = sum(len(r.structure) for r in read_all(raw)[0])
    assert all_samples["summary"]["atom_stability"]["of"] == atoms

    filtered = evaluate("molecules", kept)
    assert filtered["samples"] == {
        "selection": "kept",
        "requested": SAMPLES,
        "kept": counts["kept"],
        "missing": SAMPLES - counts["kept"],
    }
    assert filtered["summary"]["validity"]["of"] == SAMPLES  # rejected ones count as failed
    assert "atom_stability" not in filtered["summary"]  # it cannot be known for rejected ones
    part = sum(len(r.structure) for r in read_all(kept)[0])
    assert filtered["summary"]["atom_stability_of_kept"]["of"] == part
    again = evaluate("molecules", raw, "--selection", "kept")
    assert again["summary"] == filtered["summary"]


def test_raw_crystals_are_scored_and_the_missing_counted(tmp_path: Path) -> None:
    raw = tmp_path / "crystal.extxyz"
    counts = generate(raw, "--raw")
    train = ("--train", "sample-crystals")
    found = evaluate("crystals", raw, *train)
    assert found["summary"]["parsed"] == {
        "count": counts["parsed"],
        "of": SAMPLES,
        "rate": counts["parsed"] / SAMPLES,
        "interval": None,
    }
    more = evaluate("crystals", raw, "--requested", "20", *train)
    assert more["samples"]["missing"] == 20 - counts["parsed"]
    assert more["summary"]["valid"]["of"] == more["summary"]["unique"]["of"] == 20
    assert more["summary"]["valid"]["count"] == found["summary"]["valid"]["count"]
    assert len(more["rows"]) == 20 and not more["rows"][-1]["parsed"]


def test_raw_and_filtered_are_never_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, kept, both = (tmp_path / f"{name}.sdf" for name in ("raw", "kept", "both"))
    generate(raw, "--raw")
    generate(kept)
    both.write_text(raw.read_text() + kept.read_text().replace("molecule_", "again_"))
    for words, message in (
        ([str(both)], "evaluate them apart"),
        ([str(kept), "--selection", "raw"], "--raw"),
        ([str(raw), "--requested", "3"], "3 samples requested"),
    ):
        assert main(["evaluate", "molecules", *words]) == 2
        assert message in capsys.readouterr().err


def test_several_runs_in_one_file_ask_for_the_number(tmp_path: Path) -> None:
    one, two = tmp_path / "one.sdf", tmp_path / "two.sdf"
    generate(one, "--raw")
    two.write_text(one.read_text() + one.read_text().replace("molecule_", "again_"))
    parsed = len(read_all(one)[0])
    found = evaluate("molecules", two)
    if 2 * parsed > SAMPLES:
        assert "requested" not in found["samples"]
        assert any("--requested" in note for note in found["notes"])
    counted = evaluate("molecules", two, "--requested", str(2 * SAMPLES))
    assert counted["summary"]["molecules"] == 2 * SAMPLES


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--retries", "2"], "drawn once"), (["--out", "x.vasp"], "no place for the status")],
)
def test_raw_refuses_what_contradicts_it(
    more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "csp", "--composition", "Na2 Cl2", "--raw", *more]) == 2
    assert message in capsys.readouterr().err
