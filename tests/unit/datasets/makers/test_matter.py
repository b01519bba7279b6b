"""Micrographs and powder patterns of real crystals: geometry against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sciar.datasets.makers.haadf import AXES, HaadfMaker, closest, linear_model, project
from sciar.datasets.makers.pxrd import PxrdMaker, reflections
from sciar.datasets.makers.shards import Job
from sciar.errors import RecordError, UsageError
from sciar.records import Call, Crystal, Program
from sciar.tokenization.diffraction import PatternGrid
from sciar.tokenization.programs.language import load_language
from sciar.tokenization.programs.structures import (
    crystal_to_program,
    lattice_of,
    program_to_crystal,
    structure_of,
)
from sciar.tokenization.programs.text import read_program, write_program

PEROVSKITE = Crystal(
    3.9 * np.eye(3),
    ("Sr", "Ti", "O", "O", "O"),
    np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]),
)
SLANTED = Crystal(
    np.array([[3.1, 0.2, -0.1], [0.7, 4.0, 0.3], [-0.4, 1.1, 5.2]]),
    ("Na", "Cl", "Cl"),
    np.array([[0.1, 0.2, 0.3], [0.6, 0.1, 0.9], [0.33, 0.8, 0.5]]),
)


@pytest.mark.parametrize("axis", list(AXES))
def test_axes_span_the_lattice(axis: tuple[int, int, int]) -> None:
    assert abs(round(np.linalg.det(np.array([*AXES[axis], axis])))) == 1


@pytest.mark.parametrize("axis", list(AXES))
def test_columns_are_where_atoms_project(axis: tuple[int, int, int]) -> None:
    """Against a large block of atoms, each projected by itself."""
    along = np.array(axis) @ SLANTED.lattice
    repeat = np.linalg.norm(along)
    found = project(SLANTED, axis, 10 * repeat)
    assert found is not None
    lattice, places, numbers, counts = found
    assert (counts == 10).all() and len(places) == 3
    n = np.arange(-3, 4)
    shifts = np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 3)
    e = along / repeat
    atoms = (SLANTED.frac[None] + shifts[:, None]) @ SLANTED.lattice
    flat = atoms - (atoms @ e)[..., None] * e
    # Distances between projections are those between columns, whatever the frame in the plane.
    inverse = np.linalg.inv(lattice)
    for i in range(3):
        for j in range(3):
            true = np.linalg.norm(flat[:, j] - flat[171, i], axis=-1)
            gap = (places[j] - places[i]) @ inverse
            near = np.stack(np.meshgrid(n, n, indexing="ij"), -1).reshape(-1, 2)
            ours = np.linalg.norm((gap - np.round(gap) + near) @ lattice, axis=1)
            assert true.min() == pytest.approx(ours.min(), abs=1e-6)
    assert sorted(numbers) == [11, 17, 17]


def test_columns_of_a_perovskite() -> None:
    found = project(PEROVSKITE, (0, 0, 1), 39.0)
    assert found is not None
    columns = {
        (round(x / 3.9, 3) % 1, round(y / 3.9, 3) % 1): (int(z), int(n))
        for (x, y), z, n in zip(found[1], found[2], found[3], strict=True)
    }
    # Ti and O share a column, which is named after the heavier one.
    assert sorted(columns.values()) == [(8, 10), (8, 10), (22, 20), (38, 10)]
    assert project(PEROVSKITE, (0, 0, 1), 3.0) is None


def test_the_linear_model_is_a_sum_of_gaussians() -> None:
    places, numbers = np.array([[2.0, 3.0], [4.5, 1.0]]), np.array([8, 38])
    image = linear_model(places, numbers, np.array([3, 2]), 6.0, 12, 0.4)
    for row in range(12):
        for column in range(12):
            x, y = (column + 0.5) * 0.5, (row + 0.5) * 0.5
            value = sum(
                n * z**1.7 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 0.4**2))
                for (a, b), z, n in zip(places, numbers, (3, 2), strict=True)
            )
            assert image[row, column] == pytest.approx(value, rel=1e-9)
    assert closest(places) == pytest.approx(np.hypot(2.5, 2.0)) and closest(places[:1]) == np.inf


def test_micrographs_are_programs_that_draw_themselves() -> None:
    maker, language = HaadfMaker(size=48, dose=(0.0, 0.0), jitter=0.0), load_language("micrograph")
    for index in range(4):
        picture = Job(maker, "train", 4).picture(index)
        checked = language.check(picture.program, "canonical")
        text = write_program(checked, language)
        assert write_program(read_program(text, language), language) == text
        assert picture.image.shape == (48, 48, 1) and picture.image.dtype == np.uint8
        drawn = maker.redraw(picture.program).astype(float)
        assert np.corrcoef(drawn.ravel(), picture.image.astype(float).ravel())[0, 1] > 0.97
        fov: Any = picture.program.calls[0].arguments["fov"]
        for call in picture.program.calls[1:]:
            assert all(0 <= v < fov[0] for v in call.arguments["xy"])  # type: ignore[union-attr]
        points = structure_of(picture.program)
        assert len(points) == len(picture.program) - 1
    with pytest.raises(RecordError, match="its scale is not known"):
        maker.redraw(Program(picture.program.calls[1:]))


@pytest.mark.parametrize("crystal", [PEROVSKITE, SLANTED])
def test_crystals_survive_as_programs(crystal: Crystal) -> None:
    program = crystal_to_program(crystal)
    again = program_to_crystal(program)
    assert again.volume == pytest.approx(crystal.volume)
    assert sorted(again.species) == sorted(crystal.species)
    for first, second in zip(_distances(crystal), _distances(again), strict=True):
        assert first == pytest.approx(second, abs=1e-6)
    load_language("crystal").check(program)
    load_language("cell").check(crystal_to_program(crystal, atoms=False))


def _distances(crystal: Crystal) -> list[float]:
    """Shortest distances between all pairs of atoms, over near images."""
    n = np.arange(-2, 3)
    shifts = np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 3)
    gaps = crystal.frac[:, None, None] - crystal.frac[None, :, None] + shifts
    lengths = np.linalg.norm(gaps @ crystal.lattice, axis=-1)
    lengths[lengths < 1e-9] = np.inf
    return sorted(lengths.min(-1).ravel().tolist())


def test_reflections_are_those_of_braggs_law() -> None:
    grid = PatternGrid(start=10.0, stop=90.0)
    found = reflections(SLANTED.lattice, grid)
    reciprocal = np.linalg.inv(SLANTED.lattice).T
    n = np.arange(-12, 13)
    every = np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 3) @ reciprocal
    sine = grid.wavelength * np.linalg.norm(every, axis=1) / 2
    angle = 2 * np.degrees(np.arcsin(sine[sine <= 1]))
    inside = angle[(angle >= 10) & (angle <= 90)]
    np.testing.assert_allclose(found, np.unique(np.round(inside, 3)), atol=1e-9)
    with pytest.raises(RecordError, match="everywhere"):
        reflections(150 * np.eye(3), grid)


def test_patterns_come_with_their_cells() -> None:
    for atoms in (False, True):
        maker = PxrdMaker(grid={"points": 256}, atoms=atoms)
        picture = Job(maker, "test", 2).picture(0)
        assert picture.image.shape == (256,) and picture.image.min() >= 0
        assert picture.image.max() == pytest.approx(1.0)
        assert np.linalg.det(lattice_of(picture.program)) > 1
        assert (len(picture.program) > 1) == atoms
        again = Job(maker, "test", 2).picture(0)
        np.testing.assert_array_equal(picture.image, again.image)


def test_programs_that_are_no_structures() -> None:
    flat = {"a": 4, "b": 4, "c": 4, "alpha": 170, "beta": 170, "gamma": 170}
    cell = Call("cell", {k: (float(v),) for k, v in flat.items()})
    atom = Call("add", {"Z": 11, "pos": (0.0, 0.0, 0.0)})
    half = Call("add", {**atom.arguments, "occupancy": (0.5,)})
    for calls, reason in (
        ((cell, atom), "close no cell"),
        ((cell,), "places no atoms"),
        ((atom,), r"no cell\(\)"),
        ((cell, half), "not full"),
    ):
        with pytest.raises(RecordError, match=reason):
            program_to_crystal(Program(calls))


@pytest.mark.parametrize(
    "options",
    [{"size": 4}, {"fov": (9.0, 3.0)}, {"thickness": (0.5, 2.0)}, {"apart": 0.1}, {"jitter": -1}],
)
def test_options_that_make_no_micrograph(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        HaadfMaker(**options)


def test_crystals_that_cannot_be_resolved() -> None:
    thin, wide = {"thickness": (1.0, 1.0)}, {"fov": (900.0, 1000.0)}
    for options in (thin, wide):
        with pytest.raises(RecordError, match="200 orientations of sample-crystals"):
            HaadfMaker(**options).make("train", np.random.default_rng(0))  # type: ignore[arg-type]
