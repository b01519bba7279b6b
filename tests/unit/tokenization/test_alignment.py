"""Crystals described in the frame of another one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.records import Crystal
from sciar.testing.comparison import assert_same_structure
from sciar.tokenization.alignment import aligned, unimodular

SPECIES = ("Sr", "Ti", "O", "O", "O", "Cl")


def cell(rng: np.random.Generator, n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A generic cell and sites, the first one at the origin."""
    lattice = np.diag(rng.uniform(3, 6, 3)) + rng.uniform(-0.6, 0.6, (3, 3))
    frac = rng.random((n, 3))
    return lattice, (frac - frac[0]) % 1.0


def test_bases_are_all_small_rotations() -> None:
    bases, inverses = unimodular()
    assert len(bases) == len(np.unique(bases, axis=0)) == 3480
    np.testing.assert_array_equal(bases @ inverses, np.broadcast_to(np.eye(3), bases.shape))
    np.testing.assert_array_equal(bases[0], np.eye(3))


@given(st.integers(0, 10_000))
def test_another_description_of_the_same_crystal_falls_on_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice, frac = cell(rng)
    # The way back must be among the bases that are tried.
    ways = unimodular()[0][np.abs(unimodular()[1]).max((1, 2)) == 1]
    basis = ways[rng.integers(len(ways))]
    order = rng.permutation(len(SPECIES))
    other = ((frac + rng.random(3)) @ np.linalg.inv(basis))[order]
    species = tuple(SPECIES[i] for i in order)
    found, near, which = aligned(species, basis @ lattice, other, SPECIES, lattice, frac)
    assert tuple(species[i] for i in which) == SPECIES
    np.testing.assert_allclose(near, frac, atol=1e-6)
    np.testing.assert_allclose(found @ found.T, lattice @ lattice.T, atol=1e-6)


@given(st.integers(0, 10_000))
def test_what_is_aligned_is_still_the_same_crystal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = cell(rng), cell(rng)
    lattice, near, which = aligned(SPECIES, *ours, SPECIES, *theirs)
    assert sorted(which) == list(range(len(SPECIES)))
    assert np.abs(near - theirs[1]).max() <= 0.5 + 1e-9 and not np.abs(near[0]).any()
    made = Crystal(lattice, tuple(SPECIES[i] for i in which), near)
    assert_same_structure(made, Crystal(ours[0], SPECIES, ours[1]), 1e-3)


def test_displaced_sites_stay_with_their_own_kind() -> None:
    """A swap of two elements costs more than the displacement of each."""
    lattice = np.diag([4.0, 5.0, 6.0])
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0.1]])
    species = ("Na", "Na", "Cl", "Cl")
    moved = (frac + [[0, 0, 0], [0.05, 0, 0], [0, 0.04, 0], [0, 0, -0.06]])[[3, 1, 0, 2]]
    kinds = tuple(species[i] for i in (3, 1, 0, 2))
    found, near, which = aligned(kinds, lattice * 1.1, moved, species, lattice, frac)
    assert which.tolist() == [2, 1, 3, 0]
    np.testing.assert_allclose(found, lattice * 1.1)
    assert np.abs(near - frac).max() == pytest.approx(0.06)
