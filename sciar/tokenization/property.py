"""Properties of structures, for the layout of any domain.

Layout: everything that the base tokenizer writes, given and attended to in both directions, then
one answer slot a target (one an atom for targets of atoms). The network never reads an answer, so
answers hang on the structure alone, and what is not known carries no loss. An answer about an atom
is read off at the token of that atom (:mod:`sciar.objectives.sources`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Labelled, Record, Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.cursor import Request
from sciar.tokenization.layout import Segment, Slots, SlotSpec, Words
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.targets import Target
from sciar.tokenization.vocabulary import Vocabulary


class PropertyTokenizer(LayoutTokenizer):
    """A structure and its properties <-> tokens.

    Args:
        base: ``{class_path, init_args}`` of the tokenizer of the structures.
        targets: options of :class:`~sciar.tokenization.targets.Target`, or names of numbers.
        vocabulary: stored vocabulary of a trained model.

    Raises:
        UsageError: no target, two of one name, or a base without a layout of its own.
    """

    def __init__(
        self,
        base: dict[str, Any],
        targets: list[Any],
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.base = build_tokenizer(base)
        self.asked = tuple(map(Target.of, targets))
        names = [target.name for target in self.asked]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"give at least one target, each name once; got {names}")
        inner = self.base.layout
        if not inner.segments:
            raise UsageError(f"{base['class_path']} has several layouts; give one of its parts")
        self.max_atoms, self.needs_graph = self.base.max_atoms, self.base.needs_graph
        self.makes = self.base.makes
        self.about_atoms = any(target.each == "atom" for target in self.asked)
        if self.about_atoms and not self.base.atom_segment:
            raise UsageError(f"{base['class_path']} has no slot an atom to ask about")
        self.layout = replace(
            inner,
            name=f"property-{inner.name}",
            segments=(
                *(s if s.constant else replace(s, role="given") for s in inner.segments),
                *(Segment(t.slot, "slot", slot=t.slot, unit=t.unit) for t in self.asked),
            ),
            references=max(inner.references, int(self.about_atoms)),
            bidirectional=True,
        )
        self.vocabulary = vocabulary or _extended(self.base.vocabulary, self.asked)

    @property
    def vocabulary(self) -> Vocabulary:
        """Symbols and slots of the base, then the answers."""
        return self._vocabulary

    @vocabulary.setter
    def vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = self.base.vocabulary = vocabulary

    def config(self) -> dict[str, Any]:
        return {"base": entry_of(self.base), "targets": [t.to_dict() for t in self.asked]}

    def subject(self, record: Record) -> Labelled:
        """The structure with what the record says of the targets.

        Raises:
            RecordError: a label that is no value of its target.
        """
        columns = {t.column: record.properties.get(t.column) for t in self.asked}
        labelled = Labelled(record.structure, columns)
        for target in self.asked:
            target.values(columns, len(record.structure))
        return labelled

    def size(self, structure: Any) -> int:
        return self.base.size(_bare(structure)[0])

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Fields of the base, and the answers; what is not known has no weight."""
        bare, labels = _bare(structure)
        if self.about_atoms:
            inner, order = self.base.arranged(bare, augment)
        else:
            inner, order = self.base.fields(bare, augment), ()
        fields = dict(inner)
        for target in self.asked:
            values = target.values(labels, len(bare))
            if target.each == "atom":
                values = [values[i] for i in order]
            fields[target.slot] = _answers(target, values)
        return fields

    def answer_order(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> Sequence[int]:
        """Atom of the structure that each answer about atoms is about.

        Args:
            structure: what was encoded.
            augment: in the state in which :meth:`encode` was given it.
        """
        return self.base.arranged(_bare(structure)[0], augment)[1]

    def encode(
        self, structure: Any, *, augment: np.random.Generator | None = None
    ) -> TokenSequence:
        """Structure, labelled or not -> sequence.

        Raises:
            RecordError: as the base; or targets of atoms that the base does not tell apart.
        """
        sequence = super().encode(structure, augment=augment)
        for target in self.asked:
            if target.each == "atom":
                self._refer(sequence, self.vocabulary.kind(target.slot))
        return sequence

    def _refer(self, sequence: TokenSequence, kind: int) -> None:
        """Make each answer about an atom refer to the slot of that atom."""
        slots = (s.slot for s in self.base.layout.segments if s.name == self.base.atom_segment)
        known = np.flatnonzero(sequence.kinds == self.vocabulary.kind(next(slots)))
        answers = np.flatnonzero(sequence.kinds == kind)
        if len(known) != len(answers):
            raise RecordError(f"{len(answers)} answers about {len(known)} atoms with slots")
        sequence.references[answers] = -1
        sequence.references[answers, 0] = known

    def atom_order(self, structure: Any) -> list[int]:
        return self.base.atom_order(_bare(structure)[0])

    def atoms_of(self, structure: Any, sequence: TokenSequence) -> list[int | None]:
        """As the base says; an answer about an atom belongs to what it refers to."""
        found = self.base.atoms_of(_bare(structure)[0], sequence)
        about = [self.vocabulary.kind(t.slot) for t in self.asked if t.each == "atom"]
        for place in np.flatnonzero(np.isin(sequence.kinds, about)):
            found[place] = found[sequence.references[place, 0]]
        return found

    def structure(self, fields: Mapping[str, Words | Slots]) -> Structure:
        return self.base.structure(fields)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        raise UsageError("this model predicts properties of structures: use sciar predict")

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        raise UsageError("this model predicts properties of structures: use sciar predict")

    def fit_statistics(self, structures: Iterable[Any]) -> None:
        """Statistics of the base's slots, and mean and deviation of each number.

        Raises:
            UsageError: no structure has a value of some target.
        """
        known = [_bare(s) for s in structures]
        self.base.fit_statistics([bare for bare, _ in known])
        statistics: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for target in self.asked:
            every = [v for bare, labels in known for v in target.values(labels, len(bare))]
            values = np.array([v for v in every if v is not None])
            if not len(values):
                raise UsageError(
                    f"none of {len(known)} training structures has a value of {target.column!r}"
                )
            if not target.classes:
                spread = float(values.std())
                statistics[target.slot] = (values.mean(keepdims=True), np.array([spread or 1.0]))
        self.vocabulary = self.base.vocabulary.with_statistics(statistics)


def _bare(structure: Any) -> tuple[Structure, dict[str, Any]]:
    if isinstance(structure, Labelled):
        return structure.structure, structure.labels
    return structure, {}


def _extended(base: Vocabulary, targets: Sequence[Target]) -> Vocabulary:
    """The base's vocabulary, its slots given, and the answers."""
    slots = [replace(slot, role="given") for slot in base.slots]
    answers = [target.kind for target in targets]
    return Vocabulary((*base.names, *(a.name for a in answers)), (*slots, *answers))


def _answers(target: Target, values: Sequence[float | None]) -> Slots:
    specs = tuple(
        SlotSpec(
            anchor=i if target.each == "atom" else -1,
            weight=0.0 if value is None else target.weight,
        )
        for i, value in enumerate(values)
    )
    return Slots(specs, np.array([[value or 0.0] for value in values], dtype=np.float64))
