"""Crystals as octrees: periodic round trips, the origin, and compositions that hold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cursor_walks import assert_replayed, finish_randomly
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule
from sciar.tokenization.octree_crystal import OctreeCrystalTokenizer

LABELS = ("Na", "O", "Ti", "Cl")
SEEDS = st.integers(0, 10_000)


def tokenizer(**options: object) -> OctreeCrystalTokenizer:
    chosen = {"cell": "as-given", "levels": 3, "max_atoms": 12, "labels": LABELS, **options}
    return OctreeCrystalTokenizer(**chosen)  # type: ignore[arg-type]


def crystal(seed: int, atoms: int, special: bool = False) -> Crystal:
    """Random cell; ``special`` puts the sites on simple fractions, where cells must not part."""
    rng = np.random.default_rng(seed)
    lattice = np.diag(rng.uniform(3, 40, 3)) + rng.uniform(-0.4, 0.4, (3, 3))
    frac = rng.integers(0, 4, (atoms, 3)) / 4 if special else rng.random((atoms, 3)) * 3 - 1
    return Crystal(lattice, tuple(rng.choice(LABELS, atoms)), frac)


def away(a: Crystal, b: Crystal) -> float:
    """Largest distance between a site of ``b`` and the nearest of its element in ``a``, moved."""
    at = [np.array([i for i, s in enumerate(c.species) if s == b.species[0]]) for c in (a, b)]
    best = np.inf
    for origin in at[0]:
        moved = a.frac - a.frac[origin] + b.frac[0]
        step = b.frac[:, None] - moved[None]
        step = (step - np.rint(step)) @ b.lattice
        far = np.linalg.norm(step, axis=-1)
        far[np.array(b.species)[:, None] != np.array(a.species)[None]] = np.inf
        best = min(best, max(far.min(1).max(), far.min(0).max()))
    return best


@settings(max_examples=50)
@given(SEEDS, st.integers(1, 8), st.booleans(), st.booleans())
def test_round_trip_up_to_the_origin(seed: int, atoms: int, special: bool, augmented: bool) -> None:
    own, given = tokenizer(), crystal(seed, atoms, special)
    rng = np.random.default_rng(seed) if augmented else None
    found = own.decode(own.encode(given, augment=rng))
    assert isinstance(found, Crystal)
    assert found.composition == given.composition
    lengths = [np.linalg.norm(c.lattice, axis=1) for c in (found, given)]
    np.testing.assert_allclose(*lengths, rtol=1e-5)
    assert away(given, found) < 1e-3


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 8), st.booleans(), st.sampled_from(["csp", "denovo"]))
def test_generation_announces_what_encoding_announces(
    seed: int, atoms: int, special: bool, task: str
) -> None:
    own, given = tokenizer(task=task), crystal(seed, atoms, special)
    wish = {"composition": dict(given.composition)} if task == "csp" else {}
    assert_replayed(own, own.request(wish), own.encode(given))


@settings(max_examples=30)
@given(SEEDS, st.dictionaries(st.sampled_from(LABELS), st.integers(1, 3), min_size=1))
def test_a_composition_holds_whatever_is_drawn(seed: int, counts: dict[str, int]) -> None:
    own = tokenizer(levels=1)
    rng = np.random.default_rng(seed)
    made = own.decode(finish_randomly(own.cursor(own.request({"composition": counts})), rng))
    assert Counter(made.species) == counts
    assert np.abs(made.frac[0]).max() < 1e-6  # the first site of the first element is the origin


def test_sites_about_a_face_share_a_cell() -> None:
    own = tokenizer()
    near = Crystal(
        np.eye(3) * 4, ("Na", "O", "O"), np.array([[0, 0, 0], [0.01, 0.5, 0], [0.99, 0.5, 0]])
    )
    names = [own.vocabulary.names[i] for i in own.encode(near).ids]
    assert names.count("+O") == 1
    assert away(near, own.decode(own.encode(near))) < 1e-5


def test_large_and_flat_cells_are_taken() -> None:
    """No box limits the cell, and nothing is fitted."""
    own = tokenizer()
    flat = Crystal(np.diag([2.5, 90.0, 3.0]), ("Na", "Cl"), np.array([[0, 0, 0], [0.5, 0.3, 0.5]]))
    assert away(flat, own.decode(own.encode(flat))) < 1e-3


def test_bad_input_is_named() -> None:
    own = tokenizer()
    with pytest.raises(RecordError, match="takes crystals, not molecules"):
        own.encode(Molecule(("O",), np.zeros((1, 3))))
    with pytest.raises(RecordError, match="'Xe' is not among the 4 kinds"):
        own.encode(Crystal(np.eye(3) * 4, ("Xe",), np.zeros((1, 3))))
    with pytest.raises(UsageError, match="give one"):
        own.request({})
    with pytest.raises(UsageError, match="levels"):
        tokenizer(levels=11)
