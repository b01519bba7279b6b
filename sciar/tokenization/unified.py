"""Crystals and molecules in one model: one vocabulary, one list of parts.

A sequence begins ``<bos> <material>`` or ``<bos> <molecule>`` and goes on in the layout of that
part. Each part is the ordinary tokenizer of its domain over the shared vocabulary, so everything
(grammar, plan, checks) is its own. An element is the same token in both domains; the marker says
which grammar it is used in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Record, Structure, kind_of
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.cursor import Cursor, Request, WordGrammar
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.slot_constraints import SlotConstraint
from sciar.tokenization.vocabulary import Vocabulary, fingerprint


@dataclass(frozen=True)
class Part:
    """One domain of a unified tokenizer.

    Attributes:
        name: name of its options and value of the constraint ``kind``.
        marker: token after ``<bos>``.
        tokenizer: class, whose arguments are the options.
        constraints: constraints that only this part understands.
    """

    name: str
    marker: str
    tokenizer: Callable[..., LayoutTokenizer]
    constraints: tuple[str, ...]


PARTS = (
    Part("crystals", "<material>", CrystalTokenizer, ("composition", "elements")),
    Part("molecules", "<molecule>", MoleculeTokenizer, ("smiles",)),
)


@dataclass(frozen=True, eq=False)
class PartRequest(Request):
    """A request that knows its part."""

    part: str = ""


class UnifiedTokenizer(LayoutTokenizer):
    """Crystals and molecules <-> tokens of one vocabulary.

    Args:
        crystals: arguments of :class:`~sciar.tokenization.crystal.CrystalTokenizer`.
        molecules: arguments of :class:`~sciar.tokenization.molecule.MoleculeTokenizer`.
        vocabulary: stored vocabulary of a trained model.
    """

    def __init__(
        self,
        crystals: dict[str, Any] | None = None,
        molecules: dict[str, Any] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.options = {"crystals": dict(crystals or {}), "molecules": dict(molecules or {})}
        self.parts = {p.name: p.tokenizer(**self.options[p.name]) for p in PARTS}
        references = max(part.layout.references for part in self.parts.values())
        relations = max(part.layout.relations for part in self.parts.values())
        for part in PARTS:
            tokenizer = self.parts[part.name]
            tokenizer.layout = _marked(tokenizer.layout, part.marker, references, relations)
        self.layout = Layout("unified", (), references, relations=relations)
        self.makes = tuple(kind for part in self.parts.values() for kind in part.makes)
        known = [name for part in self.parts.values() for name in part.conditions]
        self.conditions = (*dict.fromkeys(known), "kind")
        self.needs_graph = any(part.needs_graph for part in self.parts.values())
        self.max_atoms = max(part.max_atoms for part in self.parts.values())
        merged = _merged([part.vocabulary for part in self.parts.values()])
        self.vocabulary = vocabulary or merged

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that all parts share."""
        return self._vocabulary

    @vocabulary.setter
    def vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        for part in self.parts.values():
            part.vocabulary = vocabulary

    def config(self) -> dict[str, Any]:
        return {name: part.config() for name, part in self.parts.items()}

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the fingerprints of the parts."""
        return fingerprint({name: part.fingerprint for name, part in self.parts.items()})

    def encode(
        self, structure: Structure, *, augment: np.random.Generator | None = None
    ) -> TokenSequence:
        """Structure -> sequence of the part that takes it."""
        tokenizer = self.part_for(structure)
        size = tokenizer.size(structure)
        if size > self.max_atoms:
            raise RecordError(
                f"{size} atoms; this tokenizer takes at most {self.max_atoms}", field="natoms"
            )
        return tokenizer.encode(structure, augment=augment)

    def decode(self, sequence: TokenSequence) -> Structure:
        """Sequence -> structure, by its marker."""
        names = [self.vocabulary.names[i] for i in sequence.ids[:2]]
        for part in PARTS:
            if part.marker in names:
                return self.parts[part.name].decode(sequence)
        raise UsageError(f"a sequence begins with a marker, not with {names}")

    def cursor(self, request: Request) -> Cursor:
        """The cursor of the part that the request is for."""
        return self._asked(request).cursor(request)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """The constraints of one part; ``kind`` (``crystals``, ``molecules``) where they are open.

        ``composition`` and ``elements`` ask for a crystal, ``smiles`` for a molecule.
        """
        wanted = self.known(constraints)
        kind = wanted.pop("kind", None)
        names = [p.name for p in PARTS if set(p.constraints) & set(wanted)]
        if kind is not None:
            names = [kind]
        if len(names) != 1 or names[0] not in self.parts:
            raise UsageError(
                "ask for one thing: a composition or elements (crystal), smiles (molecule), "
                f"or kind: {' or '.join(self.parts)}"
            )
        made = self.parts[names[0]].request(wanted, id)
        return PartRequest(made.fields, made.constraints, made.id, made.asked, names[0])

    def unconditional(self, request: Request) -> Request | None:
        return self._asked(request).unconditional(request)

    def finish(self, structure: Structure, request: Request) -> Structure:
        return self._asked(request).finish(structure, request)

    def verify(self, structure: Structure, request: Request) -> str:
        return self._asked(request).verify(structure, request)

    def size(self, structure: Structure) -> int:
        return self.part_for(structure).size(structure)

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Fields of the part that takes the structure."""
        return self.part_for(structure).fields(structure, augment)

    def structure(self, fields: Mapping[str, Words | Slots]) -> Structure:
        return self._with_fields(fields).structure(fields)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        return self._with_fields(fields).plan(segment, fields)

    def word_grammar(
        self,
        segment: Segment,
        request: Request,
        fields: Mapping[str, Words | Slots] | None = None,
    ) -> WordGrammar:
        return self._asked(request).word_grammar(segment, request, fields or {})

    def slot_constraint(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> SlotConstraint | None:
        return self._asked(request).slot_constraint(segment, request, fields)

    def fit_statistics(self, structures: Iterable[Structure]) -> None:
        """Measure the slot kinds of each part on the structures that it takes."""
        known = list(structures)
        statistics: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for part in PARTS:
            tokenizer = self.parts[part.name]
            tokenizer.fit_statistics([s for s in known if kind_of(s) in tokenizer.makes])
            own = {segment.slot for segment in tokenizer.layout.segments}
            for slot in tokenizer.vocabulary.slots:
                if slot.name in own:
                    statistics[slot.name] = (np.array(slot.mean), np.array(slot.std))
        self.vocabulary = self.vocabulary.with_statistics(statistics)

    def part_for(self, structure: Structure) -> LayoutTokenizer:
        self.check_kind(structure)
        kind = kind_of(structure)
        return next(part for part in self.parts.values() if kind in part.makes)

    def atom_order(self, structure: Structure) -> list[int]:
        return self.part_for(structure).atom_order(structure)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        """Those of the part that takes the record, which ``kind`` names."""
        part = self.part_for(record.structure)
        return {**part.conditions_of(record), "kind": kind_of(record.structure)}

    def makes_for(self, request: Request) -> tuple[str, ...]:
        return self._asked(request).makes

    def _asked(self, request: Request) -> LayoutTokenizer:
        if not isinstance(request, PartRequest):
            raise UsageError("the request was not made by this tokenizer")
        return self.parts[request.part]

    def _with_fields(self, fields: Mapping[str, Words | Slots]) -> LayoutTokenizer:
        for tokenizer in self.parts.values():
            if set(fields) <= {segment.name for segment in tokenizer.layout.segments}:
                return tokenizer
        raise UsageError(f"no part has the fields {sorted(fields)}")


def _marked(layout: Layout, marker: str, references: int, relations: int) -> Layout:
    """The layout with a marker after ``<bos>``."""
    begin = layout.segments[0]
    begin = replace(begin, tokens=(*begin.tokens, marker))
    segments = (begin, *layout.segments[1:])
    return replace(layout, segments=segments, references=references, relations=relations)


def _merged(vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    """Every name and slot kind once, the markers last."""
    names = [name for vocabulary in vocabularies for name in vocabulary.names]
    markers = [part.marker for part in PARTS]
    slots = [slot for vocabulary in vocabularies for slot in vocabulary.slots]
    return Vocabulary(tuple(dict.fromkeys([*names, *markers])), slots)
