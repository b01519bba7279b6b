"""Oracles: what a molecule's value must not hang on, training, and the folder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sciar.datasets.preparing import halved
from sciar.errors import ModelError, UsageError
from sciar.oracle.folder import load_oracle, save_oracle
from sciar.oracle.network import AllPairs, Oracle, Scale, Size
from sciar.oracle.training import train_oracle
from sciar.records import Crystal, Molecule, Record

SIZE = Size(hidden=16, layers=2, gaussians=12, cutoff=5.0)


def molecules(count: int, seed: int = 0) -> list[Record]:
    """Diatomics and triatomics whose ``bond`` is a distance and whose ``mass`` grows with size."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        length, n = rng.uniform(0.8, 2.0), int(rng.integers(2, 4))
        positions = np.array([[0, 0, 0], [length, 0, 0], [0, length, 0]])[:n]
        symbols = ("C", "O", "N")[:n]
        values = {"bond": length, "mass": 14.0 * n + 0.1 * length}
        if i % 4 == 3:
            del values["mass"]
        made.append(Record(f"m{i}", Molecule(symbols, positions), values))
    return made


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    torch.set_num_threads(1)
    lines: list[str] = []
    made = train_oracle(
        molecules(120), ["bond", "mass"], size=SIZE, steps=250, lr=4e-3, tell=lines.append
    )
    assert len(lines) == 10
    return made


def test_it_learns_and_judges_in_units_of_the_data(oracle: Oracle) -> None:
    fresh = molecules(60, seed=1)
    found = oracle.predict([r.structure for r in fresh])
    bond = np.array([r.properties["bond"] for r in fresh])
    mass = np.array([14.0 * len(r.structure) for r in fresh]) + 0.1 * bond
    assert np.abs(found[:, 0] - bond).mean() < 0.3 * np.abs(bond - bond.mean()).mean()
    assert np.abs(found[:, 1] - mass).mean() < 0.5
    assert [s.per_atom for s in oracle.scales] == [False, True]
    assert oracle.scales[1].count == 90


def test_training_is_reproducible(oracle: Oracle) -> None:
    options = {"size": SIZE, "steps": 5}
    one, two = (train_oracle(molecules(20), ["bond"], **options) for _ in range(2))  # type: ignore[arg-type]
    structures = [r.structure for r in molecules(5)]
    np.testing.assert_array_equal(one.predict(structures), two.predict(structures))


def test_values_hang_on_the_shape_alone(oracle: Oracle) -> None:
    structures = [r.structure for r in molecules(9, seed=2)]
    wanted = oracle.predict(structures)
    for size in (1, 4):
        np.testing.assert_allclose(oracle.predict(structures, size), wanted, rtol=1e-4, atol=1e-4)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    moved = []
    for s in structures:
        assert isinstance(s, Molecule) and s.positions is not None
        moved.append(Molecule(s.symbols[::-1], s.positions[::-1] @ turn + 7.0))
    np.testing.assert_allclose(oracle.predict(moved), wanted, rtol=1e-3, atol=1e-3)


def test_what_is_no_molecule_has_no_value(oracle: Oracle) -> None:
    crystal = Crystal(np.eye(3) * 4, ("Na",), np.zeros((1, 3)))
    flat = Molecule(("C", "O"), None)
    found = oracle.predict([crystal, molecules(1)[0].structure, flat])
    assert np.isnan(found[[0, 2]]).all() and np.isfinite(found[1]).all()


def test_edges_join_near_atoms_of_one_molecule() -> None:
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [9, 0, 0], [0, 0, 0]])
    edges, distances = AllPairs(5.0)(pos, torch.tensor([0, 0, 0, 1]))
    assert edges.T.tolist() == [[0, 1], [1, 0]] and distances.tolist() == [1.0, 1.0]


def test_scales() -> None:
    atoms = np.array([2.0, 4, 8])
    assert Scale.of("x", 3 * atoms + 0.1, atoms).per_atom
    assert not Scale.of("x", np.array([1.0, 1.1, 0.9]), atoms).per_atom
    assert Scale.of("x", np.ones(3), np.ones(3)).std == 1.0


def test_the_folder_gives_the_same_oracle(oracle: Oracle, tmp_path: Path) -> None:
    save_oracle(tmp_path / "o", oracle)
    again = load_oracle(tmp_path / "o")
    structures = [r.structure for r in molecules(5)]
    np.testing.assert_array_equal(again.predict(structures), oracle.predict(structures))
    assert again.scales == oracle.scales and again.facts == oracle.facts
    weights = tmp_path / "o" / "oracle.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="checksum"):
        load_oracle(tmp_path / "o")
    config = tmp_path / "o" / "oracle.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "format": 99}))
    with pytest.raises(ModelError, match="newer"):
        load_oracle(tmp_path / "o")
    with pytest.raises(ModelError, match="sciar oracle"):
        load_oracle(tmp_path)
    (tmp_path / "other.txt").write_text("mine")
    with pytest.raises(UsageError, match="no oracle"):
        save_oracle(tmp_path, oracle)


def test_wrong_data_is_refused() -> None:
    with pytest.raises(UsageError, match="column 'fame'"):
        train_oracle(molecules(5), ["fame"])
    crystal = Crystal(np.eye(3) * 4, ("Na",), np.zeros((1, 3)))
    with pytest.raises(UsageError, match="none of 1 records"):
        train_oracle([Record("c", crystal, {"bond": 1.0})], ["bond"])
    with pytest.raises(UsageError, match="too few"):
        train_oracle(molecules(1), ["bond"])


def test_halves_are_disjoint_and_do_not_hang_on_the_order() -> None:
    records = molecules(200)
    first, second = halved(records, "first"), halved(records, "second")
    assert len(first) + len(second) == 200 and math.isclose(len(first), 100, abs_tol=30)
    ids = {r.id for r in first}
    assert not ids & {r.id for r in second}
    assert {r.id for r in halved(records[::-1], "first")} == ids
    with pytest.raises(UsageError, match="neither"):
        halved(records, "third")
    with pytest.raises(UsageError, match="none of 0"):
        halved([], "first")
