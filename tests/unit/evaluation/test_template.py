"""Template substitution: exact compositions, best assignments, and the strength on real data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.evaluation import TemplateBaseline, best_similarity, evaluate_csp
from sciar.evaluation.matching import rms_distance
from sciar.records import Crystal
from sciar.retrieval.elements import SIMILARITIES, distance_matrix, index_of

Builder = Callable[..., Crystal]


def test_a_known_crystal_is_returned(rocksalt: Builder, perovskite: Builder) -> None:
    baseline = TemplateBaseline([rocksalt(), perovskite("Sr", "Ti"), perovskite("K", "Nb"), None])
    for crystal in (rocksalt(), perovskite("Sr", "Ti"), perovskite("K", "Nb")):
        found = baseline.predict(crystal.composition)
        assert found is not None and rms_distance((found, crystal)) == pytest.approx(0, abs=1e-6)
        assert found.volume == pytest.approx(crystal.volume)


def test_the_most_similar_elements_take_the_places(perovskite: Builder) -> None:
    baseline = TemplateBaseline([perovskite("Sr", "Ti"), perovskite("Cs", "Pb", "Br", 5.9)])
    found = baseline.predict({"Zr": 1, "O": 3, "Ba": 1})
    assert found is not None and found.species == ("Ba", "Zr", "O", "O", "O")
    assert found.volume > perovskite("Sr", "Ti").volume  # larger atoms, larger cell
    unscaled = TemplateBaseline([perovskite("Sr", "Ti")], rescale=False)
    same = unscaled.predict({"Zr": 1, "O": 3, "Ba": 1})
    assert same is not None and same.volume == pytest.approx(3.9**3)


_ELEMENTS = st.lists(st.sampled_from(sorted(index_of())), min_size=3, max_size=3, unique=True)


@given(st.lists(_ELEMENTS, min_size=1, max_size=14), _ELEMENTS, st.sampled_from(list(SIMILARITIES)))
def test_choice_is_among_the_cheapest_over_all_assignments(
    train: list[list[str]], wanted: list[str], similarity: str
) -> None:
    frac = np.random.default_rng(0).random((4, 3))
    crystals = [Crystal(4 * np.eye(3), (a, a, b, c), frac) for a, b, c in train]
    composition = {wanted[0]: 2, wanted[1]: 1, wanted[2]: 1}
    found = TemplateBaseline(crystals, similarity=similarity).predict(composition)
    assert found is not None and found.composition == Counter(composition)
    table = distance_matrix(similarity)

    def cost(old: tuple[str, ...], new: tuple[str, ...]) -> float:
        pairs = zip(old, new, strict=True)
        return sum(table[index_of()[a], index_of()[b]] for a, b in pairs)

    cheapest = sorted(
        min(cost(c.species, (wanted[0], wanted[0], *order)) for order in permutations(wanted[1:]))
        for c in crystals
    )
    limit = cheapest[:10][-1] if similarity == "size" else cheapest[0]
    assert min(cost(c.species, found.species) for c in crystals) <= limit + 1e-9


def test_smaller_cells_are_repeated_and_unknown_patterns_refused(rocksalt: Builder) -> None:
    baseline = TemplateBaseline([rocksalt()])
    found = baseline.predict({"K": 3, "F": 3})
    assert found is not None and found.composition == {"K": 3, "F": 3}
    small = baseline.predict({"K": 1, "F": 1})
    assert small is not None and rms_distance((found, small)) == pytest.approx(0, abs=1e-6)
    assert baseline.predict({"K": 1, "F": 2}) is None


def test_many_elements_of_one_count_stay_quick() -> None:
    symbols = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba"]
    crystal = Crystal(9 * np.eye(3), symbols, np.random.default_rng(0).random((8, 3)))
    found = TemplateBaseline([crystal]).predict(dict.fromkeys(symbols, 1))
    assert found is not None and found.species == tuple(symbols)


def test_bad_calls(rocksalt: Builder) -> None:
    baseline = TemplateBaseline([rocksalt()])
    with pytest.raises(UsageError, match="unknown element 'Xx'"):
        baseline.predict({"Xx": 1})
    with pytest.raises(UsageError, match="count of 1 or more"):
        baseline.predict({"Na": 0})
    with pytest.raises(UsageError, match="at least one training"):
        TemplateBaseline([None])
    with pytest.raises(UsageError, match="unknown similarity"):
        TemplateBaseline([rocksalt()], similarity="colour")


@pytest.mark.shared
def test_similarity_is_chosen_on_validation_data(
    shared_crystals: Callable[..., list[Crystal]],
) -> None:
    train, validation = shared_crystals("perov_5", "train"), shared_crystals("perov_5", "val", 400)
    chosen = best_similarity(train, validation, sample=60, timeout=None, progress=False)
    assert chosen == TemplateBaseline(train).similarity == "size"


@pytest.mark.shared
def test_strength_on_mp_20(shared_crystals: Callable[..., list[Crystal]]) -> None:
    baseline = TemplateBaseline(shared_crystals("mp_20", "train"))
    assert baseline.similarity == "chemical"
    references = shared_crystals("mp_20", "val", 120)
    guesses = [[baseline.predict(c.composition)] for c in references]
    found = evaluate_csp(guesses, references, k=1, bootstrap=0, timeout=None, progress=False)
    scores = found.summary()["without_validity"]
    assert scores["match_rate"]["rate"] > 0.5 and scores["rmse"]["mean"] < 0.06
