"""The published two trees of a crystal, and the cell from its corners."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cursor_walks import assert_replayed, finish_randomly
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import RecordError
from sciar.records import Crystal
from sciar.tokenization.corners import corners, fit_cell
from sciar.tokenization.octree_compat import TwoTreeTokenizer
from sciar.tokenization.octree_grid import random_rotation

LABELS = ("Na", "O", "Cl")
SEEDS = st.integers(0, 10_000)


def tokenizer(**options: object) -> TwoTreeTokenizer:
    chosen = {"levels": 6, "labels": LABELS, "max_atoms": 8, **options}
    return TwoTreeTokenizer(**chosen)  # type: ignore[arg-type]


def crystal(seed: int, atoms: int) -> Crystal:
    rng = np.random.default_rng(seed)
    lattice = np.diag(rng.uniform(3, 5, 3)) + rng.uniform(-1, 1, (3, 3))
    return Crystal(lattice, tuple(rng.choice(LABELS, atoms)), rng.random((atoms, 3)))


def distances(of: Crystal) -> np.ndarray:
    """Sorted distances to the nearest images."""
    step = of.frac[:, None] - of.frac[None]
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), -1).reshape(-1, 3)
    away = (step[..., None, :] + shifts) @ of.lattice
    return np.sort(np.linalg.norm(away, axis=-1), axis=-1)[..., :2].ravel()


@settings(max_examples=30)
@given(SEEDS)
def test_a_cell_is_found_from_its_corners(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = np.diag(rng.uniform(2, 12, 3)) + rng.uniform(-1, 1, (3, 3))
    lattice = lattice @ random_rotation(rng)
    points = rng.permutation(corners(lattice) + rng.normal(size=3))
    points += rng.uniform(-0.02, 0.02, (8, 3))
    found, _ = fit_cell(points)
    expected, made = (np.sort(np.linalg.svd(x)[1]) for x in (lattice, found))
    np.testing.assert_allclose(made, expected, atol=0.05)
    assert np.linalg.det(found) > 0


def test_points_that_are_no_corners_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(RecordError, match="corner"):
        fit_cell(rng.normal(size=(8, 3)) * 5)
    with pytest.raises(RecordError, match="7 corners instead of 8"):
        fit_cell(corners(np.eye(3))[:7])
    bent = corners(np.eye(3) * 4)
    bent[7] += 0.4
    with pytest.raises(RecordError, match="angstrom from where"):
        fit_cell(bent)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 5), st.booleans())
def test_round_trip(seed: int, atoms: int, augmented: bool) -> None:
    own, given = tokenizer(), crystal(seed, atoms)
    found = own.decode(
        own.encode(given, augment=np.random.default_rng(seed) if augmented else None)
    )
    assert isinstance(found, Crystal)
    assert found.composition == given.composition
    assert found.volume == pytest.approx(given.volume, rel=1e-3)
    np.testing.assert_allclose(np.sort(distances(found)), np.sort(distances(given)), atol=0.01)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 5))
def test_generation_announces_what_encoding_announces(seed: int, atoms: int) -> None:
    own, given = tokenizer(task="csp"), crystal(seed, atoms)
    wish = own.request({"composition": dict(given.composition)})
    assert_replayed(own, wish, own.encode(given))


def test_there_are_eight_corners_and_the_composition_holds() -> None:
    own = tokenizer(levels=2)
    for seed in range(10):
        cursor = own.cursor(own.request({"composition": "Na2 O3"}))
        made = own.layout.split(
            own.vocabulary, finish_randomly(cursor, np.random.default_rng(seed))
        )
        assert len(made["corners"].specs) == 8
        assert Counter(s.label for s in made["atoms"].specs) == {"Na": 2, "O": 3}


def test_a_cell_larger_than_the_box_is_refused() -> None:
    long = Crystal(np.diag([3.0, 3.0, 30.0]), ("Na",), np.zeros((1, 3)))
    with pytest.raises(RecordError, match="octree of 6 levels"):
        tokenizer().encode(long)
