"""``evaluate`` finds the right metrics and what stands beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sciar
from sciar.api.given import same_molecules
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.datasets.writers import write
from sciar.errors import UsageError
from sciar.records import Molecule, Record


def crystals() -> list[Record]:
    return read_all(resolve("sample-crystals", "test"))[0][:4]


def test_ids_decide_for_csp() -> None:
    references = crystals()
    perfect = [Record(f"{r.id}_{k}", r.structure) for r in references for k in range(2)]
    found = sciar.evaluate("crystals", perfect, references, train="sample-crystals", bootstrap=0)
    assert (found.task, found.k) == ("csp", 2)
    assert found.summary["without_validity"]["match_rate"]["count"] == 4
    assert found.summary["without_validity"]["rmse"]["mean"] == pytest.approx(0, abs=1e-6)
    once, twice = found.beside.values()  # with one guess, and with as many as there are samples
    assert (once["predictions_requested"], twice["predictions_requested"]) == (4, 8)
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


def conformers(smiles: str, count: int, seed: int) -> list[Record]:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMultipleConfs(mol, count, randomSeed=seed)  # type: ignore[attr-defined]
    found = []
    for k in range(count):
        one = Chem.Mol(mol, confId=k)
        one.GetConformer().SetId(0)
        found.append(Record(f"{smiles}-{k}", Molecule.from_rdkit(one)))
    return found


def test_conformers_of_one_molecule_are_compared_together(tmp_path: Path) -> None:
    """From a file: three conformers of a chain, one of a rigid molecule, in any order."""
    chain, lone = conformers("CCCCO", 3, 0), conformers("c1ccccc1", 1, 0)
    truth = [chain[0], lone[0], *chain[1:]]
    write(truth, tmp_path / "truth.sdf")
    # Everything is made for the first conformer's record; each reference has its own copy.
    made = [Record(f"{truth[0].id}_{k}", r.structure) for k, r in enumerate(chain)]
    found = sciar.evaluate(
        "molecules", [*made, replace(lone[0], id=f"{lone[0].id}_0")], str(tmp_path / "truth.sdf"),
        task="conformer", bootstrap=0,
    )  # fmt: skip
    assert found.summary["molecules"] == 2 and found.summary["reference_conformers"] == 4
    assert [row["references"] for row in found.rows] == [3, 1]
    assert found.summary["mat_r_mean"]["mean"] == pytest.approx(0, abs=1e-3)
    assert found.summary["cov_r_mean"]["mean"] == found.summary["cov_p_mean"]["mean"] == 1.0
    assert found.k == 1 and list(found.beside) == ["ETKDG (1 a reference)"]
    assert any("conformers of 2 molecules" in note for note in found.notes)


def test_stereoisomers_are_no_conformers_of_each_other() -> None:
    mols = [
        conformers(s, 1, 1)[0].structure.to_rdkit()  # type: ignore[union-attr]
        for s in ("C[C@H](O)F", "C[C@@H](O)F", "C[C@H](O)F", "C/C=C/C", "C/C=C\\C")
    ]
    assert same_molecules(mols) == [[0, 2], [1], [3], [4]]


def test_the_threshold_of_coverage_is_as_given() -> None:
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
