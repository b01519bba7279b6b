"""The index of known structures: what is found, in which order, and what is left out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import ModelError, UsageError
from sciar.records import Crystal
from sciar.retrieval.elements import distance_matrix, index_of
from sciar.retrieval.index import StructureIndex
from sciar.retrieval.patterns import anonymous, counted, ordered
from sciar.retrieval.store import (
    ARRAYS,
    FACTS,
    from_files,
    load_index,
    save_index,
    to_files,
)

ELEMENTS = ["Li", "Na", "K", "Mg", "Ca", "O", "S", "F", "Cl", "Ti"]


def crystal(*species: str, a: float = 5.0, seed: int = 0) -> Crystal:
    """A cubic cell with random sites."""
    frac = np.random.default_rng(seed).random((len(species), 3))
    return Crystal(a * np.eye(3), species, frac)


def library() -> StructureIndex:
    """Six cells of three anonymous formulas."""
    cells = {
        "nacl": crystal("Na", "Cl"),
        "kcl": crystal("K", "Cl"),
        "nacl4": crystal(*["Na"] * 4, *["Cl"] * 4),
        "mgo": crystal("O", "Mg"),
        "tio2": crystal("O", "Ti", "O"),
        "catio3": crystal("Ca", "Ti", "O", "O", "O"),
    }
    return StructureIndex.of(cells.items())


def test_the_pattern_comes_first_and_the_nearest_elements_within_it() -> None:
    found = library().nearest({"K": 4, "F": 4}, 4)
    # The cell of the wanted size, whatever its elements, then smaller ones by their elements.
    assert [(h.id, h.repeat) for h in found] == [("nacl4", 1), ("kcl", 4), ("nacl", 4), ("mgo", 4)]
    assert found[1].distance < found[2].distance < found[3].distance
    assert dict(found[1].exchange) == {"K": "K", "Cl": "F"}
    assert library().nearest({"K": 1, "F": 1}, 9)[0].formula == "KCl"
    assert library().nearest({"K": 1, "F": 1, "O": 1}, 3) == []


def test_the_composition_itself_can_be_left_out() -> None:
    index = library()
    assert index.nearest({"Na": 4, "Cl": 4}, 1)[0].same
    for composition in ({"Na": 4, "Cl": 4}, {"Na": 1, "Cl": 1}, {"Na": 2, "Cl": 2}):
        found = index.nearest(composition, 9, exclude=True)
        assert found and not any(hit.same for hit in found)
        assert {hit.id for hit in found} <= {"kcl", "mgo"}


_SPECIES = st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=6)


@given(st.lists(_SPECIES, min_size=1, max_size=12), _SPECIES)
def test_search_is_exact(known: list[list[str]], wanted: list[str]) -> None:
    """Against all assignments of all entries, one by one."""
    index = StructureIndex.of((str(i), crystal(*s)) for i, s in enumerate(known))
    composition = {s: wanted.count(s) for s in wanted}
    pattern, rows = ordered(composition)
    table = distance_matrix("chemical")
    expected = []
    for species in known:
        own, places = ordered({s: species.count(s) for s in species})
        if own != pattern:
            continue
        weights = np.array(pattern) / sum(pattern)
        costs = [
            float(weights @ table[places, rows[list(order)]])
            for order in permutations(range(len(rows)))
            if all(pattern[i] == pattern[j] for i, j in enumerate(order))
        ]
        expected.append(min(costs))
    found = index.nearest(composition, len(known))
    exact = [hit.distance for hit in found if hit.repeat == 1]
    assert exact == pytest.approx(sorted(expected))
    for hit in found:
        assert index.template(hit).composition == composition
        assert dict(index.crystal(hit.entry).composition) == {
            s: known[hit.entry].count(s) for s in known[hit.entry]
        }


def test_counts_of_many_cells_are_those_of_each() -> None:
    species = [["O", "Ti", "O"], ["K"], ["Na", "Cl", "K", "Cl", "Na"]]
    offsets = np.cumsum([0, *map(len, species)])
    starts, rows, counts = counted(offsets, np.array([index_of()[s] for x in species for s in x]))
    for i, each in enumerate(species):
        pattern, own = ordered({s: each.count(s) for s in each})
        span = slice(starts[i], starts[i + 1])
        assert tuple(counts[span]) == pattern and rows[span].tolist() == own.tolist()
    assert anonymous((3, 1, 1)) == "A3BC"


def test_a_denser_cell_is_preferred_among_equals() -> None:
    cells = [(f"{a}", crystal("C", "C", a=a)) for a in (9.0, 3.0, 5.0, 4.0, 8.0)]
    found = StructureIndex.of(cells).nearest({"C": 2}, 5)
    # The quantile 0.2 of five lies at the second smallest.
    assert found[0].id == "4.0" and {hit.distance for hit in found} == {0.0}


def test_an_index_is_written_and_read_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("index") / "known"
    index = library()
    save_index(index, folder)
    read = load_index(folder)
    assert read.ids == index.ids and read.fingerprint == index.fingerprint
    assert [h.id for h in read.nearest({"K": 4, "F": 4}, 4)] == [
        h.id for h in index.nearest({"K": 4, "F": 4}, 4)
    ]
    save_index(library() + library(), folder)
    assert len(load_index(folder)) == 12
    assert sorted(p.name for p in folder.parent.iterdir()) == ["known"]


def test_damage_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    files = to_files(library())
    changed = to_files(StructureIndex.of([("nacl", crystal("Na", "Cl"))]))
    for damaged in (
        {**files, ARRAYS: b"junk"},
        {**files, FACTS: b"{}"},
        {**files, ARRAYS: files[ARRAYS][: len(files[ARRAYS]) // 2]},
        {**files, ARRAYS: changed[ARRAYS]},
    ):
        with pytest.raises(ModelError, match="damaged"):
            from_files(damaged)
    folder = tmp_path_factory.mktemp("index")
    with pytest.raises(UsageError, match="no index"):
        load_index(folder)
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="no index"):
        save_index(library(), folder)


def test_an_entry_can_be_named() -> None:
    index = library()
    hit = index.hit({"K": 4, "F": 4}, index.place("mgo"))
    assert hit is not None and (hit.id, hit.repeat) == ("mgo", 4)
    assert dict(hit.exchange) == {"Mg": "K", "O": "F"}
    assert index.hit({"K": 4, "F": 4}, index.place("tio2")) is None
    with pytest.raises(UsageError, match="no-such"):
        index.place("no-such")
    with pytest.raises(UsageError, match="similarity"):
        index.nearest({"K": 1}, similarity="colour")
    with pytest.raises(UsageError, match="unknown element"):
        index.nearest({"Xx": 1})


def test_an_empty_index_finds_nothing() -> None:
    index = StructureIndex.of([])
    assert len(index) == 0 and index.nearest({"Na": 1}) == []
    assert from_files(to_files(index)).ids == []
