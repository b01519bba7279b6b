"""Layouts: fields <-> sequences, loss weights, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.errors import UsageError
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

VOCABULARY = Vocabulary(
    ("<bos>", "<eos>", "<go>", "a", "b", "<x>", "<y>"), (SlotKind("<x>", 2), SlotKind("<y>", 3))
)


def layout(role: str) -> Layout:
    return Layout(
        "test",
        (
            Segment("begin", role="forced", tokens=("<bos>",)),
            Segment("words", role=role, weight=2.0),
            Segment("go", role="forced", tokens=("<go>",)),
            Segment("first", "slot", slot="<x>"),
            Segment("second", "slot", slot="<y>", pinned=1, weight=3.0),
            Segment("end", role="forced", tokens=("<eos>",)),
        ),
        references=2,
    )


def fields(words: list[str], first: int, second: int) -> dict[str, Words | Slots]:
    rng = np.random.default_rng(first + 10 * second)
    specs = tuple(
        SlotSpec("a", i, tuple(range(i))[:2], tuple(range(1, i + 1))[:2]) for i in range(second)
    )
    return {
        "words": Words(tuple(words), tuple(range(len(words)))),
        "first": Slots((SlotSpec(),) * first, rng.normal(size=(first, 2))),
        "second": Slots(specs, rng.normal(size=(second, 3))),
    }


@given(
    st.sampled_from(["given", "generated"]),
    st.lists(st.sampled_from(["a", "b"]), max_size=5),
    st.integers(0, 3),
    st.integers(1, 5),
)
def test_split_inverts_assemble(role: str, words: list[str], first: int, second: int) -> None:
    wanted = fields(words, first, second)
    found = layout(role).split(VOCABULARY, layout(role).assemble(VOCABULARY, wanted))
    assert found["words"] == wanted["words"]
    for name in ("first", "second"):
        assert found[name].specs == wanted[name].specs
        np.testing.assert_allclose(found[name].values, wanted[name].values, atol=1e-6)


def test_loss_weights_follow_the_roles() -> None:
    given_words = layout("given").assemble(VOCABULARY, fields(["a", "b"], 1, 2))
    assert given_words.weights.tolist() == [0, 0, 0, 0, 1, 0, 3, 0]
    assert given_words.context == 4
    # generated words also learn where to stop
    generated = layout("generated").assemble(VOCABULARY, fields(["a", "b"], 1, 2))
    assert generated.weights.tolist() == [0, 2, 2, 2, 1, 0, 3, 0]
    assert generated.context == 1


def test_references_become_positions() -> None:
    sequence = layout("given").assemble(VOCABULARY, fields(["a"], 2, 3))
    assert sequence.references[-4:].tolist() == [[-1, -1], [5, -1], [5, 6], [-1, -1]]
    assert sequence.relations[-4:].tolist() == [[0, 0], [1, 0], [1, 2], [0, 0]]


def test_a_sequence_of_another_layout_is_refused() -> None:
    sequence = layout("given").assemble(VOCABULARY, fields(["a"], 1, 1))
    begin = Segment("begin", role="forced", tokens=("<go>",))
    other = Layout("other", (begin, *layout("given").segments[1:]), references=2)
    with pytest.raises(UsageError, match="expected"):
        other.split(VOCABULARY, sequence)
    with pytest.raises(UsageError, match="left over"):
        Layout("short", layout("given").segments[:-1], 2).split(VOCABULARY, sequence)


@pytest.mark.parametrize(
    "options",
    [{"kind": "picture"}, {"role": "wished"}, {"kind": "slot"}, {"slot": "<x>"}],
)
def test_contradictory_segments_are_refused(options: dict) -> None:
    with pytest.raises(UsageError, match="segment wrong"):
        Segment("wrong", **options)
