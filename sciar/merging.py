"""Sums of many tables, one a block of a volume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, Self, TypeVar


class Summable(Protocol):
    """A table of a block; those of disjoint blocks add up, in any order and grouping."""

    def __add__(self, other: Self) -> Self: ...


T = TypeVar("T", bound=Summable)


def merged(tables: Iterable[T], empty: T) -> T:
    """The sum of several tables; ``empty`` if there is none.

    Tables of equally many blocks are added first, as in a binary counter: with a running total,
    every block would cost as much as all those before it.
    """
    waiting: list[tuple[int, T]] = []
    for table in tables:
        level, total = 0, table
        while waiting and waiting[-1][0] == level:
            level, total = level + 1, waiting.pop()[1] + total
        waiting.append((level, total))
    total = waiting.pop()[1] if waiting else empty
    while waiting:
        total = waiting.pop()[1] + total
    return total
