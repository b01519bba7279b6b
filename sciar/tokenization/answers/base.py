"""What every codec of answers does."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np

from sciar.errors import RecordError
from sciar.records import Protein
from sciar.tokenization.cursor import WordGrammar
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

SEP, NONE, NUMBER = "<sep>", "<none>", "<number>"
SPECIALS = ("<pad>", "<bos>", "<eos>", SEP, NONE, NUMBER, "<residue>")
"""Tokens that every protein vocabulary begins with; the ids of these never change."""


class AnswerCodec(ABC):
    """A type of answer: typed values <-> token names, and what may follow when one is generated.

    Positions in values count residues from 0, like every index of the package; tokens count from 1,
    like the literature. A codec raises :class:`RecordError` without a location; the task that owns
    it adds its name and the record.

    Attributes:
        positional: the answer names residues, so it does not fit a part of the sequence.
        parallel: the answer has one token for each residue of the first chain, so that all of them
            can also be read at once, each from the state of its residue.
        max_length: longest chain that the tokens reach over.
    """

    positional: bool = False
    parallel: bool = False
    max_length: int = 1 << 30

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """All tokens that a prompt or an answer may hold, in canonical order."""

    @property
    def slots(self) -> tuple[SlotKind, ...]:
        """Slot kinds among :attr:`names`; most answers have none."""
        return ()

    def prompt(self, protein: Protein) -> tuple[str, ...]:
        """Tokens between the task token and the answer; they follow from the input, without loss.

        Raises:
            RecordError: the input is not one that can be asked about.
        """
        return ()

    @abstractmethod
    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Value -> token names of the answer, without prompt and end.

        Raises:
            RecordError: the value is no answer to this question, or the input is too long.
        """

    def forced(self, protein: Protein) -> np.ndarray | None:
        """(L,) of answers with one token a residue, the index among :attr:`names` of the only one
        that a residue may have, -1 where several may stand; ``None`` if none is forced anywhere.
        """
        return None

    def payload(self, value: Any) -> tuple[float, ...]:
        """Numbers of the answer's slots, in order."""
        return ()

    def decode(self, tokens: Sequence[str], protein: Protein, payload: Sequence[float] = ()) -> Any:
        """Token names of an answer -> value; refuses exactly what the grammar forbids.

        Raises:
            RecordError: the tokens are not a complete answer.
        """
        refuse_malformed(self.grammar(self._own, protein), self._own, tokens)
        return self.value(tuple(tokens), protein, tuple(payload))

    @abstractmethod
    def value(self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]) -> Any:
        """Value of tokens that the grammar has accepted."""

    def reaching(self, length: int) -> Self:
        """The codec for chains of this length: itself, or a copy with as many tokens more.

        A model cannot say those tokens, but labels of long proteins, and answers that were put
        together from windows, can be read with them.
        """
        if length <= self.max_length:
            return self
        made = copy.copy(self)
        made.max_length = length
        made.__dict__.pop("_own", None)  # the vocabulary of the shorter one
        return made

    @abstractmethod
    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> WordGrammar:
        """Automaton of the answers about ``protein``; the end token is not part of it."""

    @abstractmethod
    def max_tokens(self, protein: Protein) -> int:
        """Length of the longest answer, without prompt and end."""

    @property
    def vocabulary(self) -> Vocabulary:
        """A vocabulary of the codec's own tokens."""
        return self._own

    @cached_property
    def _own(self) -> Vocabulary:
        return Vocabulary(self.names)


def refuse_malformed(grammar: WordGrammar, vocabulary: Vocabulary, tokens: Sequence[str]) -> None:
    """Walk a grammar along token names.

    Raises:
        RecordError: a token that may not stand there, or an answer that stops too early.
    """
    for position, name in enumerate(tokens):
        mask, _ = grammar.allowed()
        if name not in vocabulary or not mask[vocabulary.id(name)]:
            raise RecordError(f"token {position + 1} of the answer, {name!r}, may not stand there")
        grammar.push(vocabulary.id(name))
    if not grammar.allowed()[1]:
        raise RecordError(f"the answer stops too early, after {len(tokens)} tokens")
