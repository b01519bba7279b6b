"""What generation needs of a tokenizer, whatever it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sciar.tokenization.cursor import Cursor, Request
from sciar.tokenization.layout import Layout
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import Vocabulary


class Walking(Protocol):
    """A tokenizer whose sequences are written one word or slot at a time."""

    @property
    def layout(self) -> Layout: ...

    def cursor(self, request: Request) -> Cursor:
        """The walk of one request."""
        ...

    def unconditional(self, request: Request) -> Request | None:
        """The same request without its conditions; ``None`` if it carries none."""
        ...


class Question(Protocol):
    """What is asked in one request, about a subject that is given whole before the answer."""

    @property
    def size(self) -> int:
        """About how many tokens the prompt has."""
        ...

    @property
    def parallel(self) -> bool:
        """Whether the answer has one word for each slot of the prompt, which may be read there."""
        ...

    @property
    def single(self) -> bool:
        """Whether any answer is exactly one word."""
        ...

    @property
    def number(self) -> bool:
        """Whether any answer is exactly one number in a slot."""
        ...

    def prompt(self) -> TokenSequence:
        """Everything before the answer."""
        ...

    def choices(self) -> np.ndarray:
        """Ids of the words that each word of a parallel answer may be, or a single one."""
        ...

    def forced(self) -> np.ndarray | None:
        """(n,) place among the choices of the only word that a word of a parallel answer may be, -1
        where several may stand; ``None`` if none is forced.
        """
        ...

    def members(self, names: Sequence[str]) -> Sequence[Any]:
        """Members of a set-valued answer, from its words."""
        ...


class Asking(Walking, Protocol):
    """A tokenizer of questions and their answers."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    def question(self, request: Request) -> Question:
        """What is asked in a request that the tokenizer made."""
        ...

    def solved(self, example: Any) -> tuple[Request, TokenSequence]:
        """The request that a known answer belongs to, and the whole sequence.

        Raises:
            RecordError: an answer that the tokenizer cannot express.
        """
        ...
