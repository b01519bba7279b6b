"""Octrees of heavy atoms with attached hydrogens: round trips, frames, and counts that hold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cursor_walks import assert_replayed, finish_randomly
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.records import Molecule
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.octree_held import ATTACHED, OWN, SIBLING, holders
from sciar.tokenization.octree_skeleton import OctreeSkeletonTokenizer
from sciar.tokenization.octree_tokenizer import OFFSET

LABELS = ("H", "C", "N", "O")
SEEDS, ATOMS = st.integers(0, 10_000), st.integers(1, 16)
SPREADS = st.sampled_from([0.05, 0.4, 1.2])
VARIANTS = {
    "plain": {},
    "local": {"context": "before", "offsets": "local", "order": "near"},
    "principal": {"frame": "principal", "rotation": 0.0, "mirror": True, "edge": 0.48},
}


def tokenizer(**options: object) -> OctreeSkeletonTokenizer:
    chosen = {"levels": 5, "edge": 0.96, "max_atoms": 24, "labels": LABELS, **options}
    return OctreeSkeletonTokenizer(**chosen)


def molecule(seed: int, atoms: int, spread: float = 1.2) -> Molecule:
    rng = np.random.default_rng(seed)
    return Molecule(tuple(rng.choice(LABELS, atoms)), rng.normal(0, spread, (atoms, 3)))


def methanol() -> Molecule:
    """Carbon, oxygen, and four hydrogens, of which the last is the oxygen's."""
    positions = [
        [0.0, 0.0, 0.0],
        [1.43, 0.0, 0.0],
        [-0.36, 1.03, 0.0],
        [-0.36, -0.51, 0.89],
        [-0.36, -0.51, -0.89],
        [1.75, 0.9, 0.0],
    ]
    return Molecule(("C", "O", "H", "H", "H", "H"), np.array(positions))


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=30)
@given(seed=SEEDS, atoms=ATOMS, spread=SPREADS, augmented=st.booleans())
def test_round_trip_keeps_every_atom_where_it_is(
    variant: str, seed: int, atoms: int, spread: float, augmented: bool
) -> None:
    """Up to a motion of the whole; the order of atoms says which is which."""
    made, own = molecule(seed, atoms, spread), tokenizer(**VARIANTS[variant])
    rng = np.random.default_rng(seed) if augmented else None
    found = own.decode(own.encode(made, augment=rng))
    rng = np.random.default_rng(seed) if augmented else None
    order = list(own.arranged(made, rng)[1])
    assert sorted(order) == list(range(atoms))
    assert found.symbols == tuple(made.symbols[i] for i in order)
    assert found.positions is not None and made.positions is not None
    away = [
        np.linalg.norm(p[:, None] - p[None], axis=-1)
        for p in (found.positions, made.positions[order])
    ]
    np.testing.assert_allclose(*away, atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=30)
@given(seed=SEEDS, atoms=ATOMS, spread=SPREADS)
def test_generation_announces_what_encoding_announces(
    variant: str, seed: int, atoms: int, spread: float
) -> None:
    own = tokenizer(**VARIANTS[variant])
    assert_replayed(own, own.request({}), own.encode(molecule(seed, atoms, spread)))


def test_every_token_knows_its_atom() -> None:
    own, made = tokenizer(**VARIANTS["local"]), methanol()
    sequence = own.encode(made)
    names = [own.vocabulary.names[i] for i in sequence.ids]
    about = own.atoms_of(made, sequence)
    hydrogens = [a for n, a in zip(names, about, strict=True) if n == ATTACHED]
    assert sorted(hydrogens) == [2, 3, 4, 5]
    by_atom = {a: n for n, a in zip(names, about, strict=True) if n.startswith("<holds")}
    assert by_atom == {0: "<holds-3>", 1: "<holds-1>"}
    assert [a for n, a in zip(names, about, strict=True) if n in ("C", "O")][-2:] in (
        [0, 1],
        [1, 0],
    )
    assert all(a is None for n, a in zip(names, about, strict=True) if n.startswith("<octant"))
    assert {a for n, a in zip(names, about, strict=True) if n == OFFSET} == {0, 1}


def test_attached_atoms_are_seen_from_the_one_that_holds_them() -> None:
    own, made = tokenizer(**VARIANTS["local"]), methanol()
    sequence, about = own.encode(made), own.atoms_of(made, own.encode(made))
    kind, holder = own.vocabulary.kind(ATTACHED), {2: 0, 3: 0, 4: 0, 5: 1}
    before: dict[int, list[int]] = {0: [], 1: []}
    for at in np.flatnonzero(sequence.kinds == kind):
        atom = about[at]
        assert atom is not None
        mine = holder[atom]
        length = np.linalg.norm(sequence.values[at, :3])
        expected = np.linalg.norm(made.positions[atom] - made.positions[mine])
        assert length == pytest.approx(expected, abs=1e-4)
        told = [r for r in sequence.references[at] if r >= 0]
        codes = sequence.relations[at][: len(told)].tolist()
        assert [about[r] for r in told] == [mine, 1 - mine, *before[mine]]
        assert codes == [OWN, 0, *[SIBLING] * len(before[mine])]
        np.testing.assert_allclose(sequence.positions[told[0]], sequence.places[at], atol=1e-6)
        before[mine].append(atom)


@settings(max_examples=40)
@given(seed=SEEDS, counts=st.dictionaries(st.sampled_from(LABELS), st.integers(1, 5), min_size=1))
def test_a_composition_holds_whatever_is_drawn(seed: int, counts: dict[str, int]) -> None:
    own = tokenizer(levels=2)
    rng = np.random.default_rng(seed)
    made = finish_randomly(own.cursor(own.request({"composition": counts})), rng)
    assert Counter(own.decode(made).symbols) == counts


@settings(max_examples=40)
@given(seed=SEEDS, wish=st.sampled_from([{}, {"atoms": 9}, {"elements": ["H", "O"]}]))
def test_wishes_hold_whatever_is_drawn(seed: int, wish: dict) -> None:
    own = tokenizer(levels=2)
    made = own.decode(finish_randomly(own.cursor(own.request(wish)), np.random.default_rng(seed)))
    assert len(made) == wish.get("atoms", len(made))
    assert set(made.symbols) == set(wish.get("elements", made.symbols))


@settings(max_examples=30)
@given(seed=SEEDS, points=st.integers(0, 9), sites=st.integers(1, 6))
def test_holders_are_the_nearest(seed: int, points: int, sites: int) -> None:
    rng = np.random.default_rng(seed)
    given_points, given_sites = rng.normal(size=(points, 3)), rng.normal(size=(sites, 3))
    found = holders(given_points, given_sites)
    for point, site in zip(given_points, found, strict=True):
        away = [float(np.linalg.norm(point - other)) for other in given_sites]
        assert away[site] == pytest.approx(min(away), abs=1e-5)


def test_it_is_stored_and_built_again() -> None:
    own = tokenizer(**VARIANTS["local"])
    again = build_tokenizer(entry_of(own), vocabulary=own.vocabulary)
    assert again.fingerprint == own.fingerprint
    assert "skeleton" in own.layout.name
    with pytest.raises(UsageError, match="attached 'F' is none of"):
        tokenizer(attached="F")
