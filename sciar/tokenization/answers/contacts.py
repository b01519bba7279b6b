"""Residues in contact: pairs of indices, between two chains or within one."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.base import SEP, AnswerCodec
from sciar.tokenization.answers.indices import chain_length, index_name, index_names, position_of
from sciar.tokenization.vocabulary import Vocabulary


class Contacts(AnswerCodec):
    """Pairs of residues in contact, between two chains or within one.

    The prompt gives the lengths, ``L1 L2 <sep>`` (``L1 <sep>`` within one chain). The value is a
    sorted tuple of pairs (i, j) from 0; within one chain i < j.

    Args:
        chains: 2 for contacts between the chains of a pair, 1 for those within a chain.
        separation: least j - i within one chain.
        max_pairs: most pairs in one answer.
        max_length: longest chain.

    Raises:
        UsageError: a number out of its range.
    """

    positional = True

    def __init__(
        self, chains: int = 2, separation: int = 1, max_pairs: int = 102, max_length: int = 1022
    ) -> None:
        if chains not in (1, 2) or separation < 1 or max_pairs < 1:
            raise UsageError(
                "chains is 1 or 2, separation and max_pairs are at least 1; got "
                f"{chains}, {separation}, {max_pairs}"
            )
        self.chains, self.separation = chains, separation
        self.max_pairs, self.max_length = max_pairs, max_length

    @property
    def names(self) -> tuple[str, ...]:
        """The residue indices and ``<sep>``."""
        return (*index_names(self.max_length), SEP)

    def prompt(self, protein: Protein) -> tuple[str, ...]:
        """The lengths, then ``<sep>``."""
        lengths = [chain_length(protein, c, self.max_length) for c in range(self.chains)]
        return (*(f"idx:{length}" for length in lengths), SEP)

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Pairs -> index tokens, two each."""
        first, second = self._lengths(protein)
        tokens = []
        try:
            pairs = sorted((i, j) for i, j in value)
        except (TypeError, ValueError) as error:
            raise RecordError("contacts must be a list of pairs of positions") from error
        if len(pairs) > self.max_pairs:
            raise RecordError(f"{len(pairs)} contacts; the task takes at most {self.max_pairs}")
        if len(set(pairs)) != len(pairs):
            raise RecordError("a contact occurs twice")
        for i, j in pairs:
            if self.chains == 1 and j - i < self.separation:
                raise RecordError(
                    f"the contact ({i}, {j}) is not in order, or closer than {self.separation}"
                )
            tokens += [index_name(i, first), index_name(j, second)]
        return tuple(tokens)

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> tuple[tuple[int, int], ...]:
        """Index tokens -> pairs."""
        flat = [position_of(token) for token in tokens]
        return tuple(zip(flat[::2], flat[1::2], strict=True))

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> ContactGrammar:
        """Complete pairs in rising order."""
        first, second = self._lengths(protein)
        within = self.separation if self.chains == 1 else None
        return ContactGrammar(vocabulary, first, second, within, self.max_pairs)

    def max_tokens(self, protein: Protein) -> int:
        """Two tokens a pair."""
        return 2 * self.max_pairs

    def _lengths(self, protein: Protein) -> tuple[int, int]:
        first = chain_length(protein, 0, self.max_length)
        return first, first if self.chains == 1 else chain_length(protein, 1, self.max_length)


class ContactGrammar:
    """Pairs (i, j) in lexicographic order; the end after a complete pair.

    An i is open only if some j can follow it, so that no walk gets stuck.
    """

    def __init__(
        self, vocabulary: Vocabulary, first: int, second: int, within: int | None, most: int
    ) -> None:
        self.size = len(vocabulary)
        self.ids = vocabulary.ids(index_names(max(first, second)))
        self.place = {int(token): i for i, token in enumerate(self.ids)}
        self.first, self.second, self.within = first, second, within
        self.left = most
        self.last, self.open = (0, -1), -1

    def allowed(self) -> tuple[np.ndarray, bool]:
        """The first residues of pairs that may follow, or the second ones of the open pair."""
        mask = np.zeros(self.size, dtype=bool)
        if self.open >= 0:
            mask[self.ids[self._least(self.open) : self.second]] = True
            return mask, False
        if self.left:
            start = self.last[0]
            stop = self.first if self.within is None else min(self.first, self.second - self.within)
            if start < stop and self._least(start) >= self.second:
                start += 1
            mask[self.ids[start : max(start, stop)]] = True
        return mask, True

    def push(self, token: int) -> None:
        """Take the first or the second residue of a pair."""
        place = self.place[token]
        if self.open < 0:
            self.open = place
        else:
            self.last, self.open, self.left = (self.open, place), -1, self.left - 1

    def _least(self, i: int) -> int:
        """The smallest j that makes (i, j) a new pair."""
        after = self.last[1] + 1 if i == self.last[0] else 0
        return after if self.within is None else max(after, i + self.within)
