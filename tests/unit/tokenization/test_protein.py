"""Proteins with questions <-> tokens."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from answer_models import EXAMPLES, PAIRS, TASKS, protein, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import RecordError, UsageError
from sciar.records import Annotation, Protein
from sciar.testing.tokenizers import assert_well_formed
from sciar.tokenization.cursor import Choice, End, SlotQuery
from sciar.tokenization.protein import ProteinTokenizer
from sciar.tokenization.sequence import ARRAYS, TokenSequence

ALL = tokenizer()


def walk(name: str, length: int, seed: int) -> tuple[Annotation, TokenSequence]:
    """A random answer that the grammar allows, and its sequence."""
    rng = np.random.default_rng(seed)
    asked = protein(length, seed % 7, name in PAIRS)
    cursor = ALL.cursor(ALL.request({"protein": asked, "task": name}))
    while not isinstance(expected := cursor.expect(), End):
        if isinstance(expected, Choice):
            choices = np.flatnonzero(expected.mask)
            assert len(choices) > 1, "a decision without a choice"
            cursor.push_token(int(rng.choice(choices)))
        else:
            assert isinstance(expected, SlotQuery)
            assert len(cursor) == cursor.known + 1
            cursor.push_value(rng.normal(size=1).astype(np.float32))
    assert not cursor.failure
    return ALL.decode(cursor.sequence()), cursor.sequence()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.task)
def test_examples_come_back(example: Annotation) -> None:
    sequence = ALL.encode(example)
    assert_well_formed(sequence, ALL.vocabulary)
    again = ALL.decode(sequence)
    assert (again.protein, again.task) == (example.protein, example.task)
    assert again.value == example.value


@given(st.sampled_from(sorted(TASKS)), st.sampled_from([1, 2, 3, 50]), st.integers(0, 10**6))
def test_every_walk_is_an_answer_that_encodes_to_itself(name: str, length: int, seed: int) -> None:
    """What is generated is what training shows: the same tokens at the same places."""
    note, sequence = walk(name, length, seed)
    assert sequence.context == len(sequence) - len(sequence.ids[sequence.context :])
    if name == "terms":  # other tokens mean the same closed set
        assert ALL.decode(ALL.encode(note)).value == note.value
        return
    try:
        again = ALL.encode(note)
    except RecordError as error:
        assert "nothing of the answer" in error.reason  # a single possible answer teaches nothing
        return
    for column in set(ARRAYS) - {"weights"}:
        np.testing.assert_allclose(
            getattr(again, column), getattr(sequence, column), atol=1e-6, err_msg=column
        )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.task)
def test_sequences_follow_the_declared_layout(example: Annotation) -> None:
    fields = ALL.fields(example)
    declared = ALL.layout.assemble(ALL.vocabulary, fields)
    sequence = ALL.encode(example)
    for name in ("ids", "kinds", "values", "labels", "anchors"):
        np.testing.assert_array_equal(getattr(declared, name), getattr(sequence, name), name)
    slots = sequence.labels[: sequence.context] >= -1
    slots &= sequence.anchors[: sequence.context] >= 0
    rows = np.flatnonzero(slots)
    np.testing.assert_array_equal(declared.places[rows], sequence.places[rows])
    assert ALL.structure(fields).value == ALL.decode(sequence).value


@given(st.sampled_from(EXAMPLES), st.floats(0.1, 5))
def test_loss_is_on_decisions_and_sums_to_the_task_weight(example: Annotation, w: float) -> None:
    tokens = ProteinTokenizer({example.task: {**TASKS[example.task], "weight": w}}, max_length=64)
    sequence = tokens.encode(example)
    assert not sequence.weights[: sequence.context].any()
    assert sequence.weights.sum() == pytest.approx(w, rel=1e-5)


def test_forced_tokens_carry_no_loss() -> None:
    sequence = ALL.encode(Annotation(Protein("MSTAYK"), "heat", 55.0))
    names = [ALL.vocabulary.names[i] for i in sequence.ids]
    weighed = [n for n, w in zip(names, sequence.weights, strict=True) if w > 0]
    assert "dig:." not in weighed and "<eos>" not in weighed
    assert len(weighed) == 3  # the zero before the point is forced, too


def test_unresolved_residues_carry_no_loss() -> None:
    masked = Annotation(Protein("MSTAYK"), "states", "HHECCC", mask="110010")
    weights = ALL.encode(masked).weights[-7:]
    np.testing.assert_allclose(weights, np.array([1, 1, 0, 0, 1, 0, 0]) / 3, rtol=1e-6)
    short = Annotation(Protein("MSTAYK"), "states", "HHECCC", mask="110")
    with pytest.raises(RecordError, match="3 letters of the mask for 6 residues"):
        ALL.encode(short)


def test_residues_keep_their_numbers_and_chains() -> None:
    sequence = ALL.encode(EXAMPLES[12])
    assert sequence.anchors[1:10].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert sequence.places[1:10, 0].tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3]
    partner = sequence.labels[1:10] >= 0
    assert partner.tolist() == [False] * 6 + [True] * 3
    answer = sequence.places[sequence.context :]
    assert answer.tolist() == [[1, 1], [2, 2], [6, 3], [3, 4], [0, 5]]


def test_an_answer_for_each_residue_stands_where_its_residue_does() -> None:
    sequence = ALL.encode(EXAMPLES[8])
    answer = sequence.places[sequence.context : -1]
    np.testing.assert_array_equal(answer, sequence.places[1:7])


def test_a_question_about_the_beginning_reads_no_more() -> None:
    tokens = ProteinTokenizer({"heat": {**TASKS["heat"], "crop": 4}})
    long, short = (Annotation(Protein(s), "heat", 50.0) for s in ("MSTAYKKK", "MSTA"))
    np.testing.assert_array_equal(tokens.encode(long).ids, tokens.encode(short).ids)
    with pytest.raises(UsageError, match="crop"):
        ProteinTokenizer({"states": {**TASKS["states"], "crop": 4}})


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (
            {"sequence": "MKV", "task": "nothing"},
            UsageError,
            "unknown task 'nothing'; known: place",
        ),
        ({"sequence": "MKV"}, UsageError, "give task"),
        ({"sequence": "MKV", "task": "place", "n": 3}, UsageError, "drop n"),
        ({"sequence": "MK1", "task": "place"}, RecordError, "'1' at position 3"),
        ({"sequence": "", "task": "place"}, RecordError, "empty"),
        ({"sequence": "MKV", "task": "touching"}, RecordError, "2 sequence"),
        ({"sequence": "MKV", "partner": "MK", "task": "place"}, RecordError, "1 sequence"),
        ({"sequence": "M" * 2049, "task": "place"}, RecordError, "2049 residues"),
    ],
)
def test_bad_questions_are_refused(
    wanted: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ALL.request(wanted, "x")


def test_other_structures_are_refused() -> None:
    with pytest.raises(RecordError, match="takes annotations"):
        ALL.encode(Protein("MKV"))
    with pytest.raises(UsageError, match="at least one task"):
        ProteinTokenizer({})


def test_ids_are_the_same_in_every_process() -> None:
    code = "from sciar.tokenization.protein import ProteinTokenizer as P; print(P().fingerprint)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "random")
    }  # fmt: skip
    assert len(found) == 1 and found != {""}


def test_the_tokenizer_survives_being_stored() -> None:
    again = ProteinTokenizer(vocabulary=ALL.vocabulary, **ALL.config())
    assert again.fingerprint == ALL.fingerprint
