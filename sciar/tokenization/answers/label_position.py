"""A class and a position, such as a signal peptide and where it is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sciar.errors import RecordError
from sciar.records import Protein
from sciar.tokenization.answers.automata import mask_of
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.indices import chain_length, index_name, index_names, position_of
from sciar.tokenization.answers.labels import Labels
from sciar.tokenization.vocabulary import Vocabulary


class LabelPosition(NamedTuple):
    """A class, and the residue it points to (from 0), or ``None`` if it points to none."""

    label: str
    position: int | None


class ClassAndPosition(AnswerCodec):
    """A class token, then a residue index; ``idx:0`` after a class that has no position.

    Args:
        labels: class names in canonical order.
        without_position: those that point nowhere.
        space: name space of the class tokens.
        max_length: longest sequence.

    Raises:
        UsageError: ``without_position`` names an unknown class.
    """

    positional = True

    def __init__(
        self,
        labels: Sequence[Any] | str,
        without_position: Sequence[Any] = (),
        space: str = "class",
        max_length: int = 1022,
    ) -> None:
        self.labels, self.max_length = Labels(labels, space), max_length
        self.bare = frozenset(self.labels.tokens(without_position))

    @property
    def names(self) -> tuple[str, ...]:
        """One token a label, then ``idx:0`` and the residue indices."""
        return (*self.labels.names, "idx:0", *index_names(self.max_length))

    def encode(self, value: Any, protein: Protein) -> tuple[str, ...]:
        """(label, position) -> two tokens; a bare label means no position."""
        label, position = (value, None) if isinstance(value, str) else value
        (token,) = self.labels.tokens([label])
        length = chain_length(protein, 0, self.max_length)
        if (position is None) != (token in self.bare):
            raise RecordError(
                f"the class {label!r} takes no position, got {position}"
                if token in self.bare
                else f"the class {label!r} needs a position"
            )
        if position is None:
            return (token, "idx:0")
        return (token, index_name(position, length))

    def value(
        self, tokens: tuple[str, ...], protein: Protein, payload: tuple[float, ...]
    ) -> LabelPosition:
        """Two tokens -> (label, position)."""
        label = self.labels.label(tokens[0])
        return LabelPosition(label, None if tokens[0] in self.bare else position_of(tokens[1]))

    def grammar(self, vocabulary: Vocabulary, protein: Protein) -> ClassAndPositionGrammar:
        """A class, then an index that fits it."""
        length = chain_length(protein, 0, self.max_length)
        return ClassAndPositionGrammar(vocabulary, self.labels.names, self.bare, length)

    def max_tokens(self, protein: Protein) -> int:
        """Always two."""
        return 2


class ClassAndPositionGrammar:
    """A class, then ``idx:0`` or a residue of the sequence."""

    def __init__(
        self, vocabulary: Vocabulary, names: tuple[str, ...], bare: frozenset[str], length: int
    ) -> None:
        self.vocabulary, self.length = vocabulary, length
        self.bare = {vocabulary.id(name) for name in bare}
        self.mask, self.step = mask_of(vocabulary, names), 0

    def allowed(self) -> tuple[np.ndarray, bool]:
        """The mask of the present step; the end after both."""
        return self.mask, self.step == 2

    def push(self, token: int) -> None:
        """Take the class, then the index."""
        self.step += 1
        names: tuple[str, ...] = ()
        if self.step == 1:
            names = ("idx:0",) if token in self.bare else index_names(self.length)
        self.mask = mask_of(self.vocabulary, names)
