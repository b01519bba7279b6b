"""Which samples of a run figures are over: all that were drawn, or those that passed the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sciar.api.inputs import RUN, Collection, Item
from sciar.errors import UsageError

Selection = Literal["auto", "raw", "kept"]
SELECTIONS = ("auto", "raw", "kept")
CHOSEN = "chosen"
"""Selection of what a ranking chose; asked for when the samples are made, not here."""
_ABOUT = {
    "raw": "raw samples, rejected ones are scored too",
    "kept": "kept samples, all others count as failed",
    CHOSEN: "samples chosen by likelihood, apart from the figures over all",
    "": "samples",
}


@dataclass(frozen=True)
class Tally:
    """Counts of the run behind a set of structures, as far as they are known.

    Attributes:
        selection: ``raw``, ``kept``, or empty if nobody says.
        requested: samples asked for, or ``None``.
        drawn: samples that a model finished, or ``None``.
        parsed: samples that were structures at all, or ``None``.
        kept: samples that passed every check, or ``None``.
        missing: samples asked for of which there is no structure to score, or ``None``.
        chosen: samples that a ranking by likelihood chose, or ``None`` if there was none.
    """

    selection: str
    requested: int | None = None
    drawn: int | None = None
    parsed: int | None = None
    kept: int | None = None
    missing: int | None = None
    chosen: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What is known, in plain form; empty if nothing is."""
        known = {k: v for k, v in vars(self).items() if v is not None and v != ""}
        return known if self.selection or self.requested is not None else {}

    def line(self) -> str:
        """One line for a terminal; empty if nothing is known."""
        if not self.to_dict():
            return ""
        names = ("requested", "drawn", "parsed", "kept", "missing", "chosen")
        counts = [f"{n} {v:,}" for n in names if (v := getattr(self, n)) is not None]
        return f"{_ABOUT[self.selection]}: {', '.join(counts)}"


def settle(
    pool: Collection, selection: str = "auto", requested: int | None = None
) -> tuple[Collection, Tally, list[str]]:
    """The structures to score, the counts behind them, and notes for the reader.

    Args:
        pool: structures with what their file says of them.
        selection: ``raw`` scores every structure there is, rejected ones too; ``kept`` only those
            that passed; ``auto`` is what the records say, ``kept`` for samples of a model.
        requested: samples asked for, if the records do not say, or say something else.

    Raises:
        UsageError: raw and kept records in one set; raw figures wanted of kept records; fewer
            samples requested than there are.
    """
    if selection not in SELECTIONS:
        raise UsageError(f"selection {selection!r} is none of {', '.join(SELECTIONS)}")
    said = {item.selection for item in pool.items if item.selection}
    if len(said) > 1:
        raise UsageError(
            "some of these structures are raw samples and some were filtered; evaluate them apart"
        )
    source = said.pop() if said else ""
    if selection == "raw" and source == "kept":
        raise UsageError(
            "these structures were filtered when they were written; raw figures need all samples: "
            "sciar generate --raw"
        )
    chosen = selection if selection != "auto" else {RUN: "kept"}.get(source, source)
    total, notes = _requested(pool.items, source, requested)
    tally = _count(pool.items, source, chosen, total)
    raw = chosen == "raw"
    items = [
        replace(item, structure=item.rejected)
        if raw and item.structure is None and item.rejected is not None
        else item
        for item in pool.items
    ]
    return replace(pool, items=items), tally, notes


def chosen_part(pool: Collection, tally: Tally) -> tuple[Collection, Tally] | None:
    """The samples that a ranking chose, and their counts; ``None`` if nobody ranked them."""
    if all(item.chosen is None for item in pool.items):
        return None
    items = [item for item in pool.items if item.chosen]
    missing = sum(item.structure is None for item in items)
    about = Tally(CHOSEN, tally.requested, missing=missing, chosen=len(items))
    return replace(pool, items=items), about


def padded(pool: Collection, tally: Tally) -> Collection:
    """With a failed item for each sample asked for that has no record."""
    lacking = (tally.requested or 0) - len(pool.items)
    items = [Item(f"missing sample {k + 1}", None) for k in range(lacking)]
    return replace(pool, items=[*pool.items, *items])


def _requested(
    items: Sequence[Item], source: str, given: int | None
) -> tuple[int | None, list[str]]:
    """How many samples were asked for, and a note if the records contradict themselves."""
    if given is not None:
        if given < len(items):
            raise UsageError(
                f"{given:,} samples requested, but there are {len(items):,} records; give the "
                "number of the run that made them"
            )
        return given, []
    if source == RUN:
        return len(items), []
    carried = {item.requested for item in items if item.requested is not None}
    if not carried:
        return None, []
    if len(carried) == 1 and (number := carried.pop()) >= len(items):
        return number, []
    return None, [
        "The records do not agree with the number of samples that they say were requested (several "
        "runs in one file?): give --requested to count missing samples as failed."
    ]


def _count(items: Sequence[Item], source: str, selection: str, requested: int | None) -> Tally:
    kept = sum(item.structure is not None for item in items)
    parsed = kept + sum(item.rejected is not None for item in items)
    scored = parsed if selection == "raw" else kept
    return Tally(
        selection,
        requested,
        sum(bool(item.drawn) for item in items) if source == RUN else None,
        None if source == "kept" else parsed,
        kept if source else None,
        None if requested is None else requested - scored,
    )
