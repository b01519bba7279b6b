"""Lists of residues: binding sites, modified residues, and the like."""

from __future__ import annotations

from typing import Any

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.automata import (
    AscendingGrammar,
    Empty,
    check_empty,
    empty_names,
    without_none,
)
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.indices import (
    chain_length,
    index_names,
    position_of,
    positions,
)
from sciar.tokenization.vocabulary import Vocabulary


class Sites(AnswerCodec):
    """Indices of residues in rising order; the value is a sorted tuple of positions from 0.

    Args:
        residues: letters that a site may have; all by default.
        positive: a value may also be one letter a residue; these letters mean "a site".
        chain: 0 for the first sequence, 1 for its partner.
        empty: as for :class:`~sciar.tokenization.answers.multi.MultiLabel`; not ``never``, since a
            sequence may lack the letters.
        max_length: longest sequence.

    Raises:
        UsageError: ``empty`` is ``never`` or unknown.
    """

    positional = True

    def __init__(
        self,
        residues: str = "",
        positive: str = "",
        chain: int = 0,
        empty: Empty = "implicit",
        max_length: int = 1022,
    ) -> None:
        check_empty(empty)
        if empty == "never":
            raise UsageError("a list of sites may be empty; empty is implicit or explicit")
        self.residues, self.positive = residues.upper(), positive
        self.chain, self.empty, self.max_length = chain, empty, max_length

    @property
    def names(self) -> tuple[str, ...]:
        """The residue indices, then ``<none>`` if it is used."""
        return (*index_names(self.max_length), *empty_names(self.empty))

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Positions -> index tokens."""
        found = positions(value, self._length(protein), self.positive)
        sequence = protein.chains[self.chain]
        wrong = [i for i in found if self.residues and sequence[i] not in self.residues]
        if wrong:
            raise RecordError(
                f"position {wrong[0]} is {sequence[wrong[0]]}; a site must be one of "
                f"{', '.join(self.residues)}"
            )
        return tuple(f"idx:{i + 1}" for i in found) or empty_names(self.empty)

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> tuple[int, ...]:
        """Index tokens -> positions."""
        return tuple(position_of(token) for token in without_none(tokens))

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> AscendingGrammar:
        """Indices that may be sites, rising."""
        return AscendingGrammar(vocabulary, self.candidates(protein), self.empty)

    def max_tokens(self, protein: Protein) -> int:
        """Every residue that may be a site, or ``<none>``."""
        return max(len(self.candidates(protein)), len(empty_names(self.empty)))

    def candidates(self, protein: Protein) -> tuple[str, ...]:
        """Index tokens of the residues that may be sites."""
        length = self._length(protein)
        if not self.residues:
            return index_names(length)
        sequence = protein.chains[self.chain]
        return tuple(f"idx:{i + 1}" for i in range(length) if sequence[i] in self.residues)

    def _length(self, protein: Protein) -> int:
        return chain_length(protein, self.chain, self.max_length)
