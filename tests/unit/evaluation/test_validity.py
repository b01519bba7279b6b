"""Structural and compositional validity, against explicit searches and against smact."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.evaluation.validity import (
    composition_is_valid,
    is_valid,
    minimum_distance,
    structure_is_valid,
)
from sciar.records import Crystal


def _explicit_minimum(crystal: Crystal, reach: int) -> float:
    images = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    best = np.inf
    for i, a in enumerate(crystal.frac):
        for j, b in enumerate(crystal.frac):
            lengths = np.linalg.norm((a - b + images) @ crystal.lattice, axis=1)
            if i == j:
                lengths = lengths[np.any(images != 0, axis=1)]
            best = min(best, lengths.min())
    return float(best)


@st.composite
def _crystals(draw: st.DrawFn) -> Crystal:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lattice = rng.normal(size=(3, 3)) * draw(st.sampled_from([0.7, 1.5, 4.0]))
    if abs(np.linalg.det(lattice)) < 0.05:
        lattice += 2 * np.eye(3)
    count = draw(st.integers(1, 5))
    return Crystal(lattice, ("C",) * count, rng.uniform(-2, 2, (count, 3)))


@given(_crystals())
def test_minimum_distance_agrees_with_an_explicit_search(crystal: Crystal) -> None:
    expected = _explicit_minimum(crystal, 7)
    found = minimum_distance(crystal)
    # the wider search may be finite too; below 1 angstrom the short one is exact
    if min(expected, found) < 1.0:
        assert found == pytest.approx(expected, abs=1e-9) or found < expected
        assert (found >= 0.5) == (_explicit_minimum(crystal, 10) >= 0.5)
    else:
        assert found >= 1.0


@given(_crystals(), st.integers(0, 2**32 - 1))
def test_validity_ignores_rotation_origin_and_order(crystal: Crystal, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(crystal))
    moved = Crystal(
        crystal.lattice @ rotation,
        tuple(crystal.species[i] for i in order),
        (crystal.frac + rng.normal(size=3) + rng.integers(-3, 4, crystal.frac.shape))[order],
    )
    if abs(minimum_distance(crystal) - 0.5) > 1e-6:
        assert structure_is_valid(moved) == structure_is_valid(crystal)


def test_structural_rule_at_its_limits() -> None:
    def pair(distance: float) -> Crystal:
        return Crystal(8 * np.eye(3), ("C", "C"), np.array([[0, 0, 0], [0, 0, 1 - distance / 8]]))

    assert structure_is_valid(pair(0.51))
    assert not structure_is_valid(pair(0.49))
    assert not structure_is_valid(Crystal(np.diag([0.4, 9, 9]), ("C",), np.zeros((1, 3))))
    assert not structure_is_valid(Crystal(np.diag([0.6, 0.6, 0.2]), ("C",), np.zeros((1, 3))))
    assert not structure_is_valid(None)


def test_a_skewed_cell_hides_no_short_distance() -> None:
    # the cell vectors are long, but b - 20 a is 0.4 angstrom
    lattice = np.array([[3.0, 0, 0], [60.0, 0.4, 0], [0, 0, 9.0]])
    assert minimum_distance(Crystal(lattice, ("C",), np.zeros((1, 3)))) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("composition", "valid"),
    [
        ({"Na": 4, "Cl": 4}, True),
        ({"Na": 1, "Cl": 2}, False),
        ({"Fe": 2, "O": 3}, True),
        ({"C": 24}, True),  # an element
        ({"Cu": 3, "Au": 1}, True),  # an alloy
        ({"He": 1, "O": 1}, False),  # no oxidation state
        ({"Sr": 1, "Ti": 1, "O": 3}, True),
        ({"O": 1, "F": 2}, True),
        ({}, False),
    ],
)
def test_compositions_whose_answer_is_known(composition: dict[str, int], valid: bool) -> None:
    assert composition_is_valid(composition) is valid


def test_composition_is_reduced_first() -> None:
    for n in (1, 2, 7):
        assert composition_is_valid({"Mg": n, "O": n}) and not composition_is_valid(
            {"Mg": 3 * n, "F": 7 * n}
        )


def test_agrees_with_smact_on_random_compositions() -> None:
    smact = pytest.importorskip("smact")
    screening = pytest.importorskip("smact.screening")
    from sciar.evaluation.validity import _element_table

    rng = np.random.default_rng(0)
    symbols = [s for s, e in _element_table().items() if e["states"]]
    agree, valid, total = 0, 0, 600
    for _ in range(total):
        chosen = rng.choice(symbols, size=rng.integers(1, 5), replace=False)
        counts = {
            str(s): int(n) for s, n in zip(chosen, rng.integers(1, 5, len(chosen)), strict=True)
        }
        formula = "".join(f"{s}{n}" for s, n in counts.items())
        theirs = screening.smact_validity(formula, oxidation_states_set="smact14")
        valid += theirs
        agree += composition_is_valid(counts) == theirs
    assert 50 < valid < 550  # both answers occur
    assert agree / total == 1.0, f"agreement with smact {smact.__version__}: {agree} of {total}"


def test_validity_of_whole_structures(rocksalt: Callable[..., Crystal]) -> None:
    good = rocksalt()
    assert is_valid(good) and is_valid(good.to_pymatgen())
    assert not is_valid(rocksalt(a=0.6))
    assert not is_valid(rocksalt("Na", "He"))
