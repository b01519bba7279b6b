"""Layouts: fields <-> sequences, loss weights, refusals."""

from __future__ import annotations

from dataclasses import replace

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


@given(st.lists(st.sampled_from(["a", "b"]), max_size=5), st.integers(0, 2**32 - 1))
def test_places_and_labels_survive_where_the_layout_has_axes(words: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    located = replace(layout("given"), axes=3)

    def points(n: int) -> tuple[tuple[float, ...], ...]:
        return tuple(map(tuple, rng.normal(size=(n, 3)).astype(np.float32).tolist()))

    n = len(words)
    labels = tuple(rng.choice(["", "a", "b"], n).tolist())
    word_field = Words(tuple(words), (-1,) * n, labels, points(n), points(n))
    specs = tuple(
        SlotSpec("b", i, place=p, position=x)
        for i, (p, x) in enumerate(zip(points(2), points(2), strict=True))
    )
    wanted = {
        "words": word_field,
        "first": Slots((), np.zeros((0, 2))),
        "second": Slots(specs, np.zeros((2, 3))),
    }
    sequence = located.assemble(VOCABULARY, wanted)
    assert sequence.positions.shape == sequence.places.shape == (len(sequence), 3)
    found = located.split(VOCABULARY, sequence)
    assert found["words"] == word_field
    assert found["second"].specs == specs


def test_layouts_without_axes_are_described_as_before_there_were_any() -> None:
    """Fingerprints of stored models hang on this."""
    plain = layout("given").to_dict()
    assert sorted(plain) == ["bidirectional", "name", "references", "segments"]
    assert replace(layout("given"), axes=2).to_dict() == {**plain, "axes": 2}


@pytest.mark.parametrize(
    ("axes", "words", "message"),
    [
        (0, Words(("a",), labels=("b",)), "only where the layout has axes"),
        (3, Words(("a", "b"), labels=("b",)), "one label each"),
        (3, Words(("a",), places=((0.0, 1.0),)), "places are 1 rows of 3"),
        (3, Words(("a",), positions=((0.0,) * 3,) * 2), "positions are 1 rows of 3"),
    ],
)
def test_places_that_do_not_fit_are_refused(axes: int, words: Words, message: str) -> None:
    wanted = {**fields([], 0, 1), "words": words}
    with pytest.raises(UsageError, match=message):
        replace(layout("given"), axes=axes).assemble(VOCABULARY, wanted)


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
