"""Residue indices as tokens ``idx:1`` ... ``idx:L``; values count from 0."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sciar.errors import RecordError
from sciar.records import Protein


@lru_cache(maxsize=4096)
def index_names(length: int) -> tuple[str, ...]:
    """Tokens of all residues of a chain."""
    return tuple(f"idx:{i + 1}" for i in range(length))


def index_name(position: Any, length: int) -> str:
    """Token of the residue at ``position`` (from 0).

    Raises:
        RecordError: no whole number, or outside the chain.
    """
    if isinstance(position, bool) or not hasattr(position, "__index__"):
        raise RecordError(f"the position {position!r} is no whole number")
    if not 0 <= position < length:
        raise RecordError(
            f"position {position} lies outside the sequence, whose {length} residues count from 0"
        )
    return f"idx:{int(position) + 1}"


def position_of(token: str) -> int:
    """Position (from 0) of an index token."""
    return int(token.removeprefix("idx:")) - 1


def chain_length(protein: Protein, chain: int, limit: int) -> int:
    """Length of one chain.

    Raises:
        RecordError: there is no such chain, or it is longer than the indices of the task reach.
    """
    if chain >= len(protein.chains):
        raise RecordError("the task needs a second sequence, and the record has one")
    length = len(protein.chains[chain])
    if length > limit:
        raise RecordError(
            f"{length} residues; the task takes at most {limit}, so cut the sequence into windows"
        )
    return length


def positions(value: Any, length: int, positive: str = "") -> list[int]:
    """Sorted positions of a site list, given as indices or as one letter a residue.

    Args:
        value: positions from 0; or, if ``positive`` is given, a text of the chain's length.
        length: residues of the chain.
        positive: letters of that text that mean "a site".

    Raises:
        RecordError: neither, a position outside the chain, or one that occurs twice.
    """
    if isinstance(value, str):
        if not positive:
            raise RecordError("sites must be a list of positions, got text")
        if len(value) != length:
            raise RecordError(f"{len(value)} labels for {length} residues")
        return [i for i, letter in enumerate(value) if letter in positive]
    if not isinstance(value, Iterable):
        raise RecordError(f"sites must be a list of positions, got {value!r}")
    found = [position_of(index_name(position, length)) for position in value]
    if len(set(found)) != len(found):
        raise RecordError("a position occurs twice")
    return sorted(found)
