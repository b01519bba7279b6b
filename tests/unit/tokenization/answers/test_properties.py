"""Random values and random proteins: decoding gives back what was encoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.records import RESIDUES, Protein
from sciar.testing.answers import crowded, random_answer
from sciar.tokenization.answers.candidate_sites import CandidateSites
from sciar.tokenization.answers.contacts import Contacts
from sciar.tokenization.answers.digits import Digits
from sciar.tokenization.answers.label_position import ClassAndPosition
from sciar.tokenization.answers.multi import MultiLabel
from sciar.tokenization.answers.number import Number
from sciar.tokenization.answers.ontology import Ontology
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.answers.pointing import CLASSES, Copying, Pointing
from sciar.tokenization.answers.sites import Sites
from sciar.tokenization.answers.structure_string import STATES, StructureString
from sciar.tokenization.answers.terms import Terms
from sciar.tokenization.answers.tree import Tree

sequences = st.text(RESIDUES, min_size=1, max_size=60)
ONE = Protein("M")


@given(st.sets(st.sampled_from("ABCDEFG")), st.sampled_from(["implicit", "explicit"]))
def test_sets_come_back_in_canonical_order(labels: set[str], empty: str) -> None:
    codec = MultiLabel("GFEDCBA", "x", empty)  # type: ignore[arg-type]
    found = codec.decode(codec.encode(labels, ONE), ONE)
    assert found == tuple(sorted(labels, reverse=True))


parts = st.integers(1, 4).map(str)
last = st.one_of(parts, st.just("-"), st.integers(1, 3).map("n{}".format))
numbers = st.tuples(parts, parts, parts, last).map(".".join)


@given(st.sets(numbers, min_size=1, max_size=40), st.data())
def test_trees_keep_to_known_numbers(known: set[str], data: st.DataObject) -> None:
    codec = Tree(sorted(known))
    some = data.draw(st.sets(st.sampled_from(sorted(known)), min_size=1, max_size=16))
    assert set(codec.decode(codec.encode(some, ONE), ONE)) == some
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    walked = codec.decode(random_answer(codec, crowded(codec), ONE, rng), ONE)
    assert walked and set(walked) <= known


@st.composite
def ontologies(draw: st.DrawFn) -> Ontology:
    size = draw(st.integers(1, 12))
    above = [draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set() for i in range(size)]
    return Ontology({f"t{i}": sorted(f"t{p}" for p in above[i]) for i in range(size)})


@given(ontologies(), st.data(), st.sampled_from(["all", "specific"]))
def test_term_sets_are_closed(ontology: Ontology, data: st.DataObject, emit: str) -> None:
    labels = data.draw(st.permutations(sorted(ontology.parents)))
    codec = Terms(labels, ontology, emit=emit)  # type: ignore[arg-type]
    terms = data.draw(st.sets(st.sampled_from(labels)))
    expected = set(terms)
    while True:  # brute force: add parents until nothing changes
        more = expected | {p for t in expected for p in ontology.parents[t]}
        if more == expected:
            break
        expected = more
    found = codec.decode(codec.encode(terms, ONE), ONE)
    assert set(found) == expected
    assert list(found) == sorted(found, key=labels.index)
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    walked = set(codec.decode(random_answer(codec, crowded(codec), ONE, rng), ONE))
    assert all(set(ontology.parents[t]) <= walked for t in walked)


ranges = st.tuples(st.floats(-1e4, 1e4), st.floats(0.01, 1e4)).map(lambda r: (r[0], r[0] + r[1]))


@given(ranges, st.floats(0, 1), st.integers(2, 6))
def test_scaled_digits_are_right_to_half_a_unit(
    limits: tuple[float, float], place: float, decimals: int
) -> None:
    low, high = limits
    codec = Digits(low, high, decimals)
    value = min(low + place * (high - low), high)
    tokens = codec.encode(value, ONE)
    unit = (high - low) / (10**decimals - 2)
    found = codec.decode(tokens, ONE)
    assert abs(found - value) <= 0.5001 * unit + 1e-9
    assert len(tokens) == decimals + 2
    assert codec.encode(min(max(found, low), high), ONE) == tokens


@given(st.integers(-3000, 3000), st.integers(0, 4000), st.integers(1, 3), st.data())
def test_plain_digits_are_exact(k_low: int, span: int, decimals: int, data: st.DataObject) -> None:
    unit = 10**decimals
    k_high = k_low + span + 1
    codec = Digits(k_low / unit, k_high / unit, decimals, scaled=False)
    k = data.draw(st.integers(k_low, k_high))
    tokens = codec.encode(k / unit, ONE)
    assert codec.decode(tokens, ONE) == k / unit
    assert len(tokens) == codec.max_tokens(ONE)
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    walk = random_answer(codec, crowded(codec), ONE, rng)
    assert len(walk) == len(tokens)
    assert k_low <= round(codec.decode(walk, ONE) * unit) <= k_high


def test_every_number_of_a_range_can_be_walked() -> None:
    """The automaton accepts all numbers of the range and no others: brute force over all digits."""
    codec = Digits(-1.3, 2.1, 1, scaled=False)
    vocabulary = crowded(codec)
    found = set()

    def explore(tokens: tuple[str, ...]) -> None:
        grammar = codec.grammar(vocabulary, ONE)
        for token in tokens:
            grammar.push(vocabulary.id(token))
        mask, may_end = grammar.allowed()
        if may_end:
            found.add(codec.decode(tokens, ONE))
        for token in np.flatnonzero(mask):
            explore((*tokens, vocabulary.names[token]))

    explore(())
    assert sorted(found) == [k / 10 for k in range(-13, 22)]


@pytest.mark.parametrize(
    ("low", "high", "value", "digits", "back"),
    [
        (1.283, 4.123, 3.7178, "0.8573", 3.7179),  # fluorescence
        (-1.97, 3.40, 0.83, "0.5214", 0.8299),  # stability
        (0.40, 15.22, 6.40, "0.4049", 6.4003),  # affinity
        (2.0, 106.0, 52.3, "0.4837", 52.3045),  # melting temperature
    ],
)
def test_digits_agree_with_the_published_constants(
    low: float, high: float, value: float, digits: str, back: float
) -> None:
    codec = Digits(low, high)
    tokens = codec.encode(value, ONE)
    assert "".join(token[4:] for token in tokens) == digits
    assert codec.decode(tokens, ONE) == pytest.approx(back, abs=6e-5)


@given(st.floats(-1e3, 1e3), st.floats(-100, 100), st.floats(0.1, 100))
def test_numbers_survive_the_payload(value: float, mean: float, std: float) -> None:
    codec = Number(mean, std)
    stored = tuple(float(np.float32(x)) for x in codec.payload(value))
    found = codec.decode(codec.encode(value, ONE), ONE, stored)
    assert found == pytest.approx(value, abs=1e-6 * (abs(value) + abs(mean) + std))


@given(sequences, st.data())
def test_residue_answers_have_the_length_of_the_sequence(
    sequence: str, data: st.DataObject
) -> None:
    protein = Protein(sequence)
    n = len(sequence)
    for codec, letters in ((PerResidue("HEC", "ss"), "HEC"), (StructureString(), STATES)):
        value = data.draw(st.text(letters, min_size=n, max_size=n))
        tokens = codec.encode(value, protein)
        assert len(tokens) == n
        assert codec.decode(tokens, protein) == value
    copying = Copying()
    classes = copying.derive(protein)
    assert copying.decode(copying.encode(classes, protein), protein) == classes
    assert all(r in CLASSES[c] for r, c in zip(sequence, classes, strict=True))


@given(sequences, st.data())
def test_sites_come_back_sorted(sequence: str, data: st.DataObject) -> None:
    protein = Protein(sequence)
    anywhere = data.draw(st.lists(st.integers(0, len(sequence) - 1), unique=True))
    codec = Sites()
    assert codec.decode(codec.encode(anywhere, protein), protein) == tuple(sorted(anywhere))
    candidates = [i for i, r in enumerate(sequence) if r in "STY"]
    chosen = [i for i in candidates if data.draw(st.booleans())]
    phospho = CandidateSites("STY")
    assert phospho.decode(phospho.encode(chosen, protein), protein) == tuple(chosen)
    assert phospho.prompt(protein) == (*(f"idx:{i + 1}" for i in candidates), "<sep>")
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    walk = random_answer(phospho, crowded(phospho), protein, rng)
    assert set(phospho.decode(walk, protein)) <= set(candidates)


@given(sequences, st.text("01", min_size=60, max_size=60))
def test_sites_may_be_given_as_letters(sequence: str, letters: str) -> None:
    protein, text = Protein(sequence), letters[: len(sequence)]
    codec = Sites(positive="1")
    tokens = codec.encode(text, protein)
    assert codec.decode(tokens, protein) == tuple(i for i, c in enumerate(text) if c == "1")


@given(sequences, st.text("ACK", min_size=1, max_size=2))
def test_pointing_finds_all_occurrences(sequence: str, motif: str) -> None:
    protein, codec = Protein(sequence), Pointing(motif=motif)
    found = codec.derive(protein) or ()
    brute = [i for i in range(len(sequence)) if sequence[i : i + len(motif)] == motif]
    assert list(found) == brute
    assert codec.decode(codec.encode(found, protein), protein) == found


@given(sequences, sequences, st.data())
def test_contacts_come_back_sorted(first: str, second: str, data: st.DataObject) -> None:
    protein, codec = Protein(first, second), Contacts(max_pairs=10)
    pair = st.tuples(st.integers(0, len(first) - 1), st.integers(0, len(second) - 1))
    pairs = data.draw(st.sets(pair, max_size=10))
    assert codec.decode(codec.encode(pairs, protein), protein) == tuple(sorted(pairs))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    walked = codec.decode(random_answer(codec, crowded(codec), protein, rng), protein)
    assert list(walked) == sorted(set(walked))
    assert all(i < len(first) and j < len(second) for i, j in walked)


@given(sequences, st.integers(1, 6), st.integers(0, 999))
def test_contacts_within_a_chain_keep_their_distance(
    sequence: str, separation: int, seed: int
) -> None:
    protein, codec = Protein(sequence), Contacts(1, separation, 30)
    rng = np.random.default_rng(seed)
    walked = codec.decode(random_answer(codec, crowded(codec), protein, rng), protein)
    assert all(j - i >= separation for i, j in walked)
    assert codec.decode(codec.encode(walked, protein), protein) == walked


def test_all_contacts_can_be_walked() -> None:
    """Brute force: greedily taking the first allowed residue lists every pair."""
    for codec, protein, expected in (
        (Contacts(), Protein("MK", "AGA"), 6),
        (Contacts(1, 2), Protein("MKVAG"), 6),
    ):
        vocabulary = crowded(codec)
        grammar, tokens = codec.grammar(vocabulary, protein), []
        while (mask := grammar.allowed()[0]).any():
            token = int(np.flatnonzero(mask)[0])
            tokens.append(vocabulary.names[token])
            grammar.push(token)
        assert len(codec.decode(tokens, protein)) == expected


@given(sequences, st.data())
def test_class_and_position(sequence: str, data: st.DataObject) -> None:
    protein = Protein(sequence)
    codec = ClassAndPosition(["other", "sp", "mt"], ["other"])
    label = data.draw(st.sampled_from(["other", "sp", "mt"]))
    place = None if label == "other" else data.draw(st.integers(0, len(sequence) - 1))
    assert codec.decode(codec.encode((label, place), protein), protein) == (label, place)


@given(st.floats(0, 1e3), st.floats(1e-3, 10), st.floats(-5, 5), st.floats(0.1, 10))
def test_logarithms_of_numbers_survive_the_payload(
    value: float, offset: float, mean: float, std: float
) -> None:
    codec = Number(mean, std, offset=offset)
    (payload,) = codec.payload(value)
    assert payload == pytest.approx((np.log(value + offset) - mean) / std, abs=1e-6)
    found = codec.decode(codec.encode(value, ONE), ONE, (payload,))
    assert found == pytest.approx(value, rel=1e-6, abs=1e-6)
    # However far a head goes astray, there is a finite answer inside the range.
    for stray in (-1e6, 1e6):
        assert -0.5 <= Number(mean, std, -0.5, 1e9, offset=1.0).value((), ONE, (stray,)) <= 1e9


def test_numbers_without_a_logarithm_are_refused() -> None:
    with pytest.raises(RecordError, match="no logarithm"):
        Number(offset=0.05).encode(-0.05, ONE)
    with pytest.raises(UsageError, match="offset"):
        Number(offset=-1.0)
