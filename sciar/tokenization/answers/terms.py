"""Sets of ontology terms, such as Gene Ontology annotations, closed under is-a and part-of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

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
from sciar.tokenization.answers.labels import members
from sciar.tokenization.answers.ontology import Ontology
from sciar.tokenization.vocabulary import Vocabulary


class Terms(AnswerCodec):
    """Terms in the order of the list; the value is a sorted tuple of terms that holds, with every
    term, all its ancestors among the known ones.

    Args:
        labels: the known terms; their order is the rank and must be the same for all splits.
        ontology: the ontology that they belong to.
        space: name space of the tokens, such as ``go_mf``.
        emit: write ``all`` terms of the closed set, or the most ``specific`` ones only, which is
            shorter and decodes to the same set.
        empty: as for :class:`~sciar.tokenization.answers.multi.MultiLabel`.
        separator: splits a value that is given as one text.

    Raises:
        UsageError: no terms, one twice, or one that the ontology lacks.
    """

    def __init__(
        self,
        labels: Sequence[str],
        ontology: Ontology,
        space: str = "go",
        emit: Literal["all", "specific"] = "all",
        empty: Empty = "implicit",
        separator: str | None = None,
    ) -> None:
        check_empty(empty)
        if emit not in ("all", "specific"):
            raise UsageError(f"emit is 'all' or 'specific', not {emit!r}")
        self.ontology, self.prefix, self.emit = ontology, f"{space}:", emit
        self.empty, self.separator = empty, separator
        missing = [term for term in labels if term not in ontology]
        if missing:
            raise UsageError(f"the ontology lacks the term {missing[0]}")
        self.rank = {term: i for i, term in enumerate(labels)}
        if not labels or len(self.rank) != len(labels):
            raise UsageError("labels must be a non-empty list of different terms")

    @property
    def names(self) -> tuple[str, ...]:
        """One token a term, then ``<none>`` if it is used."""
        return (*(self.prefix + term for term in self.rank), *empty_names(self.empty))

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Set of terms -> tokens in rank order.

        Terms that the task does not know count through their ancestors, as rare terms are left out
        of a list of labels while what is above them stays.
        """
        given = [self.ontology.resolve(str(term)) for term in members(value, self.separator)]
        closed = self._closed(given)
        if not closed and (given or self.empty == "never"):
            raise RecordError(
                "none of the terms, nor anything above them, is among the labels of this task"
            )
        if self.emit == "specific":
            closed -= {a for term in closed for a in self.ontology.ancestors(term)}
        ranked = sorted(closed, key=self.rank.__getitem__)
        return tuple(self.prefix + term for term in ranked) or empty_names(self.empty)

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> tuple[str, ...]:
        """Tokens -> closed set of terms."""
        terms = [token.removeprefix(self.prefix) for token in without_none(tokens)]
        return tuple(sorted(self._closed(terms), key=self.rank.__getitem__))

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> AscendingGrammar:
        """Terms of rising rank; the set is closed when it is decoded."""
        names = [self.prefix + term for term in self.rank]
        return AscendingGrammar(vocabulary, names, self.empty)

    def max_tokens(self, protein: Protein) -> int:
        """All terms."""
        return len(self.rank)

    def _closed(self, terms: list[str]) -> set[str]:
        return {term for term in self.ontology.closure(terms) if term in self.rank}
