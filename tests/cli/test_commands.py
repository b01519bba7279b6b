"""Commands, in this process: files, counts and exit codes."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_proteins import make_protein_model

from sciar.cli import COMMANDS, main
from sciar.datasets.readers import read_all


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for command in COMMANDS:
        name = command.__name__.rstrip("_")  # import is a keyword of Python
        assert main([name, "--help"]) == 0
        assert name in listed
        assert "usage" in capsys.readouterr().out
    assert main(["--version"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["generate", "nonesuch", "--composition", "C"], 2, "conformer, csp, denovo"),
        (["generate", "csp", "--composition", "C21"], 2, "at most 20"),
        (["generate", "csp", "--composition", "Xx"], 2, "no element"),
        (["generate", "csp", "--composition", "C", "--out", "x.sdf"], 2, "holds molecules"),
        (["generate", "csp", "--composition", "C", "--out", "x.foo"], 2, "known formats"),
        (["generate", "csp", "--composition", "C", "--steps", "many"], 2, "steps"),
        (["generate", "csp", "--input", "nowhere.cif"], 2, "no such file"),
        (["generate"], 2, "model"),
        (["evaluate", "proteins", "x"], 2, "proteins"),
        (["fly"], 2, "fly"),
        (["data", "fetch", "nonesuch"], 2, "unknown data set"),
        (["fit", "--config", "nonesuch"], 2, "recipes"),
    ],
)
def test_wrong_usage(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


def test_generate_writes_structures_counts_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page, numbers = (str(tmp_path / n) for n in ("a.cif", "a.html", "a.json"))
    words = ["generate", "csp", "--composition", "Na2 Cl2", "-n", "4", "--retries", "9"]
    code = main([*words, "--out", out, "--report", page, "--json", numbers])
    content = json.loads(Path(numbers).read_text())
    counts = content["counts"]
    assert code == (0 if counts["kept"] == 4 else 3)
    assert counts["requested"] == counts["drawn"] == len(content["samples"]) == 4
    assert counts["attempts"] >= 4 and counts["parsed"] >= counts["kept"] > 0
    records, failures = read_all(out)
    assert len(records) == counts["kept"] and not failures
    assert all(r.structure.composition == {"Na": 2, "Cl": 2} for r in records)  # type: ignore[union-attr]
    assert records[0].properties["model"] == "csp" and records[0].properties["seed"] == 0
    assert "<svg" in Path(page).read_text() and "requested 4" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["1", "64"])
def test_files_do_not_depend_on_the_batch_size(size: str, tmp_path: Path) -> None:
    def made(size: str) -> list[dict[str, Any]]:
        out = tmp_path / f"{size}.jsonl"
        main(["generate", "denovo", "-n", "9", "--batch-size", size, "--out", str(out)])
        return [json.loads(line) for line in out.read_text().splitlines()]

    rows, same = made("5"), made(size)
    assert [r["id"] for r in rows] == [f"sample_{k}" for k in range(9)]
    assert [r["id"] for r in same] == [r["id"] for r in rows]
    assert [r.get("species") for r in same] == [r.get("species") for r in rows]


def test_a_bad_smiles_is_one_row(tmp_path: Path) -> None:
    source = tmp_path / "in.smi"
    source.write_text("O water\nC1CC( broken\nCO methanol\n")
    out = tmp_path / "out.jsonl"
    words = ["generate", "conformer", "--smiles-file", str(source), "-n", "2", "--out", str(out)]
    assert main(words) in (1, 3)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["id"] for r in rows] == [
        *("water_0", "water_1"),
        "broken_0",
        *("methanol_0", "methanol_1"),
    ]
    assert rows[2]["props"]["status"] == "failed" and "C1CC(" in rows[2]["props"]["message"]


def test_input_keeps_ids_and_tables_hold_failures(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    cell = {"lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "frac": [[0, 0, 0]]}
    lines = [{"id": "good", "species": ["Fe"], **cell}, {"id": "bad", "species": ["Xx"], **cell}]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["generate", "csp", "--input", str(source), "--retries", "9", "--out", str(out)]
    assert main(words) == 3
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [r["material_id"] for r in rows] == ["good_0", "bad_0"]
    assert "Xx" in rows[1]["message"] and not rows[1]["cif"]
    records, failures = read_all(out)
    assert [r.id for r in records] == ["good_0"] and [f.id for f in failures] == ["bad_0"]


def test_nothing_done_is_one(tmp_path: Path) -> None:
    source = tmp_path / "in.smi"
    source.write_text("C1CC( broken\n")
    assert main(["generate", "conformer", "--smiles-file", str(source)]) == 1


def test_damaged_model_is_one(
    zoo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.yaml", "model.safetensors"):
        (broken / name).write_bytes((zoo_folder / "csp" / name).read_bytes()[:-1])
    assert main(["generate", str(broken), "--composition", "C"]) == 1
    assert "checksum" in capsys.readouterr().err or "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.extxyz", "folder"])
def test_full_disk_leaves_nothing_half_written(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    words = ["generate", "csp", "--composition", "Na2 Cl2", "-n", "4", "--retries", "9"]
    assert main([*words, "--out", str(tmp_path / name)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_models_data_and_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = tmp_path / "n.json"
    assert main(["models", "--json", str(numbers)]) == 0
    names = {row["name"] for row in json.loads(numbers.read_text())}
    assert {"conformer", "csp", "denovo"} <= names and "csp" in capsys.readouterr().out
    assert main(["models", "csp"]) == 0
    assert "# csp" in capsys.readouterr().out
    assert main(["data", "--json", str(numbers)]) == 0
    assert "perov_5" in {row["name"] for row in json.loads(numbers.read_text())}


def test_tokens_lead_back_to_atoms(tmp_path: Path) -> None:
    from sciar.datasets.registry import resolve

    numbers = tmp_path / "n.json"
    for source in ("sample-crystals", "sample-molecules"):
        path = resolve(source, "test")
        assert main(["tokenize", str(path), "--limit", "6", "--json", str(numbers)]) == 0
        structures = [r.structure for r in read_all(path)[0]]
        for row, structure in zip(json.loads(numbers.read_text()), structures, strict=False):
            slots = [t for t in row["tokens"] if t.get("values") and t["atom"] is not None]
            symbols = getattr(structure, "species", None) or structure.symbols  # type: ignore[union-attr]
            assert sorted(t["atom"] for t in slots) == list(range(len(structure)))
            assert [t["describes"] for t in slots] == [symbols[t["atom"]] for t in slots]
            assert all(t["unit"] for t in slots)


def test_evaluate_prints_the_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sciar.datasets.registry import resolve
    from sciar.datasets.writers import write

    reference, numbers = resolve("sample-crystals", "test"), tmp_path / "n.json"
    records = read_all(reference)[0]
    write(records, tmp_path / "same.extxyz")
    words = ["evaluate", "crystals", str(tmp_path / "same.extxyz"), "--reference", str(reference)]
    extra = ["--train", "sample-crystals", "--json", str(numbers), "--bootstrap", "0"]
    assert main([*words, *extra]) == 0
    content = json.loads(numbers.read_text())
    assert content["summary"]["without_validity"]["match_rate"]["count"] == len(records)
    assert len(content["rows"]) == len(records) and len(content["beside"]) == 1
    assert "template substitution" in capsys.readouterr().out


def test_the_demo_works_without_a_zoo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sciar.zoo
    from sciar.commands import demo_training
    from sciar.nn.encoders.esm2 import Esm2Config
    from sciar.nn.encoders.folder import EncoderFolder, save_encoder
    from sciar.nn.encoders.masked_lm import MaskedLM

    # An encoder makes nothing, so the demo passes over it.
    encoder = MaskedLM(Esm2Config(1, 8, 2, 8))
    save_encoder(tmp_path / "zoo" / "small", EncoderFolder("small", encoder, {}, ""))
    monkeypatch.setattr(sciar.zoo, "paths", lambda: {"small": tmp_path / "zoo" / "small"})
    wanted = demo_training.tiny_models(steps=3)
    monkeypatch.setattr(demo_training, "tiny_models", lambda: wanted)
    code = main(["demo", "--out", str(tmp_path), "-n", "3", "--json", str(tmp_path / "n.json")])
    assert code in (0, 1, 3)
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert [entry["counts"]["requested"] for entry in numbers.values()] == [3, 3]
    page = (tmp_path / "report.html").read_text()
    assert "tiny-crystals" in page and "requested" in page and "<script" not in page
    assert str(tmp_path / "report.html") in capsys.readouterr().out


def test_help_is_fast() -> None:
    code = "import sys; from sciar.cli import main; main(['--help']); print('torch' in sys.modules)"
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
    assert time.monotonic() - start < 20  # no torch; generous for a busy machine


@pytest.mark.shared
def test_published_samples_are_scored_from_flat_arrays(shared_data: Path, tmp_path: Path) -> None:
    """The G-SchNet row of EDM's Table 1, over all 10,000 samples, by the command."""
    file = shared_data / "molecules" / "gschnet_samples" / "gschnet_samples.npz"
    out = tmp_path / "numbers.json"
    words = ["evaluate", "molecules", str(file), "--bootstrap", "0", "--json", str(out)]
    assert main(words) == 0
    summary = json.loads(out.read_text())["summary"]
    assert summary["molecules"] == 10_000
    published = {"atom_stability": 95.7, "molecule_stability": 68.1, "validity": 85.5}
    for name, percent in {**published, "valid_and_unique": 80.3}.items():
        assert 100 * summary[name]["rate"] == pytest.approx(percent, abs=0.06), name


def test_flat_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = np.array([6, 1, 1], dtype=np.uint8)
    bad = tmp_path / "short.npz"
    np.savez(bad, atomic_numbers=numbers, positions=np.zeros((3, 3)), n_atoms=np.array([2, 2]))
    assert main(["evaluate", "molecules", str(bad)]) == 2
    assert "short.npz: n_atoms adds up to 4" in capsys.readouterr().err
    np.savez(bad, atomic_numbers=numbers, n_atoms=np.array([3]))
    assert main(["evaluate", "molecules", str(bad)]) == 2
    assert "arrays missing: positions" in capsys.readouterr().err


def test_the_demo_asks_models_of_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sciar.zoo

    model = make_protein_model(tmp_path / "zoo" / "answers")
    monkeypatch.setattr(sciar.zoo, "paths", lambda: {"answers": model})
    out, numbers = tmp_path / "demo", tmp_path / "n.json"
    assert main(["demo", "--out", str(out), "-n", "3", "--json", str(numbers)]) == 0
    # Pairs are not asked about: the sample has none.
    tasks = ["deeploc", "tm", "secondary_structure"]
    found = json.loads(numbers.read_text())["answers"]
    assert found["tasks"] == tasks and found["counts"] == {"requested": 9, "kept": 9}
    rows = [json.loads(x) for x in (out / "proteins" / "answers.jsonl").read_text().splitlines()]
    assert [row["task"] for row in rows] == tasks * 3
    assert all(row["id"] in (out / "report.html").read_text() for row in rows)
