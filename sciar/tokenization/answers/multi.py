"""Any subset of a list of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sciar.errors import RecordError
from sciar.records import Protein
from sciar.tokenization.answers.automata import (
    AscendingGrammar,
    Empty,
    check_empty,
    empty_names,
    without_none,
)
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.labels import Labels, members
from sciar.tokenization.vocabulary import Vocabulary


class MultiLabel(AnswerCodec):
    """Labels in the order of the list; the value is a tuple of labels in that order.

    Args:
        labels: class names in canonical order.
        space: name space of the tokens.
        empty: how an empty set is written: ``implicit`` (no token), ``explicit`` (``<none>``), or
            ``never``.
        separator: splits a value that is given as one text.
    """

    def __init__(
        self,
        labels: Sequence[Any] | str,
        space: str = "class",
        empty: Empty = "implicit",
        separator: str | None = None,
    ) -> None:
        check_empty(empty)
        self.labels, self.empty, self.separator = Labels(labels, space), empty, separator

    @property
    def names(self) -> tuple[str, ...]:
        """One token a label, then ``<none>`` if it is used."""
        return self.labels.names + empty_names(self.empty)

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Set of labels -> tokens in canonical order."""
        found = [self.labels.check(label) for label in members(value, self.separator)]
        if not found and self.empty == "never":
            raise RecordError("the set of labels is empty, and this task expects at least one")
        ranked = sorted(set(found), key=self.labels.rank.__getitem__)
        return self.labels.tokens(ranked) or empty_names(self.empty)

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> tuple[str, ...]:
        """Tokens -> labels."""
        return tuple(self.labels.label(token) for token in without_none(tokens))

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> AscendingGrammar:
        """Labels of rising rank."""
        return AscendingGrammar(vocabulary, self.labels.names, self.empty)

    def max_tokens(self, protein: Protein) -> int:
        """All labels."""
        return len(self.labels.labels)
