"""One class out of a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sciar.records import Protein
from sciar.tokenization.answers.automata import FixedLengthGrammar
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.labels import Labels
from sciar.tokenization.vocabulary import Vocabulary


class SingleClass(AnswerCodec):
    """One token; the value is the label as text.

    Args:
        labels: class names in canonical order.
        space: name space of the tokens.
    """

    def __init__(self, labels: Sequence[Any] | str, space: str = "class") -> None:
        self.labels = Labels(labels, space)

    @property
    def names(self) -> tuple[str, ...]:
        """One token a label."""
        return self.labels.names

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Label -> its token."""
        return self.labels.tokens([value])

    def value(self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]) -> str:
        """Token -> label."""
        return self.labels.label(tokens[0])

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> FixedLengthGrammar:
        """One of the labels."""
        return FixedLengthGrammar(vocabulary, self.names, 1)

    def max_tokens(self, protein: Protein) -> int:
        """Always one."""
        return 1
