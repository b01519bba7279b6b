"""UniGenX's treatment of sites and SMILES (spec 1.4 and 1.8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.tokenization.elements import NUMBER
from sciar.tokenization.vocabulary import Vocabulary


def wrap_coordinates(frac: np.ndarray) -> np.ndarray:
    """Fractional coordinates into [0, 1): spec 1.4, with its rounding to 6 decimals."""
    frac = np.where(frac < 0, frac + np.abs(np.trunc(frac)) + 1, frac)
    frac = np.where(frac > 1, frac - np.trunc(frac), frac)
    near = (np.abs(frac) < 1e-4) | (np.abs(frac - 1) < 1e-4)
    return np.round(np.where(near, 0.0, frac), 6)


def site_order(species: Sequence[str], frac: np.ndarray, axes: str = "xyz") -> np.ndarray:
    """(n,) order: elements by first appearance, inside an element by coordinates along ``axes``."""
    first = {symbol: i for i, symbol in reversed(list(enumerate(species)))}
    group = np.array([first[symbol] for symbol in species])
    columns = [frac[:, "xyz".index(axis)] for axis in axes]
    return np.lexsort((*columns[::-1], group))


def split_smiles(smiles: str) -> tuple[str, ...]:
    """Character by character; a lower-case letter joins the character before it.

    Raises:
        RecordError: for aromatic SMILES, which this cannot tell from two-letter elements.
    """
    tokens: list[str] = []
    for character in smiles:
        if not character.islower():
            tokens.append(character)
        elif tokens and len(tokens[-1]) == 1 and tokens[-1].isupper():
            tokens[-1] += character
        else:
            raise RecordError(
                f"{smiles!r} has aromatic (lower-case) atoms; write it in Kekule form",
                field="smiles",
            )
    return tuple(tokens)


class GroupedElements:
    """Any elements, each in one run: what the sorted training data look like.

    Args:
        vocabulary: its element symbols are used.
        limit: most atoms.
    """

    def __init__(self, vocabulary: Vocabulary, limit: int) -> None:
        if limit < 1:
            raise UsageError("max_atoms must be at least 1")
        self.limit, self.count, self.current = limit, 0, -1
        self.open = np.array([name in NUMBER for name in vocabulary.names])

    def allowed(self) -> tuple[np.ndarray, bool]:
        """Elements that were not left before, up to the limit."""
        return self.open & (self.count < self.limit), self.count > 0

    def push(self, token: int) -> None:
        """Take one element symbol."""
        if token != self.current and self.current >= 0:
            self.open[self.current] = False
        self.current, self.count = token, self.count + 1


class FreeWords:
    """Any of some words, at least one and at most so many: no grammar, as in the original.

    Args:
        vocabulary: of the model.
        words: those that may stand.
        limit: most words.
    """

    def __init__(self, vocabulary: Vocabulary, words: Iterable[str], limit: int) -> None:
        self.limit, self.count = limit, 0
        self.open = np.zeros(len(vocabulary), dtype=bool)
        self.open[vocabulary.ids(words)] = True

    def allowed(self) -> tuple[np.ndarray, bool]:
        """Every word, up to the limit."""
        return self.open & (self.count < self.limit), self.count > 0

    def push(self, token: int) -> None:
        """Take one word."""
        self.count += 1
