"""Space groups and fixed sites: published tables, and constraints that hold in every sample."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from tiny_models import ELEMENTS, random_crystals, tiny_config, tiny_model

from sciar.errors import RecordError, UsageError
from sciar.generation.engine import Engine, Job
from sciar.generation.samples import draw
from sciar.generation.settings import GenerationSettings
from sciar.records import Crystal
from sciar.tokenization.composition import parse_composition
from sciar.tokenization.crystal import CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.cursor import End, SlotQuery
from sciar.tokenization.symmetry import Filling, SpaceGroup, nearest, space_group


def kept_by(
    crystal: Crystal, group: SpaceGroup, origin: np.ndarray, tolerance: float = 2e-4
) -> bool:
    """Whether every operation maps the crystal to itself; its first site lies at ``origin``."""
    metric = crystal.lattice @ crystal.lattice.T
    frac = crystal.frac + origin
    species = np.array(crystal.species)
    same = species[:, None] == species
    for w, t in zip(group.rotations, group.translations, strict=True):
        if not np.allclose(w.T @ metric @ w, metric, rtol=1e-3, atol=1e-3 * metric.max()):
            return False
        apart = (frac @ w.T + t)[:, None] - frac
        near = (np.abs(apart - np.rint(apart)).max(-1) < tolerance) & same
        if not near.any(1).all():
            return False
    return True


def origins(crystal: Crystal, group: SpaceGroup) -> list[np.ndarray]:
    """Where in the cell of the group the first site may lie: on special points."""
    spaces = group.spaces()
    return [spaces.offset[i] for i in np.flatnonzero(spaces.point >= 0)]


def made_of(task: str = "csp", **options: Any) -> CrystalTokenizer:
    coordinates = options.get("coordinates", "torus")
    vocabulary = crystal_vocabulary(ELEMENTS, coordinates)
    tokenizer = CrystalTokenizer(
        task=task, max_atoms=24, cell="as-given", vocabulary=vocabulary, **options
    )
    tokenizer.fit_statistics(random_crystals(20))
    return tokenizer


def walked(tokenizer: CrystalTokenizer, request: Any, rng: np.random.Generator) -> Crystal:
    """A sample of a network that says anything: cells and sites at random."""
    cursor = tokenizer.cursor(request)
    while not isinstance(expected := cursor.expect(), End):
        assert isinstance(expected, SlotQuery)
        if expected.kind == 1:
            value = np.concatenate([rng.normal(0.8, 0.3, 3), rng.normal(0, 0.1, 3)])
        else:
            value = rng.random(3)
        cursor.push_value(value.astype(np.float32))
    assert not expected.failure
    return tokenizer.finish(tokenizer.decode(cursor.sequence()), request)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("number", "points", "loose"),
    [
        (1, {}, [1]),
        (2, {1: 8}, [2]),
        (14, {2: 4}, [4]),
        (62, {4: 2}, [4, 8]),
        (166, {3: 2, 9: 2}, [6, 18, 36]),
        (194, {2: 4, 6: 1}, [4, 6, 12, 24]),
        (221, {1: 2, 3: 2}, [6, 8, 12, 24, 48]),
        (225, {4: 2, 8: 1, 24: 1}, [24, 32, 48, 96, 192]),
        (227, {8: 2, 16: 2}, [32, 48, 96, 192]),
    ],
)
def test_wyckoff_positions_are_those_of_the_tables(
    number: int, points: dict[int, int], loose: list[int]
) -> None:
    """International Tables A: positions without freedom by multiplicity, and those with some."""
    filling = Filling(space_group(number), [])
    assert Counter(filling.points.values()) == Counter(points)
    assert sorted(filling.loose) == loose


def test_a_site_moves_to_the_nearest_position() -> None:
    group = space_group(221)
    spaces = group.spaces()
    everywhere = np.ones(len(spaces.point), bool)
    for site, multiplicity, wanted in (
        ([0.02, -0.01, 0.01], 1, [0, 0, 0]),
        ([0.48, 0.51, 0.5], 1, [0.5, 0.5, 0.5]),
        ([0.3, 0.02, 0.01], 6, [0.3, 0, 0]),
    ):
        space, moved = nearest(
            spaces, everywhere & (spaces.multiplicity == multiplicity), np.array(site)
        )
        apart = moved - wanted
        assert np.abs(apart - np.rint(apart)).max() < 1e-9
        assert len(group.orbit(moved)) == multiplicity == spaces.multiplicity[space]


CASES = [("Na4 Cl4", 225), ("Sr1 Ti1 O3", 221), ("Ti2 O4", 136), ("Na6 Cl2", 194), ("Ti4 O8", 62),
         ("Sr3 Ti6", 166), ("O5 H3", 2), ("Na2 Cl2 O4", 14), ("H8 O4", 216),
         ("Ti1 O2", 1)]  # fmt: skip


@pytest.mark.parametrize(("composition", "number"), CASES)
@pytest.mark.parametrize("coordinates", ["torus", "plain"])
def test_every_sample_has_the_group(composition: str, number: int, coordinates: str) -> None:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    tokenizer = made_of(coordinates=coordinates)
    request = tokenizer.request({"composition": composition, "space_group": number}, "x")
    group, rng = space_group(number), np.random.default_rng(number)
    for _ in range(10):
        crystal = walked(tokenizer, request, rng)
        assert dict(crystal.composition) == parse_composition(composition)
        found = SpacegroupAnalyzer(crystal.to_pymatgen(), symprec=1e-3).get_symmetry_operations()
        # As many operations as the group has, or more where chance makes it a supergroup.
        assert len(found) >= len(group.rotations), (crystal, len(found))


def test_exact_counts_and_operations() -> None:
    """The crystal in the frame of the group is mapped to itself by each operation."""
    tokenizer = made_of()
    request = tokenizer.request({"composition": "Na4 Cl4", "space_group": "Fm-3m"}, "x")
    group, rng = space_group(225), np.random.default_rng(0)
    for _ in range(20):
        crystal = walked(tokenizer, request, rng)
        assert crystal.composition == {"Na": 4, "Cl": 4}
        assert any(kept_by(crystal, group, origin) for origin in origins(crystal, group))
        a, b, c = np.linalg.norm(crystal.lattice, axis=1)
        assert a == pytest.approx(b, rel=1e-5) and a == pytest.approx(c, rel=1e-5)


@pytest.mark.parametrize(
    ("constraints", "error", "message"),
    [
        ({"composition": "Na3 Cl4", "space_group": 225}, RecordError, r"Fm-3m \(225\).*3, 4 atoms"),
        ({"composition": "Na", "space_group": 0}, RecordError, "no space group"),
        ({"composition": "Na", "space_group": "Q-1"}, RecordError, "no space group"),
        ({"space_group": 225}, UsageError, "give a composition too"),
        (
            {
                "composition": "Na",
                "space_group": 1,
                "sites": [{"element": "Na", "frac": [0, 0, 0]}],
            },
            UsageError,
            "contradict",
        ),
        ({"composition": "Na Cl", "sites": "Na"}, UsageError, "list of"),
        (
            {"composition": "Na Cl", "sites": [{"element": "Na"}]},
            UsageError,
            "give element and frac",
        ),
        (
            {"composition": "Na Cl", "sites": [{"element": "O", "frac": [0, 0, 0]}]},
            RecordError,
            "has 0",
        ),
        (
            {"composition": "Na Cl", "sites": [{"element": "Cl", "frac": [0, 0, 0]}]},
            RecordError,
            "fix one of these too",
        ),
        (
            {"composition": "Na Cl", "sites": [{"element": "Na", "frac": [0, 0]}]},
            RecordError,
            "three finite",
        ),
        (
            {
                "composition": "Na2",
                "sites": [
                    {"element": "Na", "frac": [0, 0, 0]},
                    {"element": "Na", "frac": [1, 0, 0]},
                ],
            },
            RecordError,
            "two fixed sites",
        ),
    ],
)
def test_impossible_constraints_are_named(
    constraints: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        made_of("denovo").request(constraints)


@pytest.mark.parametrize("coordinates", ["torus", "plain"])
@pytest.mark.parametrize("task", ["csp", "denovo"])
def test_fixed_sites_stay_where_they_are(task: str, coordinates: str) -> None:
    tokenizer = made_of(task, coordinates=coordinates)
    rng = np.random.default_rng(1)
    for _ in range(30):
        own = {"Sr": rng.random((1, 3)), "O": rng.random((2, 3))}
        sites = [{"element": s, "frac": f.tolist()} for s, places in own.items() for f in places]
        request = tokenizer.request({"composition": "Sr2 Ti1 O4", "sites": sites}, "x")
        crystal = walked(tokenizer, request, rng)
        assert crystal.composition == {"Sr": 2, "Ti": 1, "O": 4}
        for symbol, places in own.items():
            mine = crystal.frac[[s == symbol for s in crystal.species]]
            for place in places:
                assert (np.abs(mine - place).max(1) < 1e-9).any()


@pytest.mark.parametrize("size", [1, 5])
def test_constraints_hold_through_the_engine(size: int) -> None:
    """Whatever the batch, and with the numbers that the network sees being those of the sample."""
    tokenizer = made_of()
    model = tiny_model(tokenizer, tiny_config(head_options={"steps": 4}), shake=0.05)
    wanted = [
        tokenizer.request({"composition": "Na4 Cl4", "space_group": 225}, "a"),
        tokenizer.request(
            {"composition": "Na1 Cl1", "sites": [{"element": "Na", "frac": [0.1, 0.2, 0.3]},
                                                 {"element": "Cl", "frac": [0.6, 0.2, 0.3]}]}, "b",
        ),
        tokenizer.request({"composition": "Na2 Cl2"}, "c"),
    ]  # fmt: skip
    settings = GenerationSettings(batch_size=size, seed=2)
    samples = sorted(draw(model, tokenizer, wanted, settings), key=lambda s: s.index)
    crystals = [s.structure or s.rejected for s in samples]
    assert all(isinstance(c, Crystal) for c in crystals)
    first, second = crystals[0], crystals[1]
    assert isinstance(first, Crystal) and isinstance(second, Crystal)
    group = space_group(225)
    assert any(kept_by(first, group, origin) for origin in origins(first, group))
    np.testing.assert_allclose(second.frac, [[0.1, 0.2, 0.3], [0.6, 0.2, 0.3]], atol=1e-9)
    drawn = list(Engine(model, tokenizer, settings).run([Job(wanted[0], 0)]))
    assert len(drawn) == 1 and not drawn[0].failure
