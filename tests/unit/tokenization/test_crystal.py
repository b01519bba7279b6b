"""Crystals: the round trip by pymatgen, canonical order, cells, cursors, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cursor_walks import assert_replayed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sciar.datasets.readers import read_all
from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule
from sciar.testing.comparison import assert_same_structure
from sciar.tokenization.cell import from_parameters, reduce_cell, to_parameters
from sciar.tokenization.crystal import CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.elements import canonical_key
from sciar.tokenization.layout import Slots

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def is_same(first: Crystal, second: Crystal) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.5, primitive_cell=False)
    return bool(matcher.fit(first.to_pymatgen(), second.to_pymatgen()))


@pytest.mark.parametrize("cell", ["niggli", "as-given"])
@pytest.mark.parametrize(
    ("order", "coordinates"), [("canonical", "torus"), ("canonical", "plain"), ("file", "torus")]
)
def test_round_trip_of_the_shipped_crystals(
    crystals: list[Crystal], cell: str, order: str, coordinates: str
) -> None:
    tokenizer = CrystalTokenizer(cell=cell, order=order, coordinates=coordinates, max_atoms=60)
    for crystal in crystals:
        back = tokenizer.decode(tokenizer.encode(crystal))
        assert is_same(back, crystal)
        assert_same_structure(back, crystal, 1e-3)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
def test_round_trip_of_real_crystals() -> None:
    records, _ = read_all(SHARED / "crystals" / "mp_20" / "test.jsonl.gz")
    tokenizer = CrystalTokenizer()
    for record in records[:400:10]:
        assert is_same(tokenizer.decode(tokenizer.encode(record.structure)), record.structure)


@given(seed=st.integers(0, 10**6), shift=arrays(float, 3, elements=st.floats(-2, 2)))
def test_order_and_origin_of_the_input_do_not_matter(
    perovskite: Crystal, seed: int, shift: np.ndarray
) -> None:
    tokenizer = CrystalTokenizer()
    wanted = tokenizer.encode(perovskite)
    order = np.random.default_rng(seed).permutation(len(perovskite))
    moved = Crystal(
        perovskite.lattice,
        tuple(perovskite.species[i] for i in order),
        perovskite.frac[order] + shift,
    )
    found = tokenizer.encode(moved)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    gap = found.values - wanted.values
    site = wanted.kinds == tokenizer.vocabulary.kind("<site>")
    gap[site] -= np.round(gap[site])
    np.testing.assert_allclose(gap, 0, atol=1e-5)


def test_elements_come_by_electronegativity_and_the_first_site_is_the_origin(
    crystals: list[Crystal],
) -> None:
    tokenizer = CrystalTokenizer(max_atoms=60)
    for crystal in crystals:
        fields = tokenizer.fields(crystal)
        species = fields["composition"].tokens
        assert list(species) == sorted(species, key=canonical_key)
        np.testing.assert_array_equal(fields["sites"].values[0], 0)


def test_augmentation_moves_the_origin(perovskite: Crystal) -> None:
    tokenizer = CrystalTokenizer()
    rutile = Crystal(
        np.diag([4.6, 4.6, 2.96]),
        ("Ti", "Ti", "O", "O", "O", "O"),
        [
            [0, 0, 0],
            [0.5, 0.52, 0.5],
            [0.3, 0.3, 0],
            [0.7, 0.7, 0],
            [0.2, 0.8, 0.5],
            [0.8, 0.2, 0.5],
        ],
    )
    seen = {
        tokenizer.encode(rutile, augment=np.random.default_rng(seed)).values.tobytes()
        for seed in range(20)
    }
    assert len(seen) == 2


@pytest.mark.parametrize("task", ["csp", "denovo"])
def test_cursor_rebuilds_the_sequence(crystals: list[Crystal], task: str) -> None:
    tokenizer = CrystalTokenizer(task=task, max_atoms=60)
    for crystal in crystals:
        wish = {"composition": crystal.composition} if task == "csp" else {}
        assert_replayed(tokenizer, tokenizer.request(wish), tokenizer.encode(crystal))


def test_prompt_holds_the_given_words_in_both_directions(perovskite: Crystal) -> None:
    tokenizer = CrystalTokenizer()
    cursor = tokenizer.cursor(tokenizer.request({"composition": "SrTiO3"}))
    assert cursor.known == cursor.sequence().context == 7
    assert tokenizer.encode(perovskite).context == 7


lengths = st.floats(2.0, 12.0)
angles = st.floats(0.9, 2.0)


@given(st.tuples(lengths, lengths, lengths), st.tuples(angles, angles, angles), st.integers(1, 40))
def test_cell_parameters_are_inverse(
    size: tuple[float, ...], shape: tuple[float, ...], n: int
) -> None:
    parameters = np.array([*np.log(size), *(a - np.pi / 2 for a in shape)])
    try:
        lattice = from_parameters(parameters, n)
    except RecordError:
        return
    np.testing.assert_allclose(to_parameters(lattice, n), parameters, atol=1e-6)
    assert np.linalg.det(lattice) > 0


@given(arrays(float, (3, 3), elements=st.floats(-1, 1)), st.integers(0, 99))
def test_reduced_cells_hold_the_same_crystal(noise: np.ndarray, seed: int) -> None:
    lattice = np.diag([4.0, 5.0, 6.5]) + noise
    frac = np.random.default_rng(seed).random((3, 3))
    reduced, moved = reduce_cell(lattice, frac)
    assert np.linalg.det(reduced) == pytest.approx(np.linalg.det(lattice), rel=1e-6)
    assert_same_structure(
        Crystal(reduced, ("Na", "Cl", "O"), moved), Crystal(lattice, ("Na", "Cl", "O"), frac), 1e-4
    )


@pytest.mark.parametrize(
    "parameters", [[0, 0, 0, 1.5, 1.5, 1.5], [0, 0, 0, 3, 0, 0], [50, 0, 0, 0, 0, 0], [np.nan] * 6]
)
def test_impossible_cells_are_refused(parameters: list[float]) -> None:
    with pytest.raises(RecordError) as caught:
        from_parameters(np.array(parameters), 4)
    assert caught.value.field == "lattice"


def test_unsound_samples_are_told(perovskite: Crystal) -> None:
    tokenizer = CrystalTokenizer()
    request = tokenizer.request({"composition": "SrTiO3"})
    assert tokenizer.verify(perovskite, request) == ""
    tiny = Crystal(0.3 * np.eye(3), perovskite.species, perovskite.frac)
    assert "volume" in tokenizer.verify(tiny, request)
    long = Crystal(np.diag([300.0, 4, 4]), perovskite.species, perovskite.frac)
    assert "200" in tokenizer.verify(long, request)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(RecordError, match="not molecules"):
        CrystalTokenizer().encode(Molecule(("H",), np.zeros((1, 3))))
    with pytest.raises(RecordError, match="'Po'"):
        known = crystal_vocabulary(["Na"])
        CrystalTokenizer(vocabulary=known).encode(Crystal(np.eye(3), ("Po",), np.zeros((1, 3))))
    with pytest.raises(RecordError, match="25 atoms"):
        CrystalTokenizer().encode(
            Crystal(9 * np.eye(3), ("Na",) * 25, np.random.default_rng(0).random((25, 3)))
        )
    for options in ({"task": "x"}, {"cell": "x"}, {"order": "x"}, {"coordinates": "x"}):
        with pytest.raises(UsageError, match="'x'"):
            CrystalTokenizer(**options)


def test_statistics_are_those_of_the_lattices(crystals: list[Crystal]) -> None:
    tokenizer = CrystalTokenizer(max_atoms=60)
    tokenizer.fit_statistics(crystals)
    rows = np.concatenate([tokenizer.fields(c)["lattice"].values for c in crystals])
    lattice, site = tokenizer.vocabulary.slots
    np.testing.assert_allclose(lattice.mean, rows.mean(0))
    np.testing.assert_allclose(lattice.std, np.maximum(rows.std(0), 0.02))
    assert site.std == (1.0, 1.0, 1.0)
    plain = CrystalTokenizer(max_atoms=60, coordinates="plain")
    plain.fit_statistics(crystals)
    assert plain.vocabulary.slots[0] == lattice
    assert 0.05 < min(plain.vocabulary.slots[1].std) < max(plain.vocabulary.slots[1].std) < 0.5


def test_a_special_position_stays_on_one_side_of_the_seam(perovskite: Crystal) -> None:
    """Noise of the data around a special position does not tear its sites apart."""
    tokenizer = CrystalTokenizer(coordinates="plain")
    for shift in (-1e-3, 0.0, 1e-3):
        frac = perovskite.frac.copy()
        frac[1:] += shift
        shaken = Crystal(perovskite.lattice, perovskite.species, frac)
        sites = tokenizer.fields(shaken)["sites"]
        assert isinstance(sites, Slots)
        near = np.round(sites.values * 2) / 2
        np.testing.assert_allclose(sites.values, near, atol=0.05)
        assert near.min() == 0 and near.max() == 0.5


def test_what_hardly_varies_has_no_exploding_loss(crystals: list[Crystal]) -> None:
    """Fitted on cubic cells only, the angles of a hexagonal one are far away, not at infinity."""
    tokenizer = CrystalTokenizer()
    cubic = Crystal(4 * np.eye(3), ("Na", "Cl"), np.array([[0.0] * 3, [0.5] * 3]))
    tokenizer.fit_statistics([cubic] * 3)
    hexagonal = np.array([[4.0, 0, 0], [-2.0, 2 * 3**0.5, 0], [0, 0, 6.0]])
    other = Crystal(hexagonal, ("Na", "Cl"), np.array([[0.0] * 3, [0.5] * 3]))
    lattice = tokenizer.vocabulary.slots[0]
    values = tokenizer.fields(other)["lattice"].values[0]
    far = (values - np.array(lattice.mean)) / np.array(lattice.std)
    assert 1 < np.abs(far).max() < 50
