"""One class for each residue: the answer has exactly the length of the sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sciar.errors import RecordError
from sciar.records import Protein
from sciar.tokenization.answers.automata import FixedLengthGrammar
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.indices import chain_length
from sciar.tokenization.answers.labels import Labels
from sciar.tokenization.vocabulary import Vocabulary


class PerResidue(AnswerCodec):
    """L class tokens for L residues.

    The value is a text if every label is one letter, else a tuple of labels.

    Args:
        labels: class names in canonical order.
        space: name space of the tokens.
        max_length: longest sequence.
    """

    positional = parallel = True

    def __init__(
        self, labels: Sequence[Any] | str, space: str = "class", max_length: int = 1022
    ) -> None:
        self.labels, self.max_length = Labels(labels, space), max_length
        self.letters = all(len(label) == 1 for label in self.labels.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """One token a label."""
        return self.labels.names

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Labels of all residues -> tokens."""
        length = chain_length(protein, 0, self.max_length)
        if not isinstance(value, Iterable) or (isinstance(value, str) and not self.letters):
            raise RecordError(f"expected one label for each of {length} residues, got {value!r}")
        tokens = self.labels.tokens(value)
        if len(tokens) != length:
            raise RecordError(f"{len(tokens)} labels for {length} residues")
        return tokens

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> str | tuple[str, ...]:
        """Tokens -> labels."""
        labels = tuple(self.labels.label(token) for token in tokens)
        return "".join(labels) if self.letters else labels

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> FixedLengthGrammar:
        """Exactly L labels."""
        length = chain_length(protein, 0, self.max_length)
        return FixedLengthGrammar(vocabulary, self.names, length)

    def max_tokens(self, protein: Protein) -> int:
        """One token a residue."""
        return chain_length(protein, 0, self.max_length)
