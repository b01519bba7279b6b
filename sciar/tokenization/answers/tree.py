"""Hierarchical numbers such as those of the Enzyme Commission: four tokens each, along a tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.automata import Empty, check_empty, empty_names, without_none
from sciar.tokenization.answers.base import NONE, AnswerCodec
from sciar.tokenization.answers.labels import members
from sciar.tokenization.vocabulary import Vocabulary

LEVELS = 4
_PART = re.compile(r"[1-9]\d*|n[1-9]\d*|-")


def parse_number(text: str) -> tuple[str, ...]:
    """``"3.4.21.-"`` -> its four parts; ``-`` is an unspecified level, ``n1`` a preliminary number.

    Raises:
        RecordError: not four levels, an unreadable part, or something below an unspecified level.
    """
    parts = tuple(text.strip().removeprefix("EC").strip(" :").split("."))
    if len(parts) != LEVELS or not all(_PART.fullmatch(part) for part in parts):
        raise RecordError(f"{text!r} is no EC number; write it like 3.4.21.4 or 3.4.21.-")
    if "-" in parts and set(parts[parts.index("-") :]) != {"-"}:
        raise RecordError(f"{text!r} names a level below an unspecified one")
    return parts


def number_key(parts: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Sort key: numbers by size, then preliminary ones, then unspecified levels."""
    keys = []
    for part in parts:
        plain = part.isdigit()
        kind = 0 if plain else 2 if part == "-" else 1
        keys.append((kind, int(part.lstrip("n")) if part != "-" else 0))
    return tuple(keys)


class Tree(AnswerCodec):
    """EC numbers in canonical order; the value is a tuple of numbers as text.

    Args:
        labels: the known numbers; their order does not matter.
        empty: as for :class:`~sciar.tokenization.answers.multi.MultiLabel`.
        separator: splits a value that is given as one text.
        max_numbers: most numbers in one answer.

    Raises:
        UsageError: no numbers, or one that cannot be read.
    """

    def __init__(
        self,
        labels: Sequence[str],
        empty: Empty = "never",
        separator: str | None = None,
        max_numbers: int = 16,
    ) -> None:
        check_empty(empty)
        self.empty, self.separator, self.max_numbers = empty, separator, max_numbers
        try:
            known = {parse_number(str(label)) for label in labels}
        except RecordError as error:
            raise UsageError(str(error)) from error
        if not known:
            raise UsageError("labels must name at least one EC number")
        self.leaves = sorted(known, key=number_key)
        self.known = known

    @property
    def names(self) -> tuple[str, ...]:
        """Parts level by level, each level in numeric order."""
        levels = []
        for level in range(LEVELS):
            parts = {leaf[level] for leaf in self.leaves}
            levels += [_token(level, p) for p in sorted(parts, key=lambda p: number_key((p,)))]
        return (*levels, *empty_names(self.empty))

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Set of numbers -> four tokens each."""
        numbers = {parse_number(str(number)) for number in members(value, self.separator)}
        unknown = sorted(".".join(number) for number in numbers - self.known)
        if unknown:
            raise RecordError(f"EC numbers that this task does not know: {', '.join(unknown[:5])}")
        if len(numbers) > self.max_numbers:
            raise RecordError(f"{len(numbers)} EC numbers; this task takes {self.max_numbers}")
        if not numbers:
            if self.empty == "never":
                raise RecordError("there is no EC number, and this task expects at least one")
            return empty_names(self.empty)
        ranked = sorted(numbers, key=number_key)
        return tuple(_token(i, part) for number in ranked for i, part in enumerate(number))

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> tuple[str, ...]:
        """Four tokens -> one number."""
        parts = [token.partition(":")[2] for token in without_none(tokens)]
        return tuple(".".join(parts[i : i + LEVELS]) for i in range(0, len(parts), LEVELS))

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> TreeGrammar:
        """A walk along the tree of known numbers."""
        return TreeGrammar(vocabulary, self.leaves, self.empty, self.max_numbers)

    def max_tokens(self, protein: Protein) -> int:
        """Four tokens for each number."""
        return LEVELS * min(self.max_numbers, len(self.leaves))


class TreeGrammar:
    """Known numbers in rising order, part by part.

    The numbers that can still follow are a range of the sorted list, because a prefix selects
    neighbours.
    """

    def __init__(
        self, vocabulary: Vocabulary, leaves: list[tuple[str, ...]], empty: str, most: int
    ) -> None:
        self.size = len(vocabulary)
        flat = [_token(level, part) for leaf in leaves for level, part in enumerate(leaf)]
        self.table = vocabulary.ids(flat).reshape(-1, LEVELS)
        self.low, self.high, self.level = 0, len(leaves), 0
        self.empty, self.count, self.most = empty, 0, most
        self.none = vocabulary.id(NONE) if empty == "explicit" else -1
        self.said_none = False

    def allowed(self) -> tuple[np.ndarray, bool]:
        """Parts that lead to a known number after the last one; the end between numbers."""
        mask = np.zeros(self.size, dtype=bool)
        if self.said_none:
            return mask, True
        if self.count < self.most:
            mask[self.table[self.low : self.high, self.level]] = True
        if self.none >= 0 and self.count == 0 and self.level == 0:
            mask[self.none] = True
        return mask, self.level == 0 and (self.count > 0 or self.empty == "implicit")

    def push(self, token: int) -> None:
        """Take one part, or ``<none>``."""
        if token == self.none:
            self.said_none = True
            return
        found = np.flatnonzero(self.table[self.low : self.high, self.level] == token)
        self.high = self.low + int(found[-1]) + 1
        self.low += int(found[0])
        self.level += 1
        if self.level == LEVELS:
            self.low, self.high, self.level = self.low + 1, len(self.table), 0
            self.count += 1


def _token(level: int, part: str) -> str:
    return f"ec{level + 1}:{part}"
