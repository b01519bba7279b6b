"""Powder patterns: physics against closed forms, grids, slots, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import random_crystals, tiny_config, tiny_model

from sciar.errors import RecordError, UsageError
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.records import Crystal, PowderPattern, Record, Structure
from sciar.testing.tokenizers import TokenizerTests
from sciar.tokenization.diffraction import CU_K_ALPHA, PatternGrid, peaks_of
from sciar.tokenization.pattern import PXRD, Diffracted, PatternTokenizer

BASE = {
    "class_path": "sciar.tokenization.crystal.CrystalTokenizer",
    "init_args": {"max_atoms": 8, "cell": "as-given"},
}
GRID = {"start": 10.0, "stop": 80.0, "points": 64}


def tokenizer(**options: Any) -> PatternTokenizer:
    made = PatternTokenizer(BASE, grid=GRID, width=16, **options)
    made.fit_statistics(random_crystals(20))
    return made


def cubic(edge: float, *symbols: str) -> Crystal:
    """One atom at the corner, the others at the centre of the body."""
    frac = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])[: len(symbols)]
    return Crystal(np.eye(3) * edge, symbols, frac)


class TestContract(TokenizerTests):
    """The house rules of tokenizers hold for one around another."""

    tolerance = 2e-3

    def make_tokenizer(self) -> PatternTokenizer:
        return tokenizer()

    def make_structures(self) -> Sequence[Structure]:
        return random_crystals(5)

    def make_inexpressible(self) -> Structure:
        return Crystal(np.eye(3) * 4, ("Zz",), np.zeros((1, 3)))


@given(st.floats(3.0, 8.0))
def test_peaks_obey_braggs_law(edge: float) -> None:
    grid = PatternGrid(10, 80, 64)
    found = peaks_of(cubic(edge, "Cu"), grid)
    squares = sorted({h * h + k * k + m * m for h in range(9) for k in range(9) for m in range(9)})
    sine = CU_K_ALPHA / (2 * edge) * np.sqrt(np.array(squares[1:], dtype=float))
    wanted = 2 * np.degrees(np.arcsin(sine[sine < 1]))
    for angle in found.two_theta:
        assert np.abs(wanted - angle).min() < 1e-3


def test_a_body_centred_cell_has_no_odd_reflections() -> None:
    found = peaks_of(cubic(3.165, "W", "W"), PatternGrid(10, 90, 64))
    # tungsten: 110, 200, 211 at 40.3, 58.3, 73.2 degrees (Cu K-alpha)
    np.testing.assert_allclose(found.two_theta[:3], [40.3, 58.3, 73.2], atol=0.1)


@given(
    st.lists(st.tuples(st.floats(15, 75), st.floats(1, 100)), min_size=1, max_size=12),
    st.floats(0.05, 1.0),
)
def test_no_peak_is_lost_between_points(rows: list[tuple[float, float]], width: float) -> None:
    angles = np.unique(np.round([a for a, _ in rows], 3))
    counts = np.array([c for _, c in rows])[: len(angles)]
    grid = PatternGrid(10, 80, 64, fwhm=width)
    values = grid.profile(PowderPattern("p", angles, counts, peaks=True))
    assert values.max() == pytest.approx(1.0) and values.min() >= 0
    # the squares are shares of the cells: they add up as the peaks do
    area = (values**2).sum() / (values**2).max()
    assert area >= counts.sum() / counts.max() / len(angles) - 1e-6
    for angle in angles:
        near = np.abs(grid.angles - angle) <= grid.step
        assert values[near].max() > 0


def test_measured_and_computed_patterns_agree() -> None:
    grid = PatternGrid(10, 80, 256)
    peaks = peaks_of(cubic(4.1, "Cs", "Cl"), grid)
    fine = np.arange(8, 85, 0.01)
    sigma = grid.fwhm / 2.3548
    shape = np.exp(-0.5 * ((fine[:, None] - peaks.two_theta) / sigma) ** 2) @ peaks.intensity
    background = 50 + 0.3 * (90 - fine)
    clean = grid.profile(peaks)
    read = grid.measured(PowderPattern("m", fine, shape + background, CU_K_ALPHA))
    assert np.corrcoef(clean, read)[0, 1] > 0.97
    other = grid.profile(peaks_of(cubic(3.2, "W", "W"), grid))
    assert np.corrcoef(other, read)[0, 1] < 0.6
    # another wavelength, the same spacings
    moved = 2 * np.degrees(np.arcsin(np.sin(np.radians(fine / 2)) * 0.7107 / CU_K_ALPHA))
    short = grid.measured(PowderPattern("m", moved, shape + background, 0.7107))
    assert np.corrcoef(read, short)[0, 1] > 0.97


def test_augmentation_is_that_of_the_generator() -> None:
    made = tokenizer(drop=0.5)
    crystal = random_crystals(3)[2]
    subject = made.subject(Record("a", crystal))
    assert isinstance(subject, Diffracted)
    kind = made.vocabulary.kind(PXRD)
    rows, dropped = [], 0
    for seed in range(30):
        one, two = (
            made.encode(s, augment=np.random.default_rng(seed)).payload(kind, 16)
            for s in (subject, crystal)
        )
        np.testing.assert_array_equal(one, two)
        rows.append(one)
        dropped += not one.any()
    assert 5 < dropped < 25 and len({row.tobytes() for row in rows if row.any()}) == 30 - dropped
    plain = made.encode(subject).payload(kind, 16)
    assert plain.max() == pytest.approx(1.0)
    np.testing.assert_array_equal(plain, made.encode(crystal).payload(kind, 16))


def test_the_pattern_is_given_and_steers_the_samples() -> None:
    made = tokenizer()
    sequence = made.encode(random_crystals(2)[1])
    at = sequence.kinds == made.vocabulary.kind(PXRD)
    assert at.sum() == 4 and at[: sequence.context].sum() == 4 and not sequence.weights[at].any()
    model = tiny_model(made, tiny_config(), shake=0.2)
    cells = []
    for pattern in ("none", peaks_of(cubic(4.0, "Na", "Cl"), made.grid)):
        request = made.request({"composition": "Na Cl", "pxrd": pattern}, "x")
        jobs = [Job(request, i) for i in range(4)]
        for size in (1, 4):
            settings = GenerationSettings(batch_size=size)
            found = sorted(Engine(model, made, settings).run(jobs), key=lambda d: d.job.index)
            crystals = [made.decode(d.sequence) for d in found]
            assert all(c.composition == {"Na": 1, "Cl": 1} for c in crystals)  # type: ignore[union-attr]
            cells.append(np.array([c.lattice for c in crystals]))  # type: ignore[union-attr]
    np.testing.assert_allclose(cells[0], cells[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(cells[2], cells[3], rtol=1e-4, atol=1e-4)
    assert np.abs(cells[0] - cells[2]).max() > 1e-3


@pytest.mark.parametrize(
    "name", ["crystal.CrystalTokenizer", "octree_crystal.OctreeCrystalTokenizer"]
)
def test_tokens_of_a_pattern_are_no_atoms(name: str) -> None:
    """Any tokenizer of crystals can be guided, octrees too; its tokens still know their atoms."""
    options = {"max_atoms": 8, "cell": "as-given"}
    base = {"class_path": f"sciar.tokenization.{name}", "init_args": {**options, "task": "csp"}}
    made = PatternTokenizer(base, grid=GRID, width=16)
    made.fit_statistics(random_crystals(20))
    for crystal in random_crystals(3):
        sequence = made.encode(crystal)
        atoms = made.atoms_of(crystal, sequence)
        pattern = sequence.kinds == made.vocabulary.kind(PXRD)
        assert pattern.sum() == 4 and sequence.context > np.flatnonzero(pattern)[-1]
        assert all(atoms[i] is None for i in np.flatnonzero(pattern))
        assert {a for a in atoms if a is not None} == set(range(len(crystal)))
        decoded = made.decode(sequence)
        assert decoded.composition == crystal.composition  # type: ignore[union-attr]
    request = made.request({"composition": "Na Cl"}, "x")
    axes = made.layout.axes
    model = tiny_model(made, tiny_config(axes=axes))
    (drawn,) = Engine(model, made, GenerationSettings()).run([Job(request, 0)])
    assert not drawn.failure and made.decode(drawn.sequence).composition == {"Na": 1, "Cl": 1}  # type: ignore[union-attr]


def test_records_bring_their_own_pattern() -> None:
    made = tokenizer()
    crystal = cubic(4.0, "Na", "Cl")
    wanted = made.conditions_of(Record("a", crystal))
    fields = made.request(wanted).fields
    np.testing.assert_allclose(
        fields["pattern"].values.ravel(),  # type: ignore[union-attr]
        made.fields(crystal)["pattern"].values.ravel(),  # type: ignore[union-attr]
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("angles", "counts", "message"),
    [
        ([10, 20, 20], [1, 2, 3], "do not rise after point 2"),
        ([10, 200], [1, 2], "between 0 and 180"),
        ([-5, 20], [1, 2], "between 0 and 180"),
        (np.linspace(0.1, 1.5, 50), np.ones(50), "not in radians"),
        ([10, 20], [0, 0], "above zero"),
        ([10, 20], [1, -5], "difference curve"),
        ([10, 20], [1, np.nan], "NaN"),
        ([10, 20], [1], "shape"),
        ([], [], "no points"),
    ],
)
def test_impossible_patterns_are_refused(angles: Any, counts: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        PowderPattern("p", angles, counts)


def test_a_pattern_of_another_range_is_refused_by_name() -> None:
    made = tokenizer()
    angles = np.linspace(2, 20, 500)
    short = PowderPattern("run7", angles, 1 + np.sin(angles) ** 2, source="run7.xy")
    with pytest.raises(RecordError, match=r"file run7.xy, record run7, .*from 10 to 80 degrees"):
        made.request({"composition": "Na Cl", "pxrd": short})
    with pytest.raises(RecordError, match="wavelength of 15"):
        PowderPattern("p", angles, angles, wavelength=15.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 10}, "do not divide"),
        ({"drop": 2.0}, "no share"),
        ({"grid": {"start": 90.0, "stop": 10.0}}, "is none"),
        ({"grid": {"colour": 1}}, "other options"),
        (
            {"base": {"class_path": "sciar.tokenization.molecule.MoleculeTokenizer"}},
            "no tokenizer of crystals",
        ),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PatternTokenizer(**{"base": BASE, "grid": GRID, "width": 16, **options})


def test_a_base_without_patterns_refuses_them() -> None:
    with pytest.raises(UsageError, match="leave out pxrd"):
        tokenizer().base.request({"composition": "Na Cl", "pxrd": "none"})
