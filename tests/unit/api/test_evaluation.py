"""``evaluate`` finds the right metrics and what stands beside them."""

from __future__ import annotations

import numpy as np
import pytest

import sciar
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.errors import UsageError
from sciar.records import Record


def crystals() -> list[Record]:
    return read_all(resolve("sample-crystals", "test"))[0][:4]


def test_ids_decide_for_csp() -> None:
    references = crystals()
    perfect = [Record(f"{r.id}_{k}", r.structure) for r in references for k in range(2)]
    found = sciar.evaluate("crystals", perfect, references, train="sample-crystals", bootstrap=0)
    assert (found.task, found.k) == ("csp", 2)
    assert found.summary["without_validity"]["match_rate"]["count"] == 4
    assert found.summary["without_validity"]["rmse"]["mean"] == pytest.approx(0, abs=1e-6)
    (baseline,) = found.beside.values()
    assert baseline["predictions_requested"] == 4
    assert "template substitution" in found.table() and "100.00 %" in found.table()
    assert not found.published()  # an unnamed set has no published figures beside it


def test_a_missing_baseline_and_missing_predictions_are_said() -> None:
    references = crystals()
    found = sciar.evaluate("crystals", [references[0]], references, bootstrap=0)
    assert any("No baseline" in note for note in found.notes)
    assert any("3 of 4 references have no prediction" in note for note in found.notes)
    assert found.summary["without_validity"]["match_rate"]["of"] == 4


def test_published_figures_need_the_same_protocol() -> None:
    references = crystals()
    one = sciar.evaluate("crystals", references, references, dataset="perov_5", bootstrap=0)
    assert {p["model"] for p in one.published()} >= {"CDVAE", "DiffCSP"}
    two = sciar.evaluate("crystals", references, references, dataset="perov_5", k=7, bootstrap=0)
    assert not two.published()


def test_foreign_ids_mean_denovo_and_mixed_ids_ask() -> None:
    references = crystals()
    strange = [Record(f"new{i}", r.structure) for i, r in enumerate(references)]
    assert sciar.evaluate("crystals", strange, references, bootstrap=0).task == "denovo"
    with pytest.raises(UsageError, match="1 of 5"):
        sciar.evaluate("crystals", [references[0], *strange], references)
    with pytest.raises(UsageError, match="belong to no reference"):
        sciar.evaluate("crystals", strange, references, task="csp")


def test_bare_structures_and_groups() -> None:
    structures = [r.structure.to_pymatgen() for r in crystals()]  # type: ignore[union-attr]
    grouped = [[s, None] for s in structures]
    found = sciar.evaluate("crystals", grouped, structures, bootstrap=0)
    assert found.k == 2
    parsed = found.summary["predictions_parsed"]
    assert (parsed["count"], parsed["of"]) == (4, 8)


def test_conformers_have_etkdg_beside() -> None:
    molecules = read_all(resolve("sample-molecules", "test"))[0][:3]
    found = sciar.evaluate("molecules", molecules, molecules, bootstrap=0)
    assert found.task == "conformer"
    assert found.summary["mat_r_mean"]["mean"] == pytest.approx(0, abs=1e-3)
    assert list(found.beside) == ["ETKDG (1 each)"]


def test_the_threshold_of_coverage_is_as_given() -> None:
    from dataclasses import replace

    record = read_all(resolve("sample-molecules", "test"))[0][0]
    shaken = record.structure.positions + np.random.default_rng(0).normal(  # type: ignore[union-attr]
        0, 0.3, (len(record.structure), 3)
    )
    moved = replace(record, structure=replace(record.structure, positions=shaken))  # type: ignore[type-var]
    found = sciar.evaluate("molecules", [moved], [record], bootstrap=0)
    distance = found.summary["mat_r_mean"]["mean"]
    assert found.summary["threshold_angstrom"] == 0.5 and 0 < distance < 0.6
    for threshold, covered in ((0.9 * distance, 0.0), (1.1 * distance, 1.0)):
        found = sciar.evaluate("molecules", [moved], [record], threshold=threshold, bootstrap=0)
        assert found.summary["cov_r_mean"]["mean"] == covered


def test_the_rule_of_bonds_is_as_given() -> None:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    ethylene = Chem.AddHs(Chem.MolFromSmiles("C=C"))
    AllChem.EmbedMolecule(ethylene, randomSeed=0)  # type: ignore[attr-defined]
    for bonds, double in (("qm9", True), ("drugs", False)):
        found = sciar.evaluate("molecules", [ethylene], task="denovo", bonds=bonds, bootstrap=0)
        assert found.rows[0]["stable"] and ("=" in found.rows[0]["smiles"]) == double


def test_molecules_from_nothing() -> None:
    molecules = read_all(resolve("sample-molecules", "test"))[0][:5]
    bare = [m.structure.to_rdkit() for m in molecules]  # type: ignore[union-attr]
    found = sciar.evaluate("molecules", [*bare, None], molecules, train=molecules, bootstrap=0)
    assert found.task == "denovo"
    assert found.summary["parsed"]["count"] == 5 and found.summary["parsed"]["of"] == 6
    assert found.summary["novelty_among_valid"]["count"] == 0
    assert "reference data" in found.beside


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="'crystals' or 'molecules'"):
        sciar.evaluate("proteins", [])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown option"):
        sciar.evaluate("crystals", [None], [None], speed=3)
    with pytest.raises(UsageError, match="empty"):
        sciar.evaluate("crystals", [])
