"""Sites as one of two labels for each residue: what a list of indices says, read at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.automata import FixedLengthGrammar, mask_of
from sciar.tokenization.answers.indices import positions
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.vocabulary import Vocabulary

NO, YES = "0", "1"


class SiteLabels(PerResidue):
    """``1`` for a site and ``0`` for any other residue; the value is that text.

    A list of indices (:class:`~sciar.tokenization.answers.sites.Sites`) makes a network learn which
    index stands for which residue; here it says yes or no where the residue stands. Residues that
    no site may have are ``0`` by the grammar: they are neither learnt, scored nor judged.

    Args:
        residues: letters that a site may have; all by default.
        max_length: longest sequence.
    """

    def __init__(self, residues: str = "", max_length: int = 1022) -> None:
        if residues and not residues.isalpha():
            raise UsageError(f"residues are letters, got {residues!r}")
        super().__init__(NO + YES, "site", max_length)
        self.residues = residues.upper()

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """Positions from 0, or a text of 0 and 1 -> tokens."""
        length = self.max_tokens(protein)
        found = positions(value, length, YES)
        if isinstance(value, str) and set(value) - {NO, YES}:
            raise RecordError(f"labels of sites are {NO} and {YES}, got {value!r}")
        free = self.free(protein)
        wrong = [i for i in found if not free[i]]
        if wrong:
            raise RecordError(
                f"position {wrong[0]} is {protein.sequence[wrong[0]]}; a site must be one of "
                f"{', '.join(self.residues)}"
            )
        text = np.full(length, NO)
        text[found] = YES
        return super().encode("".join(text), protein)

    def free(self, protein: Protein) -> np.ndarray:
        """(L,) bool: residues that may be sites."""
        letters = np.array(list(protein.sequence))
        return np.isin(letters, list(self.residues)) if self.residues else letters != ""

    def forced(self, protein: Protein) -> np.ndarray | None:
        """(L,) 0, the label of no site, where none may be, else -1."""
        return np.where(self.free(protein), -1, 0) if self.residues else None

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> FixedLengthGrammar:
        """Exactly L labels, of which those of other letters are forced."""
        return _SiteGrammar(vocabulary, self.names, self.free(protein))


class _SiteGrammar(FixedLengthGrammar):
    """Both names where a residue is free, else the first."""

    def __init__(self, vocabulary: Vocabulary, names: tuple[str, ...], free: np.ndarray) -> None:
        super().__init__(vocabulary, names, len(free))
        self.free, self.first = free, mask_of(vocabulary, names[:1])

    def allowed(self) -> tuple[np.ndarray, bool]:
        if self.left and not self.free[len(self.free) - self.left]:
            return self.first, False
        return super().allowed()
