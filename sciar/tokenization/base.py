"""What every layout tokenizer shares: encoding, decoding, prompts, fingerprint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Record, Structure, kind_of
from sciar.tokenization.cursor import Cursor, Request, WordGrammar
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.slot_constraints import SlotConstraint
from sciar.tokenization.vocabulary import Vocabulary, fingerprint


class LayoutTokenizer(ABC):
    """A tokenizer whose sequences follow a :class:`~sciar.tokenization.layout.Layout`.

    A subclass says how a structure becomes fields and back; sequences, loss masks, grammars and
    prompts follow from the layout.

    Attributes:
        vocabulary: token names, slot kinds and their statistics.
        layout: the segments.
        max_atoms: largest structure that the tokenizer takes.
        makes: kinds of structures that it takes and makes, names in :data:`sciar.records.KINDS`.
        floors: smallest standard deviation that is fitted, by slot kind and in its unit; 0.001 for
            those that are not named. What hardly varies in the training data, as the angles of
            cubic cells, may vary elsewhere, and a loss in units of almost nothing explodes there.
        conditions: names of the constraints that :meth:`request` understands, the one that says
            most about a structure first.
        reads: kind of records that files are read for (``datasets.readers.Kind``); ``None``: any.
        needs_graph: molecules are encoded by their bonds, which must be perceived if unknown.
        atom_segment: name of the segment with one slot an atom, in the order of :meth:`atom_order`.
    """

    vocabulary: Vocabulary
    layout: Layout
    max_atoms: int
    makes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    reads: Literal["crystal", "molecule", "protein"] | None = None
    needs_graph: bool = False
    atom_segment: str = ""
    floors: ClassVar[dict[str, float]] = {}

    @abstractmethod
    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Structure -> the fields of the layout.

        Raises:
            RecordError: if the structure holds something that the layout cannot express.
        """

    @abstractmethod
    def structure(self, fields: Mapping[str, Words | Slots]) -> Structure:
        """Fields -> structure; the inverse of :meth:`fields` up to its canonical form."""

    @abstractmethod
    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """User's constraints -> what the cursor needs; refuses what the model cannot express."""

    @abstractmethod
    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        """The slots of a segment, known from the fields before it."""

    def subject(self, record: Record) -> Any:
        """What of a record :meth:`encode` takes: its structure, unless labels are needed too."""
        return record.structure

    def remember(self, records: Iterable[Record]) -> None:
        """Take what the tokenizer keeps of the training records, before any is encoded.

        By default nothing.
        """
        return

    def provenance(self, request: Request) -> dict[str, Any]:
        """What a request brings that the user did not give, in plain types; it stays with samples.

        By default nothing.
        """
        return {}

    def belongings(self) -> dict[str, bytes]:
        """Files that go with a model beside its weights, by name; by default none."""
        return {}

    def find_belongings(self, folder: str) -> None:
        """Say where the files of :meth:`belongings` lie; by default there are none."""
        return

    def known(self, constraints: Mapping[str, Any]) -> dict[str, Any]:
        """The constraints that are set, all of which the tokenizer must understand.

        A ``kind`` that is the only one it makes anyway asks for nothing more.

        Raises:
            UsageError: one of them is not in :attr:`conditions`.
        """
        wanted = {k: v for k, v in constraints.items() if v is not None}
        if "kind" not in self.conditions and (wanted.get("kind"),) == self.makes:
            del wanted["kind"]
        unknown = [name for name in wanted if name not in self.conditions]
        if unknown:
            raise UsageError(
                f"this model makes {' and '.join(self.makes) or 'no structures'} and takes "
                f"{', '.join(self.conditions) or 'no conditions'}; leave out {', '.join(unknown)}"
            )
        return wanted

    def conditions_of(self, record: Record) -> dict[str, Any]:
        """The constraints that ask for a record's like: its composition, its SMILES, ...

        Raises:
            RecordError: the record is of another kind, or lacks what the request would carry.
        """
        raise RecordError("this model makes structures from nothing and takes no records")

    def unconditional(self, request: Request) -> Request | None:
        """The same request without what guidance stresses; ``None`` if it carries nothing such.

        Conditions that the sample cannot be without, as a composition, stay.
        """
        return None

    def outside(self, constraints: Mapping[str, Any]) -> list[str]:
        """One message for each value that lies outside the range of the training data."""
        return []

    def makes_for(self, request: Request) -> tuple[str, ...]:
        """Kinds of structures that may come of a request; those of :attr:`makes` by default."""
        return self.makes

    def example(self, record: Record) -> Any:
        """What :meth:`encode` takes of a record: by default its structure.

        Raises:
            RecordError: the record lacks something that the tokenizer needs.
        """
        return record.structure

    def part_for(self, structure: Structure) -> LayoutTokenizer:
        """The tokenizer that really encodes a structure; itself, unless it has parts."""
        return self

    def atom_order(self, structure: Structure) -> list[int]:
        """Anchor of a token -> index of its atom in the structure as it was read."""
        return list(range(len(structure)))

    def arranged(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> tuple[dict[str, Words | Slots], Sequence[int]]:
        """Fields, and the :meth:`atom_order` that goes with them.

        By default nothing is augmented, because a tokenizer that turns atoms about must say how.
        """
        return dict(self.fields(structure)), self.atom_order(structure)

    def atoms_of(self, structure: Structure, sequence: TokenSequence) -> list[int | None]:
        """For each token, the index of the atom that it is about, in the structure as read."""
        order = self.atom_order(structure)
        return [order[anchor] if anchor >= 0 else None for anchor in sequence.anchors.tolist()]

    def check_kind(self, structure: object) -> None:
        """Refuse a structure of a kind that the tokenizer does not take.

        Raises:
            RecordError: with both kinds named.
        """
        kind = kind_of(structure)
        if kind not in self.makes:
            raise RecordError(f"this model takes {' and '.join(self.makes)}, not {kind}")

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        """Grammar of a generated token segment, known from the fields before it."""
        raise UsageError(f"{type(self).__name__} does not generate {segment.name}; give it")

    def word_anchors(self, segment: Segment, words: tuple[str, ...]) -> tuple[int, ...]:
        """Anchor of each word; by default none."""
        return (-1,) * len(words)

    def slot_position(
        self, segment: Segment, spec: SlotSpec, value: np.ndarray
    ) -> tuple[float, ...]:
        """Where a slot stands once its payload is known; by default where it was announced."""
        return spec.place

    def slot_constraint(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> SlotConstraint | None:
        """What a request wants of the payloads of a slot segment; by default nothing."""
        return None

    def config(self) -> dict[str, Any]:
        """Constructor arguments beside the vocabulary, in plain types."""
        return {}

    def size(self, structure: Structure) -> int:
        """Atoms that count against :attr:`max_atoms`."""
        return len(structure)

    def finish(self, structure: Structure, request: Request) -> Structure:
        """Last touch on a decoded sample, before :meth:`verify`; by default none."""
        return structure

    def verify(self, structure: Structure, request: Request) -> str:
        """Empty if ``structure`` is what was asked for, else what is wrong with it."""
        return ""

    def encode(
        self, structure: Structure, *, augment: np.random.Generator | None = None
    ) -> TokenSequence:
        """Structure -> sequence.

        Raises:
            RecordError: unknown symbol, too many atoms, or anything the layout cannot express.
        """
        size = self.size(structure)
        if size > self.max_atoms:
            raise RecordError(
                f"{size} atoms; this tokenizer takes at most {self.max_atoms}",
                field="natoms",
            )
        return self.layout.assemble(self.vocabulary, self.fields(structure, augment))

    def decode(self, sequence: TokenSequence) -> Structure:
        """Sequence -> structure."""
        return self.structure(self.layout.split(self.vocabulary, sequence))

    def cursor(self, request: Request) -> Cursor:
        """The walk through the layout that generates one sample of a request."""
        return Cursor(self, request)

    def fit_statistics(self, structures: Iterable[Structure]) -> None:
        """Measure mean and standard deviation of each Euclidean slot kind on training data."""
        rows: dict[str, list[np.ndarray]] = {}
        for structure in structures:
            fields = self.fields(structure)
            for segment in self.layout.segments:
                value = fields.get(segment.name)
                if isinstance(value, Slots):
                    rows.setdefault(segment.slot, []).append(self.targets(segment, value))
                elif isinstance(value, Words) and segment.mixed:
                    for name, payload in zip(value.tokens, value.payloads, strict=True):
                        if payload:
                            rows.setdefault(name, []).append(np.array([payload]))
        statistics = {}
        for slot in self.vocabulary.slots:
            if slot.geometry not in ("torus", "rotation") and slot.name in rows:
                data = np.concatenate(rows[slot.name])
                if not len(data):
                    continue
                floor = self.floors.get(slot.name, 1e-3)
                statistics[slot.name] = (data.mean(0), np.maximum(data.std(0), floor))
        self.vocabulary = self.vocabulary.with_statistics(statistics)

    def targets(self, segment: Segment, slots: Slots) -> np.ndarray:
        """(n, width) numbers that the head of a slot segment really predicts."""
        return slots.values[segment.pinned :]

    @property
    def fingerprint(self) -> str:
        """16 hex digits over class, options, layout and vocabulary."""
        return fingerprint(
            {
                "class": type(self).__name__,
                "config": self.config(),
                "layout": self.layout.to_dict(),
                "vocabulary": self.vocabulary.to_dict(),
            }
        )
