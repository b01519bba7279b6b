"""Coverage, matching and the ETKDG baseline."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, rdMolAlign
from rdkit.Chem.rdMolTransforms import SetDihedralDeg

from sciar.errors import RecordError, UsageError
from sciar.evaluation import etkdg_baseline, evaluate_conformers
from sciar.evaluation.conformers import ConformerResult
from sciar.records import Molecule

_QUIET: dict = {"timeout": None, "progress": False}


def _conformers(smiles: str, count: int, seed: int) -> list[Chem.Mol]:
    found = etkdg_baseline([Chem.MolFromSmiles(smiles)], count, seed, **_QUIET)[0]
    return [m for m in found if m is not None]


def _score(generated: list, references: list, **options: object) -> ConformerResult:
    return evaluate_conformers(generated, references, bootstrap=0, **{**_QUIET, **options})  # type: ignore[arg-type]


def test_metrics_equal_the_formulas() -> None:
    references, generated = _conformers("CCCCO", 3, 0), _conformers("CCCCO", 5, 1)
    bare = [[Chem.RemoveHs(m) for m in group] for group in (generated, references)]
    table = np.array([[rdMolAlign.GetBestRMS(Chem.Mol(g), r) for r in bare[1]] for g in bare[0]])
    threshold = float(np.median(table.min(0)))
    row = _score([generated], [references], threshold=threshold).rows[0]
    assert row.cov_r == np.mean([table[:, j].min() <= threshold for j in range(3)])
    assert row.cov_p == np.mean([table[i].min() <= threshold for i in range(5)])
    assert row.mat_r == pytest.approx(np.mean([table[:, j].min() for j in range(3)]))
    assert row.mat_p == pytest.approx(np.mean([table[i].min() for i in range(5)]))


def test_identical_ensembles_match_perfectly_and_swapping_swaps() -> None:
    a, b = _conformers("CC(O)CN", 4, 0), _conformers("CC(O)CN", 2, 9)
    same = _score([a], [a]).rows[0]
    assert same.cov_r == same.cov_p == 1 and same.mat_r == pytest.approx(0, abs=1e-4)
    one, other = _score([a], [b]).rows[0], _score([b], [a]).rows[0]
    assert (one.cov_r, one.cov_p) == (other.cov_p, other.cov_r)
    assert one.mat_r == pytest.approx(other.mat_p, abs=1e-6)


def test_symmetry_rotation_and_hydrogens_do_not_matter() -> None:
    mol = Chem.AddHs(Chem.MolFromSmiles("Cc1ccccc1"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    other = Chem.Mol(mol)
    conformer = other.GetConformer()
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation)
    for i, xyz in enumerate(mol.GetConformer().GetPositions() @ rotation + 3):
        conformer.SetAtomPosition(i, xyz)
    hydrogen = next(
        b.GetIdx() for b in other.GetAtomWithIdx(0).GetNeighbors() if b.GetAtomicNum() == 1
    )
    SetDihedralDeg(conformer, hydrogen, 0, 1, 2, 77.0)
    assert _score([[other]], [[mol]]).rows[0].mat_r == pytest.approx(0, abs=0.02)


def test_mirror_images_differ() -> None:
    mol = _conformers("C[C@H](O)CC(=O)N", 1, 0)[0]
    mirror = Chem.Mol(mol)
    for i, (x, y, z) in enumerate(mol.GetConformer().GetPositions()):
        mirror.GetConformer().SetAtomPosition(i, (-x, y, z))
    assert _score([[mirror]], [[mol]]).rows[0].mat_r > 0.1


def test_the_callers_molecules_are_left_alone() -> None:
    generated, references = _conformers("CCCO", 2, 0), _conformers("CCCO", 2, 1)
    before = [m.GetConformer().GetPositions().copy() for m in generated + references]
    _score([generated], [references])
    for mol, xyz in zip(generated + references, before, strict=True):
        assert (mol.GetConformer().GetPositions() == xyz).all()


def test_failed_conformers_and_wrong_graphs_are_counted() -> None:
    good, other = _conformers("CCO", 1, 0), _conformers("CCN", 1, 0)
    records = [Molecule.from_rdkit(good[0]), None]
    result = _score([records, [None], other], [good, good, good])
    assert [r.cov_r for r in result.rows] == [1, 0, 0]
    assert result.rows[1].mat_r is None and result.rows[2].message is not None
    summary = result.summary()
    assert summary["conformers_parsed"]["count"] == 2 and summary["conformers_parsed"]["of"] == 4
    assert summary["molecules_failed"]["count"] == 1
    assert summary["mat_r_mean"]["count"] == 1 and summary["cov_r_mean"]["of"] == 3


def test_baseline_is_seeded_whatever_the_processes() -> None:
    mols = [Chem.MolFromSmiles(s) for s in ("CCO", "CCCN", "c1ccccc1")]
    here = etkdg_baseline(mols, [2, 1, 3], 5, **_QUIET)
    spread = etkdg_baseline(mols, [2, 1, 3], 5, jobs=2, timeout=120.0, progress=False)
    assert [len(g) for g in here] == [2, 1, 3]
    for mine, theirs in zip(here, spread, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a is not None and b is not None
            assert (a.GetConformer().GetPositions() == b.GetConformer().GetPositions()).all()
            assert a.GetConformer().GetId() == 0
    changed = etkdg_baseline(mols, [2, 1, 3], 6, **_QUIET)
    assert changed[0][0].GetConformer().GetPositions() != pytest.approx(
        here[0][0].GetConformer().GetPositions()
    )


def test_mmff_lowers_the_energy() -> None:
    mol = [Chem.MolFromSmiles("CCCCCO")]
    raw, relaxed = (etkdg_baseline(mol, 1, 0, mmff=m, **_QUIET)[0][0] for m in (False, True))

    def energy(m: Chem.Mol) -> float:
        properties = AllChem.MMFFGetMoleculeProperties(m)
        return AllChem.MMFFGetMoleculeForceField(m, properties).CalcEnergy()

    assert energy(relaxed) < energy(raw) - 0.1


def test_bad_calls() -> None:
    good = _conformers("CCO", 1, 0)
    with pytest.raises(UsageError, match="one list per molecule"):
        _score([], [good])
    with pytest.raises(UsageError, match="threshold"):
        _score([good], [good], threshold=0.0)
    with pytest.raises(RecordError, match="record m: no usable reference"):
        _score([good], [[None]], ids=["m"])
    with pytest.raises(UsageError, match="number of conformers"):
        etkdg_baseline([good[0]], [1, 2], **_QUIET)
