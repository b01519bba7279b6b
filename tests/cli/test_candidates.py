"""``sciar generate --known --rank``: what is retrieved, ranked, written and shown."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from recalling import KNOWN, make_known, make_model

from sciar.cli import main
from sciar.datasets.readers import read_all

EMT = ["--potential", "ase.calculators.emt.EMT", "--relax", "3"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("recalling") / "model")


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["samples"]
    return found


def test_candidates_from_a_folder_are_ranked_and_shown(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = make_known(tmp_path / "mine")
    out, page, numbers = (tmp_path / name for name in ("a.jsonl", "a.html", "a.json"))
    words = ["generate", str(model), "--composition", "Pd Cu3", "--known", str(known), "-n", "5"]
    words += ["--rank", "energy", *EMT, "--seed", "2"]
    words += ["--out", str(out), "--report", str(page), "--json", str(numbers)]
    assert main(words) in (0, 3)
    told = capsys.readouterr()
    assert "known structures: 1 of" in told.err and "2 records are no use" in told.err
    assert "partial.cif" in told.err and "broken.cif" in told.err
    assert "template good (Ni3Pt), distance" in told.err and "Pt to Pd" in told.err
    rows = rows_of(numbers)
    assert len(rows) == 5 and all("good (Ni3Pt" in row["templates"] for row in rows)
    able = [row for row in rows if "rank_energy" in row]
    assert able and [row["rank_energy"] for row in able] == list(range(1, len(able) + 1))
    energies = [row["energy_per_atom"] for row in able]
    assert energies == sorted(energies)
    # Likelihood ranks also those that have no energy, or became equal to another one.
    likely = sorted(row["rank_likelihood"] for row in rows if "rank_likelihood" in row)
    assert likely == list(range(1, len(likely) + 1)) and len(likely) >= len(able)
    joint = [row["rank_likelihood"] + row["rank_energy"] for row in able]
    best = min(able, key=lambda row: row["rank_both"])
    assert best["rank_likelihood"] + best["rank_energy"] == min(joint)
    assert all(row["relaxation"] in ("converged", "not converged") for row in able)
    records = {r.id: r for r in read_all(out)[0]}
    assert {row["id"] for row in able} <= set(records)
    text = page.read_text(encoding="utf-8")
    for word in ("Candidates for PdCu3, by energy", "Budgets", "Templates", "eV/atom",
                 "nearest known", "space group"):  # fmt: skip
        assert word in text, word


def test_without_a_folder_the_training_structures_are_used(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", str(model), "--composition", "Cu3 Au", "-n", "1"]
    assert main(words) in (0, 3)
    assert "template cu3au (Cu3Au), distance 0, the same elements" in capsys.readouterr().err
    assert main([*words, "--conditions.exclude", "true"]) in (0, 3)
    assert "cu3au" not in capsys.readouterr().err
    assert main([*words, "--conditions.templates", "0"]) in (0, 3)
    told = capsys.readouterr()
    assert "template " not in told.err and "generated freely" not in told.err
    assert json.loads(told.out)["props"]["templates"] == "none"


def test_a_composition_without_a_template_says_so(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(model), "--composition", "Cu2 Al5", "-n", "2"]) in (0, 3)
    assert "generated freely" in capsys.readouterr().err


def test_all_samples_have_a_row(model: Path, tmp_path: Path) -> None:
    """Also those that a potential cannot do: EMT has no xenon."""
    numbers = tmp_path / "a.json"
    words = ["generate", str(model), "--composition", "Xe2", "-n", "3", "--rank", "both", *EMT]
    assert main([*words, "--json", str(numbers)]) in (0, 3)
    rows = rows_of(numbers)
    made = [row for row in rows if row["status"] == "ok" and "duplicate_of" not in row]
    assert len(rows) == 3 and made
    for row in made:
        assert row["relaxation"] == "failed" and "Xe" in row["relaxation_message"]
        assert "rank_energy" not in row and row["rank_likelihood"] >= 1


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--known", "nowhere"], "nowhere"),
        (["--potential", "ase.calculators.emt.EMT"], "--rank"),
        (["--rank", "energy", "--potential", "no.Such"], "import path"),
        (["--rank", "energy", "--raw"], "--keep and --raw"),
        (["--conditions.templates", "9"], "templates"),
    ],
)
def test_wrong_usage(
    model: Path, more: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(model), "--composition", "Cu4", *more]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.skipif(find_spec("chgnet") is not None, reason="chgnet is installed")
def test_the_usual_potential_is_named_where_it_is_missing(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(model), "--composition", "Cu4", "--rank", "energy"]) == 2
    assert "pip install 'sciar[chgnet]'" in capsys.readouterr().err


def test_other_models_take_no_known_structures(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "csp", "--composition", "Na Cl", "--known", "sample-crystals"]
    assert main(words) == 2
    assert "takes no known structures" in capsys.readouterr().err


def test_the_known_structures_can_be_joined(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = make_known(tmp_path / "mine")
    words = ["generate", str(model), "--composition", "Pt Ni3", "--known", f"training,{known}"]
    assert main(words) in (0, 3)
    told = capsys.readouterr().err
    assert f"known structures: {len(KNOWN) + 1}" in told and "template good" in told
