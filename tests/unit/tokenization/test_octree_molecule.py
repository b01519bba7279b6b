"""Molecules as octrees: round trips, what is announced, and counts that hold whatever is drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cursor_walks import assert_replayed, finish_randomly
from hypothesis import given, settings
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule
from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer
from sciar.tokenization.octree_tokenizer import OFFSET

LABELS = ("H", "C", "N", "O")


def tokenizer(**options: object) -> OctreeMoleculeTokenizer:
    chosen = {"levels": 5, "edge": 0.48, "max_atoms": 24, "labels": LABELS, **options}
    return OctreeMoleculeTokenizer(**chosen)  # type: ignore[arg-type]


def molecule(seed: int, atoms: int, spread: float = 1.2) -> Molecule:
    """Random points; with a small spread several fall into one cell."""
    rng = np.random.default_rng(seed)
    return Molecule(tuple(rng.choice(LABELS, atoms)), rng.normal(0, spread, (atoms, 3)))


def distances(of: Molecule) -> np.ndarray:
    """All distances, sorted."""
    assert of.positions is not None
    away = np.linalg.norm(of.positions[:, None] - of.positions[None], axis=-1)
    return np.sort(away.ravel())


SEEDS = st.integers(0, 10_000)
ATOMS = st.integers(1, 16)
SPREADS = st.sampled_from([0.05, 0.4, 1.2])
VARIANTS = {
    "published": {"levels": None, "edge": None, "anchor": "centre"},
    "corner": {},
    "principal": {"frame": "principal", "rotation": 0.0, "mirror": True},
    "above": {"context": "above"},
    "before": {"context": "before", "frame": "principal", "rotation": 0.0},
    "local": {"context": "before", "offsets": "local", "levels": 3, "edge": 1.92},
    "near": {"context": "before", "order": "near", "edge": 0.96},
}


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=30)
@given(seed=SEEDS, atoms=ATOMS, spread=SPREADS, augmented=st.booleans())
def test_round_trip_keeps_the_labels_and_all_distances(
    variant: str, seed: int, atoms: int, spread: float, augmented: bool
) -> None:
    given = molecule(seed, atoms, spread)
    own = tokenizer(**VARIANTS[variant])
    found = own.decode(
        own.encode(given, augment=np.random.default_rng(seed) if augmented else None)
    )
    assert Counter(found.symbols) == Counter(given.symbols)
    # Points come back up to a motion and their order.
    np.testing.assert_allclose(distances(found), distances(given), atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=30)
@given(seed=SEEDS, atoms=ATOMS, spread=SPREADS)
def test_generation_announces_what_encoding_announces(
    variant: str, seed: int, atoms: int, spread: float
) -> None:
    own = tokenizer(**VARIANTS[variant])
    assert_replayed(own, own.request({}), own.encode(molecule(seed, atoms, spread)))


@pytest.mark.parametrize("context", ["above", "before"])
@settings(max_examples=20)
@given(seed=SEEDS, atoms=ATOMS, spread=SPREADS)
def test_words_refer_to_the_nearest_words_since_the_mask_above_them(
    context: str, seed: int, atoms: int, spread: float
) -> None:
    own = tokenizer(context=context)
    found = own.encode(molecule(seed, atoms, spread))
    names = [own.vocabulary.names[i] for i in found.ids]
    told = [own.vocabulary.names[i] if i >= 0 else "" for i in found.labels]
    begin, offsets = names.index("<structure>") + 1, names.index(OFFSET)
    above: list[int] = []  # of each word and of what is still to come, the mask above it
    cells: list[int] = []
    for at in range(begin, offsets):
        if names[at].startswith("<octant"):
            under = bin(int(names[at][8:-1])).count("1")
            (cells if told[at] == "<level-1>" else above).extend([at] * under)
    first = [begin, *above]
    at_cell = -1
    for at in range(begin, offsets):
        if told[at] == "<level-0>":
            ahead = min(at_cell + 1, len(cells) - 1)
            at_cell += not names[at].startswith("+")
            own_mask = cells[ahead]
        else:
            own_mask = first[at - begin]
        stop = at
        if context == "above":
            stop = next(i for i in range(begin, offsets) if told[i] == told[at])
        away = [
            np.linalg.norm(found.positions[j] - found.places[at]) for j in range(own_mask, stop)
        ]
        chosen = [j for j in found.references[at] if j >= 0]
        assert len(chosen) == min(8, len(away)) == len(set(chosen))
        assert all(own_mask <= j < stop for j in chosen)
        np.testing.assert_allclose(
            [np.linalg.norm(found.positions[j] - found.places[at]) for j in chosen],
            sorted(away)[: len(chosen)],
            atol=2e-3,
        )


def test_offsets_are_told_of_cells_whose_offsets_come_later() -> None:
    own = tokenizer(context="before")
    found = own.encode(molecule(1, 5))
    slots = np.flatnonzero(found.kinds > 0)
    for i, at in enumerate(slots):
        chosen = set(found.references[at].tolist()) - {-1}
        assert chosen == {*slots[:i].tolist(), *(slots[i + 1 :] - 5).tolist()}
        later = found.references[at][found.relations[at] == 1]
        assert set(later.tolist()) == set((slots[i + 1 :] - 5).tolist())


@settings(max_examples=30)
@given(seed=SEEDS, atoms=ATOMS, spread=SPREADS)
def test_in_the_order_near_each_offset_is_nearest_to_those_before_it(
    seed: int, atoms: int, spread: float
) -> None:
    """By the cells, hydrogens last; the references name the same points as in the other order."""
    given = molecule(seed, atoms, spread)
    one, two = (tokenizer(context="before", order=o).encode(given) for o in ("cells", "near"))
    slots = np.flatnonzero(one.kinds > 0)
    turn = [int(np.flatnonzero(one.anchors[slots] == two.anchors[at])[0]) for at in slots]
    assert sorted(turn) == list(range(atoms))
    np.testing.assert_array_equal(one.values[slots][turn], two.values[slots])
    centres, late = two.places[slots], two.labels[slots] == tokenizer().vocabulary.id("H")
    assert (np.diff(late.astype(int)) >= 0).all()
    for i in range(1, atoms):
        rest = [j for j in range(i, atoms) if late[j] == late[i]]
        away = np.linalg.norm(centres[rest][:, None] - centres[None, :i], axis=-1).min(1)
        assert away[0] <= away.min() + 2e-3
    words = slots - atoms  # where the label of each cell stands
    for i, at in enumerate(slots):
        found = [r for r in two.references[at] if r >= 0]
        cells = [turn[r - slots[0]] if r >= slots[0] else int(r - words[0]) for r in found]
        expected = [r for r in one.references[slots[turn[i]]] if r >= 0]
        known = [int(r - (slots[0] if r >= slots[0] else words[0])) for r in expected]
        assert cells == known and turn[i] not in cells
        assert all(turn.index(c) > i for r, c in zip(found, cells, strict=True) if r < slots[0])


def test_masks_stand_at_the_middle_of_what_they_hold() -> None:
    plain, own = tokenizer(), tokenizer(context="before")
    given = molecule(4, 9)
    one, two = plain.encode(given), own.encode(given)
    np.testing.assert_array_equal(one.places, two.places)
    names = [own.vocabulary.names[i] for i in two.ids]
    begin = names.index("<structure>") + 1
    masks = [i for i, name in enumerate(names) if name.startswith("<octant")]
    # Words in order: below each mask its children, nodes or cells.
    children = begin + 1
    cells = [i for i, name in enumerate(names) if two.labels[i] == own.vocabulary.id("<level-0>")]
    cells = [i for i in cells if not names[i].startswith("+") and names[i][0] != "<"]
    rows = [*range(children, masks[-1] + 1), *cells]
    for at in masks:
        count = bin(int(names[at][8:-1])).count("1")
        under, rows = rows[:count], rows[count:]
        middle = one.positions[under].mean(0)
        np.testing.assert_allclose(two.positions[at], middle, atol=1e-4)
    assert not rows


@settings(max_examples=40)
@given(seed=SEEDS, counts=st.dictionaries(st.sampled_from(LABELS), st.integers(1, 6), min_size=1))
def test_a_composition_holds_whatever_is_drawn(seed: int, counts: dict[str, int]) -> None:
    own = tokenizer(levels=2, edge=0.96)
    made = finish_randomly(own.cursor(own.request({"composition": counts})), _rng(seed))
    assert Counter(own.decode(made).symbols) == counts


@settings(max_examples=40)
@given(seed=SEEDS, atoms=st.integers(1, 24), elements=st.sampled_from([None, "C", "HC", "CO"]))
def test_a_number_of_atoms_holds_whatever_is_drawn(
    seed: int, atoms: int, elements: str | None
) -> None:
    own = tokenizer(levels=2, edge=0.96)
    wanted = {"atoms": max(atoms, len(elements or ""))}
    if elements:
        wanted["elements"] = list(elements)
    made = own.decode(finish_randomly(own.cursor(own.request(wanted)), _rng(seed)))
    assert len(made) == wanted["atoms"]
    if elements:
        assert set(made.symbols) == set(elements)


def test_offsets_lie_within_their_cell_up_to_half_a_bin() -> None:
    own = tokenizer()
    for seed in range(30):
        sequence = own.encode(molecule(seed, 12), augment=_rng(seed))
        offsets = sequence.payload(own.vocabulary.kind(OFFSET), 3)
        assert np.abs(offsets).max() <= 0.24 + 0.005 + 1e-5


def test_water_of_the_specification() -> None:
    """Golden masks of spec 1.7: no augmentation, anchored at the centre."""
    own = tokenizer(levels=None, edge=None, anchor="centre", preset="qm9")
    water = Molecule(("O", "H", "H"), np.array([[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]]))
    names = [own.vocabulary.names[i] for i in own.encode(water).ids]
    masks = [int(n[8:-1]) for n in names if n.startswith("<octant")]
    assert masks == [224, 4, 2, 1, 4, 2, 1, 4, 2, 1, 4, 1, 2, 1, 8, 8]
    assert names[:6] == ["<bos>", "H", "*2", "O", "*1", "<structure>"]
    assert names[-8:-1] == ["<octant-8>", "O", "H", "H", OFFSET, OFFSET, OFFSET]


def test_points_in_one_cell_are_all_kept() -> None:
    own = tokenizer()
    pair = Molecule(("O", "H", "H"), np.array([[0, 0, 0], [0.01, 0, 0], [0.02, 0, 0]]))
    names = [own.vocabulary.names[i] for i in own.encode(pair).ids]
    assert sum(name.startswith("+") for name in names) == 2
    assert Counter(own.decode(own.encode(pair)).symbols) == {"O": 1, "H": 2}


def test_dropped_masks_leave_everything_else_as_it_is() -> None:
    own, whole = tokenizer(drop=0.9), tokenizer()
    given, level = molecule(3, 12), own.vocabulary.id("<level-1>")
    lengths = set()
    for seed in range(20):
        thin, full = (t.encode(given, augment=_rng(seed)) for t in (own, whole))
        lengths.add(len(thin))
        kept = [(int(i), tuple(p)) for i, p in zip(thin.ids, thin.positions, strict=True)]
        every = [(int(i), tuple(p)) for i, p in zip(full.ids, full.positions, strict=True)]
        assert [x for x in every if x in kept] == kept
        missing = [i for i, x in enumerate(every) if x not in kept]
        assert all(full.labels[i] == level and full.kinds[i] == 0 for i in missing)
        for slot in np.flatnonzero(thin.kinds):
            near = thin.references[slot]
            assert (thin.kinds[near[near >= 0]] > 0).all()
    assert len(lengths) > 5
    assert len(own.encode(given)) == len(whole.encode(given))
    with pytest.raises(UsageError, match="no share"):
        tokenizer(drop=1.5)


def test_bad_input_is_named() -> None:
    own = tokenizer()
    with pytest.raises(RecordError, match="'Xe' is not among the 4 kinds"):
        own.encode(Molecule(("Xe",), np.zeros((1, 3))))
    with pytest.raises(RecordError, match="span 40 angstrom"):
        own.encode(Molecule(("C", "C"), np.array([[0, 0, 0], [40.0, 0, 0]])))
    with pytest.raises(RecordError, match="25 atoms; this tokenizer takes at most 24"):
        own.encode(molecule(0, 25))
    with pytest.raises(RecordError, match="takes molecules, not crystals"):
        own.encode(Crystal(np.eye(3) * 4, ("C",), np.zeros((1, 3))))
    with pytest.raises(UsageError, match="leave out smiles"):
        own.request({"smiles": "C"})
    with pytest.raises(UsageError, match="30 atoms are wanted, but at most 24"):
        own.request({"atoms": 30})
    with pytest.raises(RecordError, match="30 atoms; this model was built for at most 24"):
        own.request({"composition": "C30"})
    with pytest.raises(UsageError, match="a composition is exact"):
        own.request({"composition": "C2", "atoms": 2})


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_tokens_know_their_atom() -> None:
    own, given = tokenizer(), molecule(5, 9)
    sequence = own.encode(given)
    atoms = own.atoms_of(given, sequence)
    slots = [atom for atom, kind in zip(atoms, sequence.kinds, strict=True) if kind]
    assert sorted(slots) == list(range(9))
    assert sum(atom is not None for atom in atoms) == 18
    found = own.decode(sequence)
    assert [given.symbols[i] for i in slots] == list(found.symbols)
    # The frame is moved, not turned: the same shift takes every atom to its place.
    shift = found.positions - given.positions[slots]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)
