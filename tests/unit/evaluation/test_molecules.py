"""EDM stability and validity, by explicit loops, by chemistry, and on published samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem

from sciar.errors import UsageError
from sciar.evaluation import evaluate_molecules
from sciar.evaluation.bonds import bond_orders
from sciar.evaluation.edm_tables import VALENCES, allowed_valences, bond_thresholds
from sciar.evaluation.molecules import MoleculeResult, training_smiles
from sciar.records import Molecule


def _embedded(smiles: str, seed: int = 7) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=seed) == 0
    AllChem.MMFFOptimizeMolecule(mol)
    return mol


def _cloud(mol: Chem.Mol) -> Molecule:
    """Only elements and coordinates."""
    return Molecule(tuple(a.GetSymbol() for a in mol.GetAtoms()), mol.GetConformer().GetPositions())


def _score(molecules: list, **options: object) -> MoleculeResult:
    return evaluate_molecules(molecules, **{"progress": False, "bootstrap": 0, **options})  # type: ignore[arg-type]


def test_tables_are_symmetric_and_ordered() -> None:
    single, double, triple = bond_thresholds()
    assert (single == single.T).all() and (double == double.T).all()
    assert (single[double > 0] > double[double > 0]).all()
    assert (double[triple > 0] > triple[triple > 0]).all()
    assert single[6, 6] == pytest.approx(1.64) and double[6, 6] == pytest.approx(1.39)
    assert triple[6, 6] == pytest.approx(1.23) and single[1, 2] == -1
    assert allowed_valences().sum() == sum(len(v) for v in VALENCES.values())


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_bond_orders_equal_a_loop(seed: int, atoms: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.choice([1, 6, 7, 8, 9, 16, 17], size=(2, atoms))
    positions = rng.uniform(0, 2.2, size=(2, atoms, 3))
    orders = bond_orders(numbers, positions)
    thresholds = bond_thresholds()
    for m in range(2):
        for i in range(atoms):
            for j in range(atoms):
                distance = float(np.linalg.norm(positions[m, i] - positions[m, j]))
                expected = 0
                for order in range(3):
                    limit = thresholds[order, numbers[m, i], numbers[m, j]]
                    if i == j or expected < order or distance >= limit:
                        break
                    expected = order + 1
                assert orders[m, i, j] == expected


@pytest.mark.parametrize("smiles", ["C", "CCO", "C=C", "C#N", "OC(=O)C", "C1CCCCC1", "CF", "CC#C"])
def test_good_geometries_are_stable_and_keep_their_graph(smiles: str) -> None:
    mol = _embedded(smiles)
    row = _score([_cloud(mol)]).rows[0]
    assert row.stable and row.valid and row.stable_atoms == row.atoms == mol.GetNumAtoms()
    perceived = Chem.RemoveHs(Chem.MolFromSmiles(row.smiles, sanitize=True))
    assert Chem.MolToSmiles(perceived) == Chem.CanonSmiles(smiles)


@given(st.integers(0, 2**32 - 1))
def test_verdict_ignores_rotation_origin_and_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cloud = _cloud(_embedded("CC(=O)N", seed % 1000))
    assert cloud.positions is not None
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(cloud))
    moved = Molecule(
        tuple(cloud.symbols[i] for i in order),
        (cloud.positions @ rotation + rng.normal(size=3))[order],
    )
    before, after = _score([cloud, moved]).rows
    assert (before.smiles, before.stable_atoms) == (after.smiles, after.stable_atoms)


def test_a_missing_hydrogen_and_a_broken_bond_are_seen() -> None:
    ethanol = _cloud(_embedded("CCO"))
    assert ethanol.positions is not None
    radical = Molecule(ethanol.symbols[:-1], ethanol.positions[:-1])
    row = _score([radical]).rows[0]
    assert not row.stable and row.stable_atoms == row.atoms - 1
    crowded = Molecule(ethanol.symbols, ethanol.positions * 0.6)
    assert not _score([crowded]).rows[0].valid


def test_largest_fragment_is_scored() -> None:
    ethanol, methane = _cloud(_embedded("CCO")), _cloud(_embedded("C"))
    assert ethanol.positions is not None and methane.positions is not None
    both = Molecule(
        methane.symbols + ethanol.symbols,
        np.concatenate([methane.positions + 50, ethanol.positions]),
    )
    alone, together = _score([ethanol, both]).rows
    assert alone.smiles == together.smiles and together.stable


def test_uniqueness_novelty_and_counts() -> None:
    ethanol, methane, ethene = (_embedded(s) for s in ("CCO", "C", "C=C"))
    molecules = [_cloud(ethanol), _cloud(_embedded("CCO", 3)), _cloud(methane), None, ethene]
    train = training_smiles([_cloud(methane)])
    result = _score(molecules, train=train, ids=list("abcde"))
    assert [r.novel for r in result.rows] == [True, True, False, None, True]
    summary = result.summary()
    assert summary["parsed"]["count"] == 4 and summary["validity"]["rate"] == 0.8
    assert summary["uniqueness_among_valid"] == {
        "count": 3,
        "of": 4,
        "rate": 0.75,
        "interval": None,
    }
    assert summary["valid_and_unique"]["count"] == 3
    assert summary["novelty_among_valid"]["count"] == 3
    assert summary["valid_unique_and_novel"]["count"] == 2
    assert summary["graph"]["validity"]["count"] == 1
    assert _score(molecules, train=[_cloud(methane)]).rows[2].novel is False


def test_molecules_without_coordinates_are_scored_by_their_graph() -> None:
    graph_only = Molecule(("C", "O"), None, smiles="CO")
    impossible = Molecule(("C", "O"), None, smiles="C(C)(C)(C)(C)C")
    rows = _score([graph_only, impossible]).rows
    assert [r.graph_smiles for r in rows] == ["CO", None]
    assert [r.has_graph for r in rows] == [True, True] and rows[0].atoms == 0


def test_drug_rule_makes_single_bonds() -> None:
    benzene = _cloud(_embedded("c1ccccc1"))
    row = _score([benzene], rule="drugs").rows[0]
    assert row.smiles is not None and "=" not in row.smiles and "c" not in row.smiles
    with pytest.raises(UsageError, match="bond rule"):
        _score([benzene], rule="geom")


def test_posebusters_passes_good_and_fails_bad() -> None:
    pytest.importorskip("posebusters")
    good = _embedded("CC(C)CCO")
    bad = Chem.Mol(good)
    for i in range(3):
        bad.GetConformer().SetAtomPosition(i, good.GetConformer().GetAtomPosition(5))
    result = _score([good, bad, None], posebusters=True, timeout=None)
    summary = result.summary()["posebusters"]
    assert summary["all_tests"]["count"] == 1 and summary["all_tests"]["of"] == 3
    assert summary["bond_lengths"]["count"] == 1
    assert result.rows[0].poses is not None and len(result.rows[0].poses) > 8


def test_slow_posebusters_are_counted_apart() -> None:
    pytest.importorskip("posebusters")
    result = _score([_embedded("CC(C)CCO"), None], posebusters=True, timeout=1e-3)
    summary = result.summary()["posebusters"]
    assert (summary["timed_out"]["count"], summary["timed_out"]["of"]) == (1, 2)
    assert summary["all_tests"]["count"] == 0 and result.rows[0].poses_timed_out


def test_posebusters_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciar.evaluation.plausibility.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install posebusters"):
        _score([_embedded("C")], posebusters=True)


@pytest.mark.shared
def test_published_figures_of_gschnet(shared_data: Path) -> None:
    """EDM, Table 1: atom stable 95.7, molecule stable 68.1, valid 85.5, valid and unique 80.3 %,
    over all 10,000 samples (not only the 9,815 that were finished)."""
    data = np.load(shared_data / "molecules" / "gschnet_samples" / "gschnet_samples.npz")
    table = Chem.GetPeriodicTable()
    positions, sizes = data["positions"], data["n_atoms"]
    ends = np.cumsum(sizes)
    symbols = [table.GetElementSymbol(int(z)) for z in data["atomic_numbers"]]
    molecules = [
        Molecule(tuple(symbols[a:b]), positions[a:b])
        for a, b in zip(ends - sizes, ends, strict=True)
    ]
    summary = _score(molecules).summary()
    percent = {k: 100 * v["rate"] for k, v in summary.items() if isinstance(v, dict)}
    assert summary["molecules"] == 10_000
    assert percent["atom_stability"] == pytest.approx(95.7, abs=0.06)
    assert percent["molecule_stability"] == pytest.approx(68.1, abs=0.06)
    assert percent["validity"] == pytest.approx(85.5, abs=0.06)
    assert percent["valid_and_unique"] == pytest.approx(80.3, abs=0.06)


@pytest.mark.shared
def test_published_figures_of_the_data_themselves(shared_data: Path) -> None:
    """EDM, Table 1, row of the data: atom stable 99.0, molecule stable 95.2, valid 97.7 %.

    The shared molecules are a part of QM9, so figures of molecules may differ by four standard
    errors. Atoms do not agree: here 99.46 % (53,742 of 54,033) are stable, by the rule that gives
    the published figures of G-SchNet to the digit; why 99.0 was published is not known.
    """
    from sciar.datasets.readers import read_all

    parts = [read_all(shared_data / "molecules" / "qm9" / f"{p}.jsonl.gz") for p in ("val", "test")]
    molecules = [
        Molecule(r.structure.symbols, r.structure.positions)
        for records, _ in parts
        for r in records
        if isinstance(r.structure, Molecule)
    ]
    summary = _score(molecules).summary()
    assert summary["molecules"] == 3000
    for name, published in (("molecule_stability", 0.952), ("validity", 0.977)):
        error = (published * (1 - published) / 3000) ** 0.5
        assert summary[name]["rate"] == pytest.approx(published, abs=4 * error)
    assert (
        summary["atom_stability"]["count"] == 53_742 and summary["atom_stability"]["of"] == 54_033
    )
