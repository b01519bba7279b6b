"""Generation as seen from the tokenizer: what may follow, one row at a time.

A cursor walks a layout. It appends everything that is forced by itself, and tells the engine what
to sample next: a token among those allowed, or the payload of one slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words, Writer
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Choice:
    """Sample one token; ``mask`` is (V,) bool, False where the grammar forbids."""

    mask: np.ndarray


@dataclass(frozen=True)
class SlotQuery:
    """Sample the payload of one slot of kind number ``kind``."""

    kind: int


@dataclass(frozen=True)
class End:
    """The sequence is complete, or cannot be completed (then ``failure`` says why)."""

    failure: str = ""


Expectation = Choice | SlotQuery | End


class WordGrammar(Protocol):
    """What may follow inside one generated token segment."""

    def allowed(self) -> tuple[np.ndarray, bool]:
        """(V,) bool mask of allowed tokens, and whether the segment may end here."""
        ...

    def push(self, token: int) -> None:
        """Take one sampled token."""
        ...


@dataclass(frozen=True, eq=False)
class Request:
    """What one sample is asked for.

    Attributes:
        fields: fields that are given, by segment name.
        constraints: domain options, read by the tokenizer's own grammar.
        id: identity of the request, kept to the output.
    """

    fields: Mapping[str, Words | Slots]
    constraints: Mapping[str, Any]
    id: str = ""


class Planner(Protocol):
    """The part of a tokenizer that a cursor needs."""

    vocabulary: Vocabulary
    layout: Layout

    def word_grammar(self, segment: Segment, request: Request) -> WordGrammar:
        """Grammar of a generated token segment."""
        ...

    def word_anchors(self, segment: Segment, words: tuple[str, ...]) -> tuple[int, ...]:
        """Anchor of each generated word."""
        ...

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        """The slots of a slot segment, known from the fields before it."""
        ...


class Cursor:
    """Walks the layout of ``planner`` for one request.

    Attributes:
        writer: everything appended so far (prompt included).
    """

    def __init__(self, planner: Planner, request: Request) -> None:
        self.planner, self.request = planner, request
        self.vocabulary, self.layout = planner.vocabulary, planner.layout
        if self.layout.axes and any(s.role == "generated" for s in self.layout.segments):
            # The place of what is generated depends on its content, which only a domain can read.
            raise UsageError(
                f"layout {self.layout.name}: tokens with places need a cursor of their tokenizer"
            )
        self.writer = Writer(self.vocabulary, self.layout.references, self.layout.axes)
        self.fields: dict[str, Words | Slots] = dict(request.fields)
        self.segment = 0
        self.failure = ""
        self.context = 0
        self._grammar: WordGrammar | None = None
        self._start = 0
        self._specs: tuple[SlotSpec, ...] | None = None
        self._filled = 0
        self._settle()

    def __len__(self) -> int:
        return len(self.writer.ids)

    def expect(self) -> Expectation:
        """What to sample next."""
        if self.failure or self.segment >= len(self.layout.segments):
            return End(self.failure)
        segment = self.layout.segments[self.segment]
        if segment.kind == "slot":
            return SlotQuery(self.vocabulary.kind(segment.slot))
        assert self._grammar is not None
        mask, may_end = self._grammar.allowed()
        stop = self._terminator()
        if may_end and stop is not None:
            mask = mask.copy()
            mask[stop] = True
        if not mask.any():
            self.failure = f"no symbol can follow inside {segment.name}"
            return End(self.failure)
        return Choice(mask)

    def push_token(self, token: int) -> None:
        """Append a sampled token, then everything that it forces."""
        if token == self._terminator():
            self._end_words()
        else:
            assert self._grammar is not None
            self._grammar.push(token)
            # The decoder sees a word with its anchor, in training and in generation alike.
            segment = self.layout.segments[self.segment]
            self.writer.tokens((self.vocabulary.names[token],), (), 0.0)
            words = tuple(self.vocabulary.names[i] for i in self.writer.ids[self._start :])
            self.writer.anchors[self._start :] = self.planner.word_anchors(segment, words)
        self._settle()

    def push_value(self, value: np.ndarray) -> None:
        """Fill the next slot with its payload of (width,) numbers, then go on."""
        self.writer.values[-1][0, : len(value)] = value
        self._filled += 1
        self._settle()

    def sequence(self) -> TokenSequence:
        """Everything so far, without a slot that is still to be filled."""
        sequence = self.writer.finish(self.context)
        return sequence.prefix(self.known)

    @property
    def known(self) -> int:
        """Number of leading positions whose content is known."""
        return len(self.writer.ids) - (self._open_slot and not self._done)

    @property
    def _done(self) -> bool:
        return bool(self.failure) or self.segment >= len(self.layout.segments)

    @property
    def _open_slot(self) -> bool:
        return not self._done and self.layout.segments[self.segment].kind == "slot"

    def _terminator(self) -> int | None:
        segments = self.layout.segments
        if self.segment + 1 < len(segments) and segments[self.segment + 1].constant:
            return self.vocabulary.id(segments[self.segment + 1].tokens[0])
        return None

    def _end_words(self) -> None:
        segment = self.layout.segments[self.segment]
        words = tuple(self.vocabulary.names[i] for i in self.writer.ids[self._start :])
        self.fields[segment.name] = Words(words, tuple(self.writer.anchors[self._start :]))
        self._grammar = None
        self.segment += 1

    def _settle(self) -> None:
        """Append everything that needs no sampling, up to the next open question."""
        while not self._done:
            if self.segment == self.layout.context_segments and not self.context:
                self.context = len(self.writer.ids) if self.layout.bidirectional else 0
            segment = self.layout.segments[self.segment]
            if segment.constant:
                self.writer.tokens(segment.tokens, (), 0.0)
                self.segment += 1
            elif segment.name in self.fields:
                self.writer.segment(segment, self.fields)
                self.segment += 1
            elif segment.kind == "token":
                if self._grammar is None:
                    self._grammar = self.planner.word_grammar(segment, self.request)
                    self._start = len(self.writer.ids)
                return
            elif self._slot(segment):
                return

    def _slot(self, segment: Segment) -> bool:
        """Open the next slot of a segment; False when it needed no sampling."""
        if self._specs is None:
            try:
                self._specs = self.planner.plan(segment, self.fields)
            except RecordError as error:
                self.failure = str(error)
                return True
            self._start, self._filled = len(self.writer.ids), 0
        if self._filled == len(self._specs):
            self._specs = None
            self.segment += 1
            return False
        self.writer.slot(segment, self._specs[self._filled], self._start)
        if self._filled < segment.pinned:
            self._filled += 1
            return False
        return True
