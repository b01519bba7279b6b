"""Generation as seen from the tokenizer: what may follow, one row at a time.

A cursor walks a layout. It appends everything that is forced by itself, and tells the engine what
to sample next: a token among those allowed, or the payload of one slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sciar.errors import RecordError
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words, Writer
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.slot_constraints import SlotConstraint
from sciar.tokenization.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Choice:
    """Sample one token; ``mask`` is (V,) bool, False where the grammar forbids.

    In a list of rising rank, ``order`` holds the ids of the members that may follow, by rank; what
    else is allowed ends the list.
    """

    mask: np.ndarray
    order: np.ndarray | None = None


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


@runtime_checkable
class PlacedGrammar(WordGrammar, Protocol):
    """Where tokens have places: a grammar that knows something of each word before it is drawn.

    Attributes:
        position: where the word taken last stands.
    """

    position: tuple[float, ...]

    def coming(self) -> SlotSpec:
        """Label, anchor and place of the coming word; nothing where the segment may end."""
        ...

    def group(self) -> list[SlotSpec]:
        """The coming word, and words after it that may be announced before it is known."""
        ...


@runtime_checkable
class MixedGrammar(WordGrammar, Protocol):
    """Where slots stand among words: a grammar that says when one must come.

    A slot that came is pushed like any word.
    """

    def slot(self) -> tuple[str, SlotSpec] | None:
        """Kind and description of the slot that comes next, or ``None`` if a word does."""
        ...


@dataclass(frozen=True, eq=False)
class Request:
    """What one sample is asked for.

    Attributes:
        fields: fields that are given, by segment name.
        constraints: domain options, read by the tokenizer's own grammar.
        id: identity of the request, kept to the output.
        asked: properties that are asked for, by name, kept to the output.
    """

    fields: Mapping[str, Words | Slots]
    constraints: Mapping[str, Any]
    id: str = ""
    asked: Mapping[str, float] = field(default_factory=dict)


class Planner(Protocol):
    """The part of a tokenizer that a cursor needs."""

    vocabulary: Vocabulary
    layout: Layout

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        """Grammar of a generated token segment, known from the fields before it."""
        ...

    def word_anchors(self, segment: Segment, words: tuple[str, ...]) -> tuple[int, ...]:
        """Anchor of each generated word."""
        ...

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        """The slots of a slot segment, known from the fields before it."""
        ...

    def slot_position(
        self, segment: Segment, spec: SlotSpec, value: np.ndarray
    ) -> tuple[float, ...]:
        """Where a slot stands once its payload is known; for layouts with axes."""
        ...

    def slot_constraint(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> SlotConstraint | None:
        """What the request wants of the payloads of a slot segment."""
        ...


class Cursor:
    """Walks the layout of ``planner`` for one request.

    Where tokens have places, a word is written down before it is drawn, with all that is announced
    of it, as slots are everywhere.

    Attributes:
        writer: everything appended so far (prompt included).
    """

    def __init__(self, planner: Planner, request: Request) -> None:
        self.planner, self.request = planner, request
        self.vocabulary, self.layout = planner.vocabulary, planner.layout
        self.writer = Writer(self.vocabulary, self.layout.references, self.layout.axes)
        self.fields: dict[str, Words | Slots] = dict(request.fields)
        self._terminators = [
            self.vocabulary.id(after.tokens[0]) if after.constant else None
            for after in self.layout.segments[1:]
        ]
        self._terminators.append(None)
        self.segment = 0
        self.failure = ""
        self.context = 0
        self._grammar: WordGrammar | None = None
        # The same, where it announces its words: to ask a protocol each time costs too much.
        self._placed: PlacedGrammar | None = None
        self._mixed: MixedGrammar | None = None
        self._open_word = self._open_number = False
        self._start = 0
        self._specs: tuple[SlotSpec, ...] | None = None
        self._constraint: SlotConstraint | None = None
        self._given: dict[int, np.ndarray] = {}
        self._filled = 0
        self._expected: Expectation | None = None
        self._settle()

    def __len__(self) -> int:
        return len(self.writer.ids)

    def expect(self) -> Expectation:
        """What to sample next; found once, until something is pushed."""
        if self._expected is None:
            self._expected = self._expectation()
        return self._expected

    def _expectation(self) -> Expectation:
        if self.failure or self.segment >= len(self.layout.segments):
            return End(self.failure)
        segment = self.layout.segments[self.segment]
        if self._open_number:
            return SlotQuery(self.writer.kinds[-1])
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

    def group(self) -> list[SlotSpec]:
        """What may be announced at once of the next words; at most one where nothing is known.

        Their references are positions in the sequence.
        """
        if self._placed is not None and self._open_word:
            return [
                replace(s, references=tuple(self._start + r for r in s.references))
                if s.references
                else s
                for s in self._placed.group()
            ]
        return [SlotSpec()]

    def push_token(self, token: int) -> None:
        """Append a sampled token, then everything that it forces."""
        if token == self._terminator():
            if self._open_word:
                self.writer.withdraw()
            self._end_words()
        else:
            assert self._grammar is not None
            self._grammar.push(token)
            self._write_word(token)
        self._open_word = False
        self._settle()

    def push_value(self, value: np.ndarray) -> None:
        """Fill the next slot with its payload of (width,) numbers, then go on.

        Where the request constrains it, what is written is what the constraint makes of it.
        """
        if self._constraint is not None and not self._open_number:
            value, *following = self._constraint.settle(self._filled, value)
            self._given |= {self._filled + 1 + i: v for i, v in enumerate(following)}
        self.writer.values[-1][0, : len(value)] = value
        if self._open_number:
            assert self._mixed is not None
            self._open_number = False
            self._mixed.push(self.writer.ids[-1])
            self._settle()
            return
        if self.layout.axes:
            assert self._specs is not None
            segment, spec = self.layout.segments[self.segment], self._specs[self._filled]
            self.writer.positions[-1] = self._somewhere(
                self.planner.slot_position(segment, spec, value)
            )
        self._filled += 1
        self._settle()

    def sequence(self) -> TokenSequence:
        """Everything so far, without a slot that is still to be filled."""
        sequence = self.writer.finish(self.context)
        return sequence.prefix(self.known)

    @property
    def known(self) -> int:
        """Number of leading positions whose content is known."""
        length, segments = len(self.writer.ids), self.layout.segments
        if self.failure or self.segment >= len(segments):
            return length
        open_slot = self._open_number or segments[self.segment].kind == "slot"
        return length - (open_slot or self._open_word)

    @property
    def _done(self) -> bool:
        return bool(self.failure) or self.segment >= len(self.layout.segments)

    def _terminator(self) -> int | None:
        """The first token of the constant that ends this segment, if one does."""
        return self._terminators[self.segment]

    def _end_words(self) -> None:
        segment = self.layout.segments[self.segment]
        names = self.vocabulary.names
        words = tuple(names[i] for i in self.writer.ids[self._start :])
        anchors = tuple(self.writer.anchors[self._start :])
        if segment.mixed:
            self.fields[segment.name] = self._mixed_words(words, anchors)
        elif self.layout.axes:
            labels = self.writer.labels[self._start :]
            self.fields[segment.name] = Words(
                words,
                anchors,
                tuple(names[i] if i >= 0 else "" for i in labels),
                tuple(self.writer.places[self._start :]),
                tuple(self.writer.positions[self._start :]),
            )
        else:
            self.fields[segment.name] = Words(words, anchors)
        self._grammar = self._placed = self._mixed = None
        self._after_words(segment)
        self.segment += 1

    def _mixed_words(self, words: tuple[str, ...], anchors: tuple[int, ...]) -> Words:
        """The words of a mixed segment that has ended."""
        names, writer = self.vocabulary.names, self.writer
        widths = [0, *(slot.width for slot in self.vocabulary.slots)]
        # One array a word, because words are written one by one.
        values = writer.values[len(writer.values) - len(words) :] if words else []
        kinds = writer.kinds[self._start :]
        return Words(
            words,
            anchors,
            tuple(names[i] if i >= 0 else "" for i in writer.labels[self._start :]),
            payloads=tuple(
                tuple(v[0, : widths[kind]].tolist()) for v, kind in zip(values, kinds, strict=True)
            ),
        )

    def _write_word(self, token: int) -> None:
        segment = self.layout.segments[self.segment]
        if self._open_word:
            self.writer.ids[-1] = token
            if self._placed is not None:
                self.writer.positions[-1] = self._somewhere(self._placed.position)
            return
        # The decoder sees a word with its anchor, in training and in generation alike.
        self.writer.tokens((self.vocabulary.names[token],), (), segment.weight)
        words = tuple(self.vocabulary.names[i] for i in self.writer.ids[self._start :])
        self.writer.anchors[self._start :] = self.planner.word_anchors(segment, words)

    def _somewhere(self, position: tuple[float, ...]) -> tuple[float, ...]:
        return position or (0.0,) * self.layout.axes

    def _settle(self) -> None:
        """Append everything that needs no sampling, up to the next open question."""
        self._expected = None
        while not self._done:
            if self.segment == self.layout.context_segments and not self.context:
                self.context = len(self.writer.ids) if self.layout.bidirectional else 0
            segment = self.layout.segments[self.segment]
            if segment.constant or segment.name in self.fields:
                self._write_known(segment)
            elif segment.kind == "token":
                if self._words(segment):
                    return
            elif self._slot(segment):
                return

    def _write_known(self, segment: Segment) -> None:
        self.writer.segment(segment, self.fields)
        self.segment += 1
        self._after_words(segment)

    def _after_words(self, segment: Segment) -> None:
        if segment.kind == "token" and segment.role == "generated":
            self.writer.terminator_weight = segment.weight

    def _words(self, segment: Segment) -> bool:
        """Open the next word of a segment; False when the segment ended by itself."""
        if self._grammar is None:
            self._start = len(self.writer.ids)
            try:
                self._grammar = self.planner.word_grammar(segment, self.request, self.fields)
            except RecordError as error:
                self.failure = str(error)
                return True
            grammar = self._grammar
            self._placed = grammar if isinstance(grammar, PlacedGrammar) else None
            self._mixed = grammar if isinstance(grammar, MixedGrammar) else None
        if self._mixed is not None and (coming := self._mixed.slot()) is not None:
            name, spec = coming
            self.writer.slot(name, spec, self._start, segment.weight * spec.weight)
            self._open_number = True
            return True
        if self._terminator() is None:
            mask, may_end = self._grammar.allowed()
            if may_end and not mask.any():
                self._end_words()
                return False
        if self.layout.axes:
            spec = self._placed.coming() if self._placed is not None else SlotSpec()
            self.writer.word(spec, segment.weight, self._start)
            self._open_word = True
        return True

    def _slot(self, segment: Segment) -> bool:
        """Open the next slot of a segment; False when it needed no sampling."""
        if self._specs is None:
            try:
                self._specs = self.planner.plan(segment, self.fields)
            except RecordError as error:
                self.failure = str(error)
                return True
            self._start, self._filled = len(self.writer.ids), 0
            self._constraint = self.planner.slot_constraint(segment, self.request, self.fields)
            self._given = dict(self._constraint.given()) if self._constraint is not None else {}
        if self._filled == len(self._specs):
            self._close_slots(segment)
            return False
        spec, known = self._specs[self._filled], self._known_payload(segment)
        weight = segment.weight if known is None else 0.0
        self.writer.slot(segment.slot, spec, self._start, weight)
        if known is None:
            return True
        self.writer.values[-1][0, : len(known)] = known
        if self.layout.axes:
            at = self.planner.slot_position(segment, spec, known)
            self.writer.positions[-1] = self._somewhere(at)
        self._filled += 1
        return False

    def _known_payload(self, segment: Segment) -> np.ndarray | None:
        """Payload of the next slot, if it is given or pinned."""
        free = self._constraint is not None and self._constraint.free
        if self._filled in self._given:
            return self._given[self._filled]
        if free or self._filled >= segment.pinned:
            return None
        return np.zeros(self.vocabulary.slots[self.vocabulary.kind(segment.slot) - 1].width)

    def _close_slots(self, segment: Segment) -> None:
        width = self.vocabulary.slots[self.vocabulary.kind(segment.slot) - 1].width
        assert self._specs is not None
        values = self.writer.values[len(self.writer.values) - len(self._specs) :]
        rows = np.concatenate([np.zeros((0, self.writer.width), np.float32), *values])
        self.fields[segment.name] = Slots(self._specs, rows[:, :width].astype(np.float64))
        self._specs = None
        self.segment += 1
