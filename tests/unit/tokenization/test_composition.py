"""Compositions: reading them, and the grammar that keeps them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cursor_walks import finish_randomly, random_words
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal
from sciar.tokenization.composition import CompositionGrammar, parse_composition
from sciar.tokenization.crystal import CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.elements import SYMBOLS, canonical_key

VOCABULARY = crystal_vocabulary()


@given(st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 30), min_size=1, max_size=6))
def test_text_and_mapping_mean_the_same(counts: dict[str, int]) -> None:
    assert parse_composition(counts) == counts
    assert parse_composition(" ".join(f"{s}{n}" for s, n in counts.items())) == counts
    assert parse_composition("".join(f"{s}{n}" for s, n in counts.items())) == counts


def test_repeated_elements_add_up() -> None:
    assert parse_composition("CH3 CH3") == {"C": 2, "H": 6}


@pytest.mark.parametrize("text", ["", "na4", "Na4(Cl)2", "Na-1", "Xx2", "Na0", "Na2.5"])
def test_unreadable_compositions_are_refused(text: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse_composition(text)
    assert caught.value.field == "composition"


@given(
    st.sets(st.sampled_from(SYMBOLS), min_size=1, max_size=5),
    st.integers(5, 24),
    st.integers(0, 10**6),
)
def test_walks_keep_chemical_system_and_size(elements: set[str], limit: int, seed: int) -> None:
    grammar = CompositionGrammar(VOCABULARY, 20, elements, limit)
    words = random_words(grammar, VOCABULARY, np.random.default_rng(seed))
    assert set(words) == elements
    assert len(words) <= min(limit, 20)
    assert list(words) == sorted(words, key=canonical_key)


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_walks_keep_the_size_alone(limit: int, seed: int) -> None:
    grammar = CompositionGrammar(VOCABULARY, 20, max_atoms=limit)
    words = random_words(grammar, VOCABULARY, np.random.default_rng(seed))
    assert 1 <= len(words) <= limit
    assert list(words) == sorted(words, key=canonical_key)


@given(
    st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 4), min_size=1, max_size=5),
    st.integers(0, 10**6),
)
def test_a_given_composition_comes_out_exactly(counts: dict[str, int], seed: int) -> None:
    tokenizer = CrystalTokenizer()
    cursor = tokenizer.cursor(tokenizer.request({"composition": counts}))
    sequence = finish_randomly(cursor, np.random.default_rng(seed))
    words = tokenizer.layout.split(tokenizer.vocabulary, sequence)["composition"].tokens
    assert Counter(words) == counts


def test_a_chemical_system_comes_out_exactly() -> None:
    tokenizer = CrystalTokenizer(task="denovo")
    for seed in range(50):
        request = tokenizer.request({"elements": ["O", "Ti", "Sr"], "max_atoms": 6})
        sequence = finish_randomly(tokenizer.cursor(request), np.random.default_rng(seed))
        structure = tokenizer.decode(sequence)
        assert isinstance(structure, Crystal)
        assert set(structure.species) == {"O", "Ti", "Sr"}
        assert len(structure) <= 6


@pytest.mark.parametrize(
    "constraints",
    [{"elements": ["O", "Ti", "Sr"], "max_atoms": 2}, {"max_atoms": -1}],
)
def test_impossible_wishes_are_refused_at_once(constraints: dict) -> None:
    with pytest.raises(UsageError):
        CrystalTokenizer(task="denovo").request(constraints)


def test_wishes_of_the_wrong_model_are_refused() -> None:
    with pytest.raises(UsageError, match="give one"):
        CrystalTokenizer().request({})
    with pytest.raises(UsageError, match="elements"):
        CrystalTokenizer().request({"composition": "NaCl", "elements": ["Na"]})
    with pytest.raises(RecordError, match="21 atoms"):
        CrystalTokenizer().request({"composition": "Na21"})
    with pytest.raises(RecordError, match="'U'"):
        known = crystal_vocabulary(["Na", "Cl"])
        CrystalTokenizer(vocabulary=known).request({"composition": "NaU"})
