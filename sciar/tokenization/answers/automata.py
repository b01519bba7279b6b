"""Automata that several types of answers share: a fixed length, and an ascending list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sciar.errors import UsageError
from sciar.tokenization.answers.base import NONE
from sciar.tokenization.vocabulary import Vocabulary

Empty = Literal["implicit", "explicit", "never"]
EMPTY: tuple[str, ...] = ("implicit", "explicit", "never")


def mask_of(vocabulary: Vocabulary, names: Sequence[str]) -> np.ndarray:
    """(V,) bool, True at the given names."""
    mask = np.zeros(len(vocabulary), dtype=bool)
    mask[vocabulary.ids(names)] = True
    return mask


class FixedLengthGrammar:
    """Exactly ``length`` tokens of ``names``.

    The masks are shared between steps: callers read them and do not write.
    """

    def __init__(self, vocabulary: Vocabulary, names: Sequence[str], length: int) -> None:
        self.open, self.closed = mask_of(vocabulary, names), mask_of(vocabulary, ())
        self.left = length

    def allowed(self) -> tuple[np.ndarray, bool]:
        """All names until the length is reached, then nothing."""
        return (self.open, False) if self.left else (self.closed, True)

    def push(self, token: int) -> None:
        """Take one token."""
        self.left -= 1


class AscendingGrammar:
    """Each of ``names`` at most once, in their order.

    Args:
        vocabulary: the model's vocabulary.
        names: allowed tokens in rank order.
        empty: an empty list is ``implicit`` (nothing), ``explicit`` (the token ``<none>``) or
            ``never`` an answer.
    """

    def __init__(self, vocabulary: Vocabulary, names: Sequence[str], empty: str) -> None:
        self.size = len(vocabulary)
        self.order = vocabulary.ids(names)
        self.rank = {int(token): i for i, token in enumerate(self.order)}
        self.empty = empty
        self.none = vocabulary.id(NONE) if empty == "explicit" else -1
        self.next = 0
        self.said_none = False

    def allowed(self) -> tuple[np.ndarray, bool]:
        """Names after the last one; the end once the list may be complete."""
        mask = np.zeros(self.size, dtype=bool)
        if self.said_none:
            return mask, True
        mask[self.order[self.next :]] = True
        if self.next == 0 and self.none >= 0:
            mask[self.none] = True
        return mask, self.next > 0 or self.empty == "implicit"

    def ranked(self) -> np.ndarray:
        """Ids of the names that may still follow, by rank."""
        return self.order[self.next :]

    def push(self, token: int) -> None:
        """Take one name, or ``<none>``."""
        if token == self.none:
            self.said_none = True
        else:
            self.next = self.rank[token] + 1


def check_empty(empty: str) -> None:
    """Refuse an unknown way of writing an empty list.

    Raises:
        UsageError: not one of ``EMPTY``.
    """
    if empty not in EMPTY:
        raise UsageError(f"empty is one of {', '.join(EMPTY)}, not {empty!r}")


def empty_names(empty: str) -> tuple[str, ...]:
    """The token of an explicit empty list, if there is one."""
    return (NONE,) if empty == "explicit" else ()


def without_none(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """The members of a list; an explicit empty list has none."""
    return () if tokens == (NONE,) else tokens
