"""Vocabularies: names, slot kinds, statistics, fingerprints."""

from __future__ import annotations

import numpy as np
import pytest

from sciar.errors import RecordError, UsageError
from sciar.tokenization.vocabulary import SlotKind, Vocabulary


def small() -> Vocabulary:
    slots = (SlotKind("<a>", 3), SlotKind("<b>", 6, geometry="torus"))
    return Vocabulary(("<pad>", "H", "<b>", "<a>"), slots)


def test_names_and_ids_are_inverse() -> None:
    vocabulary = small()
    for i, name in enumerate(vocabulary.names):
        assert vocabulary.id(name) == i
    assert vocabulary.ids(["H", "<a>"]).tolist() == [1, 3]
    assert vocabulary.slot_ids.tolist() == [3, 2]
    assert (vocabulary.kind("<a>"), vocabulary.kind("<b>"), vocabulary.width) == (1, 2, 6)


def test_unknown_name_raises_and_names_it() -> None:
    with pytest.raises(RecordError, match="'Xx'"):
        small().id("Xx")
    with pytest.raises(UsageError, match="'<c>'"):
        small().kind("<c>")


def test_double_names_and_slots_without_a_token_are_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        Vocabulary(("H", "H"))
    with pytest.raises(RecordError, match="<a>"):
        Vocabulary(("H",), (SlotKind("<a>", 3),))


@pytest.mark.parametrize(
    "options", [{"geometry": "sphere"}, {"mean": (1.0, 2.0)}, {"std": (1.0, 2.0)}]
)
def test_bad_slot_kinds_are_refused(options: dict) -> None:
    with pytest.raises(UsageError, match="<a>"):
        SlotKind("<a>", 3, **options)


def test_dictionary_form_is_lossless() -> None:
    vocabulary = small().with_statistics({"<a>": (np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))})
    again = Vocabulary.from_dict(vocabulary.to_dict())
    assert again.names == vocabulary.names
    assert again.slots == vocabulary.slots
    assert again.slots[0].std == (4.0, 5.0, 6.0)
    assert again.slots[1].std == (1.0,) * 6
    assert again.fingerprint == vocabulary.fingerprint


def test_fingerprint_sees_names_slots_and_statistics() -> None:
    vocabulary = small()
    others = [
        Vocabulary(("<pad>", "He", "<b>", "<a>"), vocabulary.slots),
        Vocabulary(vocabulary.names, vocabulary.slots[::-1]),
        vocabulary.with_statistics({"<a>": (np.zeros(3), np.full(3, 2.0))}),
    ]
    assert len({v.fingerprint for v in [vocabulary, *others]}) == 4
