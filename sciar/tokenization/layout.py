"""Layouts: a declared list of segments from which everything else is derived.

A tokenizer turns a structure into *fields*; the layout turns fields into a
:class:`~sciar.tokenization.sequence.TokenSequence` and back. The collation, the loss mask, the
grammar of generation and the decoding all read this one declaration, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import Vocabulary

ROLES = ("given", "generated", "forced")


@dataclass(frozen=True)
class Segment:
    """One stretch of a sequence.

    Attributes:
        name: name of the segment and, unless constant, of the field it holds.
        kind: ``token`` or ``slot``.
        role: ``given`` (in the prompt), ``generated`` (sampled) or ``forced`` (known from what is
            before it; never sampled).
        tokens: the constant token names of a forced token segment.
        slot: slot kind of a slot segment.
        unit: unit of the payload, for readers of ``sciar tokenize``.
        weight: loss weight of the segment's positions when they are generated.
        pinned: how many leading slots of the segment are forced to their canonical value, zero.
        mixed: slots stand among the words of a token segment, where its grammar puts them.
    """

    name: str
    kind: str = "token"
    role: str = "generated"
    tokens: tuple[str, ...] = ()
    slot: str = ""
    unit: str = ""
    weight: float = 1.0
    pinned: int = 0
    mixed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("token", "slot"):
            raise UsageError(
                f"segment {self.name}: kind {self.kind!r} is neither 'token' nor 'slot'"
            )
        if self.role not in ROLES:
            raise UsageError(f"segment {self.name}: role {self.role!r} is none of {ROLES}")
        if (self.kind == "slot") != bool(self.slot):
            raise UsageError(
                f"segment {self.name}: a slot segment names its slot kind, others do not"
            )
        if self.mixed and (self.kind == "slot" or self.tokens):
            raise UsageError(f"segment {self.name}: only words that vary are mixed with slots")
        object.__setattr__(self, "tokens", tuple(self.tokens))

    @property
    def constant(self) -> bool:
        """Whether the segment is a fixed run of tokens."""
        return bool(self.tokens)


@dataclass(frozen=True)
class SlotSpec:
    """What one slot describes: see :class:`~sciar.tokenization.sequence.TokenSequence`.

    ``references`` count slots of the same segment (0 = its first slot), not positions; below zero
    they count back from it (-1 = the last token before it). ``place`` and ``position`` are (D)
    numbers each where the layout has axes. ``weight`` scales the loss
    weight of the segment: 0 where the value is not known.
    """

    label: str = ""
    anchor: int = -1
    references: tuple[int, ...] = ()
    relations: tuple[int, ...] = ()
    place: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Words:
    """Field of a token segment: token names and, where known, the anchor of each.

    Where the layout has axes, each word also has a label (a token name, or empty for none), a
    ``place`` that is announced before the word, and a ``position`` that is known with it; and it
    may refer to words before it, counted like those of :class:`SlotSpec`.
    Where the segment is mixed, each word has a payload, which is empty unless the word is a slot,
    and slots have labels.
    """

    tokens: tuple[str, ...]
    anchors: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    places: tuple[tuple[float, ...], ...] = ()
    positions: tuple[tuple[float, ...], ...] = ()
    payloads: tuple[tuple[float, ...], ...] = ()
    references: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Slots:
    """Field of a slot segment: one spec and one row of (n, width) values a slot."""

    specs: tuple[SlotSpec, ...]
    values: np.ndarray


Fields = Mapping[str, "Words | Slots"]


@dataclass(frozen=True)
class Layout:
    """The ordered segments of a target.

    Attributes:
        name: of the target.
        segments: in order.
        references: how many earlier slots a slot may refer to.
        bidirectional: whether the prompt is read in both directions.
        relations: how many codes a relation may have, 0 (none) among them.
        axes: numbers in the place of a token, 3 for points in space; 0: tokens have no place but
            their index. With axes the label, anchor and place of *every* token are announced before
            its content is known, not those of slots alone.
    """

    name: str
    segments: tuple[Segment, ...]
    references: int = 0
    bidirectional: bool = True
    axes: int = 0
    relations: int = 16

    def to_dict(self) -> dict[str, Any]:
        """Plain form for fingerprints and model folders."""
        plain = asdict(self)
        if not self.axes:
            # Fingerprints of layouts without axes are older than axes.
            del plain["axes"]
        if self.relations == 16:
            # And the number of relations was fixed once.
            del plain["relations"]
        for segment in plain["segments"]:
            if not segment["mixed"]:
                # Nor did words and slots mix.
                del segment["mixed"]
        return plain

    @property
    def context_segments(self) -> int:
        """Number of leading segments that are given or forced tokens: the prompt."""
        for i, segment in enumerate(self.segments):
            if segment.role == "generated":
                return i
        return len(self.segments)

    def with_segment(self, name: str, *, references: int | None = None, **changes: Any) -> Layout:
        """The same layout with some attributes of one segment, or the references, changed."""
        segments = tuple(replace(s, **changes) if s.name == name else s for s in self.segments)
        count = self.references if references is None else references
        return replace(self, segments=segments, references=count)

    def with_segments(self, segments: tuple[Segment, ...]) -> Layout:
        """The same layout with other segments."""
        return replace(self, segments=segments)

    def assemble(
        self, vocabulary: Vocabulary, fields: Fields, stop: int | None = None
    ) -> TokenSequence:
        """Fields -> sequence, of the first ``stop`` segments (default: all)."""
        writer = Writer(vocabulary, self.references, self.axes)
        context = 0
        for index, segment in enumerate(self.segments[:stop]):
            writer.segment(segment, fields)
            if index + 1 == self.context_segments:
                context = len(writer.ids)
            if segment.kind == "token" and segment.role == "generated":
                writer.terminator_weight = segment.weight
        return writer.finish(context if self.bidirectional else 0)

    def split(self, vocabulary: Vocabulary, sequence: TokenSequence) -> dict[str, Words | Slots]:
        """Sequence -> fields; the inverse of :meth:`assemble`.

        Raises:
            UsageError: if the sequence does not follow the layout.
        """
        names = [vocabulary.names[i] for i in sequence.ids]
        fields: dict[str, Words | Slots] = {}
        at = 0
        for index, segment in enumerate(self.segments):
            if segment.constant:
                end = at + len(segment.tokens)
                if tuple(names[at:end]) != segment.tokens:
                    raise UsageError(
                        f"position {at}: expected {segment.tokens}, found {names[at:end]}"
                    )
            elif segment.kind == "token":
                end = self._end_of_words(index, names, sequence.kinds, at)
                anchors = tuple(int(a) for a in sequence.anchors[at:end])
                fields[segment.name] = Words(
                    tuple(names[at:end]),
                    anchors,
                    **self._located(vocabulary, sequence, at, end),
                    **(_mixed(vocabulary, sequence, at, end) if segment.mixed else {}),
                )
            else:
                kind = vocabulary.kind(segment.slot)
                end = at
                while end < len(names) and sequence.kinds[end] == kind:
                    end += 1
                fields[segment.name] = self._slots(vocabulary, sequence, at, end, kind)
            at = end
        if at != len(names):
            raise UsageError(f"{len(names) - at} tokens are left over after the last segment")
        return fields

    def _located(
        self, vocabulary: Vocabulary, sequence: TokenSequence, at: int, end: int
    ) -> dict[str, Any]:
        """Labels, places and positions of words; nothing where the layout has no axes."""
        if not self.axes:
            return {}
        return {
            "labels": tuple(vocabulary.names[i] if i >= 0 else "" for i in sequence.labels[at:end]),
            "places": tuple(map(tuple, sequence.places[at:end].tolist())),
            "positions": tuple(map(tuple, sequence.positions[at:end].tolist())),
        }

    def _end_of_words(self, index: int, names: list[str], kinds: np.ndarray, at: int) -> int:
        """Words end at the first slot that is not theirs, or at the constant that follows.

        Slots may stand between words and that constant; there may be none.
        """
        mixed = self.segments[index].mixed
        after = (s for s in self.segments[index + 1 :] if s.kind == "token")
        follower = next(after, None)
        stop = follower.tokens[0] if follower is not None and follower.constant else None
        while at < len(names) and (mixed or kinds[at] == 0) and names[at] != stop:
            at += 1
        return at

    def _slots(
        self, vocabulary: Vocabulary, sequence: TokenSequence, at: int, end: int, kind: int
    ) -> Slots:
        width = vocabulary.slots[kind - 1].width
        specs = []
        for p in range(at, end):
            used = sequence.references[p] >= 0
            specs.append(
                SlotSpec(
                    label=vocabulary.names[sequence.labels[p]] if sequence.labels[p] >= 0 else "",
                    anchor=int(sequence.anchors[p]),
                    references=tuple(int(r) - at for r in sequence.references[p][used]),
                    relations=tuple(int(r) for r in sequence.relations[p][used]),
                    place=tuple(sequence.places[p].tolist()),
                    position=tuple(sequence.positions[p].tolist()),
                )
            )
        return Slots(tuple(specs), sequence.values[at:end, :width].astype(np.float64))


def _mixed(vocabulary: Vocabulary, sequence: TokenSequence, at: int, end: int) -> dict[str, Any]:
    """Payloads and labels of words among which slots stand."""
    widths = [0, *(slot.width for slot in vocabulary.slots)]
    payloads = [
        tuple(sequence.values[p, : widths[sequence.kinds[p]]].tolist()) for p in range(at, end)
    ]
    labels = [vocabulary.names[i] if i >= 0 else "" for i in sequence.labels[at:end]]
    return {"payloads": tuple(payloads), "labels": tuple(labels)}


_COLUMNS = (
    "ids", "kinds", "weights", "labels", "anchors", "values", "references", "relations",
    "positions", "places",
)  # fmt: skip


class Writer:
    """Collects positions, one token, slot or segment at a time."""

    def __init__(self, vocabulary: Vocabulary, references: int, axes: int = 0) -> None:
        self.vocabulary, self.width, self.n_references = vocabulary, vocabulary.width, references
        self.axes = axes
        self.ids: list[int] = []
        self.kinds: list[int] = []
        self.weights: list[float] = []
        self.labels: list[int] = []
        self.anchors: list[int] = []
        self.values: list[np.ndarray] = []
        self.references: list[tuple[int, ...]] = []
        self.relations: list[tuple[int, ...]] = []
        self.positions: list[tuple[float, ...]] = []
        self.places: list[tuple[float, ...]] = []
        # A generated run of words ends by sampling the first token of the constant that follows it,
        # so that token carries loss too.
        self.terminator_weight = 0.0

    def segment(self, segment: Segment, fields: Fields) -> None:
        """Append one whole segment."""
        if segment.constant:
            self.tokens(segment.tokens, (), 0.0)
            self.weights[-len(segment.tokens)] = self.terminator_weight
            self.terminator_weight = 0.0
            return
        value = fields[segment.name]
        weight = segment.weight if segment.role == "generated" else 0.0
        if isinstance(value, Words):
            self.tokens(value.tokens, value.anchors, weight)
            if segment.mixed:
                self._fill(value)
            else:
                self._locate(segment, value)
            return
        start, n = len(self.ids), len(value.specs)
        for i, spec in enumerate(value.specs):
            pinned = i < segment.pinned
            self._describe(segment.slot, spec, start, 0.0 if pinned else weight * spec.weight)
        # One block for all, as an image brings hundreds of wide slots.
        block = np.zeros((n, self.width), dtype=np.float32)
        if n:
            block[:, : value.values.shape[1]] = value.values
        self.values.append(block)

    def tokens(self, names: tuple[str, ...], anchors: tuple[int, ...], weight: float) -> None:
        """Append plain tokens."""
        n = len(names)
        self.ids += [self.vocabulary.id(name) for name in names]
        self.kinds += [0] * n
        self.weights += [weight] * n
        self.labels += [-1] * n
        self.anchors += anchors or (-1,) * n
        self.values.append(np.zeros((n, self.width), dtype=np.float32))
        self.references += [(-1,) * self.n_references] * n
        self.relations += [(0,) * self.n_references] * n
        self.positions += [(0.0,) * self.axes] * n
        self.places += [(0.0,) * self.axes] * n

    def word(self, spec: SlotSpec, weight: float, start: int = 0) -> None:
        """Append a word that is still to be drawn, with what is announced of it.

        Its segment began at ``start``.
        """
        self.ids.append(0)
        self.kinds.append(0)
        self.weights.append(weight)
        self.labels.append(self.vocabulary.id(spec.label) if spec.label else -1)
        self.anchors.append(spec.anchor)
        self.values.append(np.zeros((1, self.width), dtype=np.float32))
        self.references.append(self._positions(spec.references, start))
        self.relations.append((0,) * self.n_references)
        origin = (0.0,) * self.axes
        self.positions.append(origin)
        self.places.append(spec.place or origin)

    def _positions(self, references: tuple[int, ...], start: int) -> tuple[int, ...]:
        """References of a segment that began at ``start``, as positions, filled up with -1."""
        where = tuple(start + r for r in references)
        return (where + (-1,) * self.n_references)[: self.n_references]

    def withdraw(self) -> None:
        """Drop the word that was written last."""
        for name in _COLUMNS:
            getattr(self, name).pop()

    def slot(self, name: str, spec: SlotSpec, start: int, weight: float = 0.0) -> None:
        """Append a slot of this kind; its segment began at ``start``, and its payload is zero."""
        self._describe(name, spec, start, weight)
        self.values.append(np.zeros((1, self.width), dtype=np.float32))

    def _describe(self, name: str, spec: SlotSpec, start: int, weight: float) -> None:
        """Append all of a slot but its payload."""
        kind = self.vocabulary.kind(name)
        self.ids.append(int(self.vocabulary.slot_ids[kind - 1]))
        self.kinds.append(kind)
        self.weights.append(weight)
        self.labels.append(self.vocabulary.id(spec.label) if spec.label else -1)
        self.anchors.append(spec.anchor)
        n = self.n_references
        self.references.append(self._positions(spec.references, start))
        self.relations.append((spec.relations + (0,) * n)[:n])
        self.positions.append((spec.position + (0.0,) * self.axes)[: self.axes])
        self.places.append((spec.place + (0.0,) * self.axes)[: self.axes])

    def _fill(self, words: Words) -> None:
        """Kinds, payloads and labels of the slots among the words written last."""
        n = len(words.tokens)
        for i, (name, payload) in enumerate(zip(words.tokens, words.payloads, strict=True)):
            if payload:
                self.kinds[i - n] = self.vocabulary.kind(name)
                self.values[-1][i, : len(payload)] = payload
                label = words.labels[i] if words.labels else ""
                self.labels[i - n] = self.vocabulary.id(label) if label else -1

    def _locate(self, segment: Segment, words: Words) -> None:
        """Labels, places and positions of the words written last."""
        n = len(words.tokens)
        for name, given in (("places", words.places), ("positions", words.positions)):
            if given and (len(given) != n or any(len(row) != self.axes for row in given)):
                raise UsageError(
                    f"segment {segment.name}: {name} are {n} rows of {self.axes} numbers"
                )
        if words.labels and not (self.axes and len(words.labels) == n):
            raise UsageError(
                f"segment {segment.name}: words have one label each, and only where the layout "
                "has axes"
            )
        at = slice(len(self.ids) - n, len(self.ids))
        if words.labels:
            self.labels[at] = [self.vocabulary.id(x) if x else -1 for x in words.labels]
        if words.places:
            self.places[at] = words.places
        if words.positions:
            self.positions[at] = words.positions
        if words.references:
            self.references[at] = [self._positions(r, at.start) for r in words.references]

    def finish(self, context: int) -> TokenSequence:
        """Everything so far as one sequence."""
        n = len(self.ids)
        return TokenSequence(
            ids=np.array(self.ids, dtype=np.int32),
            kinds=np.array(self.kinds, dtype=np.int8),
            values=np.concatenate([np.zeros((0, self.width), np.float32), *self.values]),
            weights=np.array(self.weights, dtype=np.float32),
            labels=np.array(self.labels, dtype=np.int32),
            anchors=np.array(self.anchors, dtype=np.int16),
            references=np.array(self.references, dtype=np.int16).reshape(n, self.n_references),
            relations=np.array(self.relations, dtype=np.int8).reshape(n, self.n_references),
            positions=np.array(self.positions, dtype=np.float32).reshape(n, self.axes),
            places=np.array(self.places, dtype=np.float32).reshape(n, self.axes),
            context=context,
        )
