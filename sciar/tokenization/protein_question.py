"""A question about a protein as generation sees it; :mod:`sciar.generation.questions` says how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sciar.records import Protein
from sciar.tokenization.answers.task import Task
from sciar.tokenization.cursor import Request
from sciar.tokenization.sequence import TokenSequence

if TYPE_CHECKING:
    from sciar.tokenization.protein import ProteinTokenizer


@dataclass(frozen=True, eq=False)
class ProteinQuestion:
    """One task about one protein.

    Args:
        tokenizer: which made the request.
        request: its constraints hold the ``protein``, as the task sees it, and the ``task``.
    """

    tokenizer: ProteinTokenizer
    request: Request

    @property
    def task(self) -> Task:
        """What is asked."""
        task: Task = self.request.constraints["task"]
        return task

    @property
    def protein(self) -> Protein:
        """What it is asked about."""
        protein: Protein = self.request.constraints["protein"]
        return protein

    @property
    def size(self) -> int:
        """About how many tokens the prompt has."""
        return len(self.protein) + 2

    @property
    def parallel(self) -> bool:
        """Whether the answer has one token a residue."""
        return self.task.codec.parallel

    @property
    def single(self) -> bool:
        """Whether any answer is exactly one token."""
        codec = self.task.codec
        if codec.slots or codec.max_tokens(self.protein) != 1:
            return False
        return not codec.grammar(codec.vocabulary, self.protein).allowed()[1]

    @property
    def number(self) -> bool:
        """Whether any answer is exactly one number in a slot."""
        codec = self.task.codec
        return bool(codec.slots) and codec.max_tokens(self.protein) == 1

    def prompt(self) -> TokenSequence:
        """Residues, task token, and what the input forces."""
        return self.tokenizer.prompt(self.protein, self.task)

    def choices(self) -> np.ndarray:
        """Ids of the tokens that each token of a parallel answer may be, or a single one."""
        vocabulary = self.tokenizer.vocabulary
        if self.parallel:
            return vocabulary.ids(self.task.codec.names)
        return np.flatnonzero(self.task.grammar(vocabulary, self.protein).allowed()[0])

    def forced(self) -> np.ndarray | None:
        """(L,) place among the choices of a token that is forced, -1 where several may stand."""
        return self.task.codec.forced(self.protein)

    def members(self, names: Sequence[str]) -> Sequence[Any]:
        """Members of a set-valued answer, from its tokens."""
        found: Sequence[Any] = self.task.decode(names, self.protein)
        return found
