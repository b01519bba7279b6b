"""A structure as one letter or code a residue: 3Di states, or the codes of a VQ autoencoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.automata import FixedLengthGrammar
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.indices import chain_length
from sciar.tokenization.vocabulary import Vocabulary

STATES = "ACDEFGHIKLMNPQRSTVWY"
"""The 20 states of Foldseek's 3Di alphabet, named by the letters of amino acids."""


class StructureString(AnswerCodec):
    """L states for L residues.

    The value of ``3di`` is a text of L letters; small letters, which mark masked residues in files,
    become capitals. The value of ``vq`` is a tuple of L codes from 0.

    Args:
        alphabet: ``3di`` or ``vq``.
        codes: size of the codebook of ``vq``.
        max_length: longest sequence.

    Raises:
        UsageError: unknown alphabet, or a codebook without codes.
    """

    positional = parallel = True

    def __init__(
        self,
        alphabet: Literal["3di", "vq"] = "3di",
        codes: int = 4096,
        max_length: int = 1022,
    ) -> None:
        if alphabet not in ("3di", "vq"):
            raise UsageError(f"alphabet is '3di' or 'vq', not {alphabet!r}")
        if codes < 1:
            raise UsageError(f"a codebook has at least one code, got {codes}")
        self.alphabet, self.codes, self.max_length = alphabet, codes, max_length
        states: Sequence[Any] = STATES if alphabet == "3di" else range(codes)
        self._names = tuple(f"{alphabet}:{state}" for state in states)

    @property
    def names(self) -> tuple[str, ...]:
        """One token a state."""
        return self._names

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """States of all residues -> tokens."""
        length = chain_length(protein, 0, self.max_length)
        if not isinstance(value, Iterable):
            raise RecordError(f"expected one state for each of {length} residues, got {value!r}")
        states = value.upper() if isinstance(value, str) else list(value)
        if len(states) != length:
            raise RecordError(f"{len(states)} states for {length} residues")
        tokens = tuple(f"{self.alphabet}:{state}" for state in states)
        unknown = next((i for i, token in enumerate(tokens) if token not in self._own), None)
        if unknown is not None:
            raise RecordError(
                f"state {states[unknown]!r} at position {unknown} is none of the "
                f"{len(self._names)} of the alphabet {self.alphabet}"
            )
        return tokens

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> str | tuple[int, ...]:
        """Tokens -> letters, or codes."""
        states = [token.partition(":")[2] for token in tokens]
        return "".join(states) if self.alphabet == "3di" else tuple(map(int, states))

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> FixedLengthGrammar:
        """Exactly L states."""
        return FixedLengthGrammar(vocabulary, self._names, self.max_tokens(protein))

    def max_tokens(self, protein: Protein) -> int:
        """One token a residue."""
        return chain_length(protein, 0, self.max_length)
