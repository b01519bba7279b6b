"""Which samples figures are over: properties of :func:`sciar.api.selection.settle`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciar.api.inputs import Collection, Item
from sciar.api.selection import padded, settle
from sciar.errors import UsageError

STATES = st.lists(st.sampled_from(["kept", "rejected", "unreadable"]), min_size=1, max_size=30)


def items(states: list[str], requested: int | None, selection: str = "raw") -> list[Item]:
    """What reading a file of such records gives; nothing is known of an unreadable one."""
    found = []
    for i, state in enumerate(states):
        ok, refused = (f"s{i}" if state == s else None for s in ("kept", "rejected"))
        known = state != "unreadable"
        found.append(
            Item(
                str(i), ok, None, refused, selection if known else "", requested if known else None
            )
        )
    return found


@given(STATES, st.integers(0, 20))
def test_every_requested_sample_is_scored_once(states: list[str], lacking: int) -> None:
    total = len(states) + lacking
    pool, tally, notes = settle(Collection(items(states, total)), requested=total)
    scored = padded(pool, tally).structures
    assert len(scored) == tally.requested == total and not notes
    wanted = [None if s == "unreadable" else f"s{i}" for i, s in enumerate(states)]
    if set(states) == {"unreadable"}:
        assert tally.selection == ""  # nobody says what they are
    assert scored == wanted + [None] * lacking
    assert tally.missing == scored.count(None)
    assert tally.parsed == len(scored) - scored.count(None)


@given(STATES, st.integers(0, 20))
def test_kept_leaves_out_every_rejected_one(states: list[str], lacking: int) -> None:
    total = len(states) + lacking
    pool, tally, _ = settle(Collection(items(states, total)), "kept", total)
    scored = padded(pool, tally).structures
    assert [s for s in scored if s] == [f"s{i}" for i, s in enumerate(states) if s == "kept"]
    assert tally.missing == total - states.count("kept")


@pytest.mark.parametrize("carried", [3, 9])
def test_records_that_contradict_themselves_are_not_believed(carried: int) -> None:
    pool = Collection([*items(["kept"] * 4, 3), *items(["kept"] * 2, carried)])
    _, tally, notes = settle(pool)
    assert tally.requested is None and "--requested" in notes[0]
    assert tally.line() == "raw samples, rejected ones are scored too: parsed 6, kept 6"


def test_what_cannot_be_is_refused() -> None:
    mixed = Collection([*items(["kept"], 2), *items(["kept"], 2, "kept")])
    with pytest.raises(UsageError, match="evaluate them apart"):
        settle(mixed)
    with pytest.raises(UsageError, match="sciar generate --raw"):
        settle(Collection(items(["kept"], 2, "kept")), "raw")
    with pytest.raises(UsageError, match="1 samples requested, but there are 2"):
        settle(Collection(items(["kept"] * 2, 2)), requested=1)


def test_nothing_is_said_of_structures_that_say_nothing() -> None:
    pool, tally, notes = settle(Collection([Item("a", "s"), Item("b", None)]))
    assert not tally.line() and not tally.to_dict() and not notes
    assert pool.structures == padded(pool, tally).structures == ["s", None]
