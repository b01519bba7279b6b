"""What cannot be an answer is refused, with a message that says why and where."""

from __future__ import annotations

import math

import pytest

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.contacts import Contacts
from sciar.tokenization.answers.digits import Digits
from sciar.tokenization.answers.label_position import ClassAndPosition
from sciar.tokenization.answers.multi import MultiLabel
from sciar.tokenization.answers.number import Number
from sciar.tokenization.answers.ontology import Ontology
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.answers.pointing import Pointing
from sciar.tokenization.answers.registry import Tasks
from sciar.tokenization.answers.single import SingleClass
from sciar.tokenization.answers.sites import Sites
from sciar.tokenization.answers.structure_string import StructureString
from sciar.tokenization.answers.terms import Terms
from sciar.tokenization.answers.tree import Tree

P = Protein("MSTAY")
PAIR = Protein("MSTAY", "AG")
TERMS = Terms(["a"], Ontology({"a": [], "b": ["a"], "c": []}), empty="never")


@pytest.mark.parametrize(
    ("codec", "value", "message"),
    [
        (SingleClass("AB"), "C", "'C' is unknown; known: A, B"),
        (MultiLabel("AB"), ["A", "A"], "occurs twice"),
        (MultiLabel("AB", empty="never"), [], "empty"),
        (MultiLabel("AB"), None, "missing"),
        (Tree(["1.1.1.1"]), ["1.1.1"], "no EC number"),
        (Tree(["1.1.1.1"]), ["1.-.1.1"], "below an unspecified"),
        (Tree(["1.1.1.1"]), ["1.1.1.2"], "does not know: 1.1.1.2"),
        (Tree(["1.1.1.1"]), [], "no EC number"),
        (Tree(["1.1.1.1", "1.1.1.2"], max_numbers=1), ["1.1.1.1", "1.1.1.2"], "takes 1"),
        (TERMS, ["zzz"], "unknown or obsolete"),
        (TERMS, ["c"], "none of the terms"),
        (Digits(0, 1), 1.5, "outside"),
        (Digits(0, 1), "high", "no number"),
        (Digits(0, 1, out_of_range="clip"), math.nan, "no finite number"),
        (Number(), math.inf, "no finite number"),
        (Number(low=0), -1, "no finite number in 0"),
        (ClassAndPosition("AB", "A"), ("A", 1), "takes no position"),
        (ClassAndPosition("AB", "A"), "B", "needs a position"),
        (ClassAndPosition("AB", "A"), ("B", 5), "outside the sequence"),
        (PerResidue("HEC"), "HE", "2 labels for 5 residues"),
        (PerResidue("HEC"), "HEXCC", "'X' is unknown"),
        (PerResidue("HEC"), 3, "one label for each"),
        (PerResidue("HEC", max_length=4), "HEECC", "windows"),
        (StructureString(), "DDDDB", "'B' at position 4"),
        (StructureString("vq", 8), [0, 1, 2, 3, 8], "8 at position 4"),
        (StructureString(), "DD", "2 states for 5"),
        (Sites(), [1, 1], "twice"),
        (Sites(), [5], "position 5 lies outside"),
        (Sites(), [-1], "outside"),
        (Sites(), [1.5], "no whole number"),
        (Sites(), "01010", "got text"),
        (Sites(positive="1"), "0101", "4 labels for 5 residues"),
        (Sites("STY"), [0], "position 0 is M"),
        (Sites(chain=1), [0], "second sequence"),
        (Contacts(), [(0, 0)], "second sequence"),
        (Contacts(1), [(3, 1)], "not in order"),
        (Contacts(1), [1, 2], "pairs of positions"),
        (Contacts(1), [(0, 1), (0, 1)], "twice"),
        (Contacts(1, max_pairs=1), [(0, 1), (0, 2)], "at most 1"),
        (Contacts(1), [(0, 9)], "outside"),
    ],
)
def test_wrong_values_are_refused(codec, value, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        codec.encode(value, P)


@pytest.mark.parametrize(
    ("codec", "tokens", "message"),
    [
        (SingleClass("AB", "x"), (), "too early"),
        (SingleClass("AB", "x"), ("cls:x:A", "cls:x:B"), "token 2"),
        (MultiLabel("AB", "x"), ("cls:x:B", "cls:x:A"), "token 2"),
        (Tree(["1.1.1.1"]), ("ec1:1", "ec2:1", "ec3:1"), "too early"),
        (Digits(0, 1, 2), ("dig:0", "dig:.", "dig:5"), "too early"),
        (Digits(0, 1, 2), ("dig:0", "dig:.", "dig:0", "dig:0"), "token 4"),
        (Digits(0, 1, 2), ("dig:1",), "token 1"),
        (PerResidue("HEC", "x"), ("cls:x:H",) * 4, "too early"),
        (PerResidue("HEC", "x"), ("cls:x:H",) * 6, "token 6"),
        (Sites(), ("idx:6",), "token 1"),
        (Sites(), ("idx:3", "idx:2"), "token 2"),
        (Contacts(1), ("idx:3",), "too early"),
        (Contacts(1), ("idx:5",), "token 1"),
    ],
)
def test_malformed_answers_are_refused(codec, tokens: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        codec.decode(tokens, P)


@pytest.mark.parametrize("payload", [(), (1.0, 2.0), (math.nan,)])
def test_a_number_needs_one_finite_payload(payload: tuple[float, ...]) -> None:
    with pytest.raises(RecordError, match="payload"):
        Number().decode(("<number>",), P, payload)


def test_clipping_keeps_to_the_range_and_says_so() -> None:
    codec = Digits(0, 1, out_of_range="clip")
    assert codec.decode(codec.encode(7, P), P) == pytest.approx(1)
    assert codec.decode(codec.encode(-7, P), P) == pytest.approx(0)
    assert codec.outside(7) and not codec.outside(1)
    assert Number(low=0, high=1).decode(("<number>",), P, (9.0,)) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: SingleClass([]),
        lambda: SingleClass("AA"),
        lambda: MultiLabel("AB", empty="maybe"),  # type: ignore[arg-type]
        lambda: Tree([]),
        lambda: Tree(["1.1"]),
        lambda: Terms(["x"], Ontology({"a": []})),
        lambda: Terms([], Ontology({"a": []})),
        lambda: Digits(1, 1),
        lambda: Digits(0, 1, 0),
        lambda: Digits(0.11, 0.14, 1, scaled=False),
        lambda: Number(std=0),
        lambda: ClassAndPosition("AB", "C"),
        lambda: StructureString("dssp"),  # type: ignore[arg-type]
        lambda: Sites(empty="never"),
        lambda: Contacts(3),
        lambda: Pointing(motif=""),
        lambda: Pointing(motif="1"),
    ],
)
def test_wrong_options_are_refused(make) -> None:
    with pytest.raises((UsageError, RecordError)):
        make()


TASKS = Tasks({
    "ss": {"type": "per_residue", "labels": "HEC", "field": "labels"},
    "ppi": {"type": "single", "labels": ["yes", "no"], "inputs": 2},
    "tight": {"type": "sites", "max_length": 3},
})  # fmt: skip


def test_errors_name_task_record_and_field() -> None:
    with pytest.raises(RecordError) as caught:
        TASKS["ss"].encode("HE", P, "1abc")
    assert str(caught.value) == "record 1abc, field labels: task ss: 2 labels for 5 residues"
    with pytest.raises(RecordError) as caught:
        TASKS["ss"].encode(None, P, "1abc")
    assert str(caught.value) == "record 1abc, field labels: task ss: the label is missing"
    with pytest.raises(RecordError) as caught:
        TASKS["ppi"].prompt(P, "1abc")
    assert "record 1abc, field sequence: task ppi: 2 sequence(s) are needed and 1" in str(
        caught.value
    )
    with pytest.raises(RecordError, match="1 sequence"):
        TASKS["ss"].prompt(PAIR)
    with pytest.raises(RecordError) as caught:
        TASKS["tight"].grammar(TASKS.vocabulary(), P, "1abc")
    assert "record 1abc" in str(caught.value) and "windows" in str(caught.value)
    with pytest.raises(RecordError) as caught:
        TASKS["ss"].decode(["cls:ss:H"], P, id="1abc")
    assert "field answer" in str(caught.value)


def test_a_model_without_the_task_is_refused() -> None:
    with pytest.raises(UsageError, match="no task 'ppi'; it knows: ss"):
        TASKS["ppi"].grammar(TASKS.only(["ss"]).vocabulary(), PAIR)
    with pytest.raises(UsageError, match="unknown task 'fold'; known: ss, ppi, tight"):
        TASKS["fold"]
