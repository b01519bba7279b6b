"""Tokenizers around tokenizers: everything that is not their own, they leave to the base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciar.records import Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.layout import Segment, Slots, SlotSpec, Words
from sciar.tokenization.slot_constraints import SlotConstraint
from sciar.tokenization.vocabulary import Vocabulary


class AroundTokenizer(LayoutTokenizer):
    """A tokenizer that adds segments to the layout of another.

    What is encoded may be more than a structure; :meth:`inner` says which part of it the base
    takes. The vocabulary is that of the base and more, and the two share it.

    Attributes:
        base: the tokenizer of the structures.
    """

    base: LayoutTokenizer

    def inner(self, subject: Any) -> Any:
        """What the base encodes of a subject."""
        return subject

    @property
    def vocabulary(self) -> Vocabulary:
        """Symbols and slots of the base, then those that are added."""
        return self._vocabulary

    @vocabulary.setter
    def vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = self.base.vocabulary = vocabulary

    def size(self, structure: Any) -> int:
        return self.base.size(self.inner(structure))

    def structure(self, fields: Mapping[str, Words | Slots]) -> Structure:
        return self.base.structure(fields)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        return self.base.plan(segment, fields)

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        return self.base.word_grammar(segment, request, fields)

    def slot_position(
        self, segment: Segment, spec: SlotSpec, value: np.ndarray
    ) -> tuple[float, ...]:
        return self.base.slot_position(segment, spec, value)

    def slot_constraint(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> SlotConstraint | None:
        return self.base.slot_constraint(segment, request, fields)

    def word_anchors(self, segment: Segment, words: tuple[str, ...]) -> tuple[int, ...]:
        return self.base.word_anchors(segment, words)

    def targets(self, segment: Segment, slots: Slots) -> np.ndarray:
        return self.base.targets(segment, slots)

    def atom_order(self, structure: Any) -> list[int]:
        return self.base.atom_order(self.inner(structure))

    def finish(self, structure: Structure, request: Request) -> Structure:
        return self.base.finish(structure, request)

    def verify(self, structure: Structure, request: Request) -> str:
        return self.base.verify(structure, request)

    def unconditional(self, request: Request) -> Request | None:
        return self.base.unconditional(request)

    def outside(self, constraints: Mapping[str, Any]) -> list[str]:
        return self.base.outside(constraints)
