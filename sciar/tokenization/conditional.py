"""Structures of wanted properties, for the layout of any domain.

Layout: that of the base with number slots after its first segment, one for each property that is
asked for: ``<bos> <condition:gap> <condition:mu> ...``. A property that is not asked for, or not
known, has no slot at all, so any subset may be given, and a sequence without any is one of the
base. Slots are given: they are read and carry no loss. In augmented encodings properties are left
out at random, so that one network knows all subsets, and the one without conditions that guidance
needs (Ho and Salimans, arXiv:2207.12598). Against UniGenX (spec 1.7, 1.8): values are standardised,
names are whole tokens, and every property has a transform of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.records import Labelled, Record
from sciar.tokenization.around import AroundTokenizer
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.conditions import Condition
from sciar.tokenization.cursor import Request
from sciar.tokenization.layout import Segment, Slots, SlotSpec, Words
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import Vocabulary


class ConditionalTokenizer(AroundTokenizer):
    """A structure and some of its properties <-> tokens.

    Args:
        base: ``{class_path, init_args}`` of the tokenizer of the structures.
        properties: what may be asked for: options of
            :class:`~sciar.tokenization.conditions.Condition`, names that are known, or columns.
        drop: share of augmented encodings without any property.
        drop_each: share in which each property is left out beside that.
        vocabulary: stored vocabulary of a trained model.

    Raises:
        UsageError: no property, two of one name, one that the base takes already, or a base without
            a layout of its own.
    """

    def __init__(
        self,
        base: dict[str, Any],
        properties: list[Any],
        drop: float = 0.1,
        drop_each: float = 0.3,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.base = build_tokenizer(base)
        self.properties = tuple(map(Condition.of, properties))
        self.drop, self.drop_each = drop, drop_each
        names = [p.name for p in self.properties]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"give at least one property, each name once; got {names}")
        if both := sorted(set(names) & set(self.base.conditions)):
            raise UsageError(f"{', '.join(both)}: the base takes conditions of this name already")
        if not (0 <= drop <= 1 and 0 <= drop_each <= 1):
            raise UsageError(f"drop {drop} and drop_each {drop_each} are shares, from 0 to 1")
        inner = self.base.layout
        if not inner.segments:
            raise UsageError(f"{base['class_path']} has several layouts; give one of its parts")
        self.makes, self.reads = self.base.makes, self.base.reads
        self.conditions = (*self.base.conditions, *names)
        self.max_atoms, self.needs_graph = self.base.max_atoms, self.base.needs_graph
        self.atom_segment = self.base.atom_segment
        first, *rest = inner.segments
        given = (
            Segment(p.slot, "slot", "given", slot=p.slot, unit=p.unit) for p in self.properties
        )
        self.layout = replace(
            inner, name=f"conditional-{inner.name}", segments=(first, *given, *rest)
        )
        own = self.base.vocabulary
        self.vocabulary = vocabulary or Vocabulary(
            (*own.names, *(p.slot for p in self.properties)),
            (*own.slots, *(p.kind for p in self.properties)),
        )

    def config(self) -> dict[str, Any]:
        return {
            "base": entry_of(self.base),
            "properties": [p.to_dict() for p in self.properties],
            "drop": self.drop,
            "drop_each": self.drop_each,
        }

    def inner(self, subject: Any) -> Any:
        return subject.structure if isinstance(subject, Labelled) else subject

    def subject(self, record: Record) -> Labelled:
        """What the base takes of a record, and its properties.

        Raises:
            RecordError: as the base; or a property that is no number, or none that its transform
                takes.
        """
        found = {p.name: p.known(record.properties, record.structure) for p in self.properties}
        known = {name: value for name, value in found.items() if value is not None}
        return Labelled(self.base.subject(record), known)

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Fields of the base, and the properties; ``augment`` also says which are left out."""
        fields = dict(self.base.fields(self.inner(structure), augment))
        known = structure.labels if isinstance(structure, Labelled) else {}
        return {**fields, **self._slots(self._kept(known, augment))}

    def _kept(
        self, known: Mapping[str, float], augment: np.random.Generator | None
    ) -> Mapping[str, float]:
        if augment is None:
            return known
        if augment.random() < self.drop:
            return {}
        dropped = augment.random(len(self.properties)) < self.drop_each
        gone = {p.name for p, out in zip(self.properties, dropped, strict=True) if out}
        return {name: value for name, value in known.items() if name not in gone}

    def _slots(self, known: Mapping[str, float]) -> dict[str, Slots]:
        """One slot for each known property, none for the others."""
        made = {}
        for p in self.properties:
            values = [[p.forward(known[p.name])]] if p.name in known else np.zeros((0, 1))
            made[p.slot] = Slots((SlotSpec(),) * len(values), np.asarray(values))
        return made

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """The constraints of the base, and numbers for any of the properties.

        Raises:
            RecordError: as the base; or a value that is no number, or none that its transform
                takes.
        """
        wanted = self.known(constraints)
        asked = {p.name: p.checked(wanted.pop(p.name)) for p in self.properties if p.name in wanted}
        request = self.base.request(wanted, id)
        fields = {**request.fields, **self._slots(asked)}
        return replace(request, fields=fields, asked={**request.asked, **asked})

    def conditions_of(self, record: Record) -> dict[str, Any]:
        """Those of the base, and the record's own properties."""
        return {**self.base.conditions_of(record), **self.subject(record).labels}

    def unconditional(self, request: Request) -> Request | None:
        """Without properties, and without what guidance stresses in the base."""
        inner = self.base.unconditional(request)
        if inner is None and not any(p.name in request.asked for p in self.properties):
            return None
        request = request if inner is None else inner
        return replace(request, fields={**request.fields, **self._slots({})})

    def outside(self, constraints: Mapping[str, Any]) -> list[str]:
        own = {p.name: p for p in self.properties}
        messages = self.base.outside({k: v for k, v in constraints.items() if k not in own})
        for name, p in own.items():
            if constraints.get(name) is not None:
                messages.append(p.outside(p.checked(constraints[name])))
        return [message for message in messages if message]

    def atoms_of(self, structure: Any, sequence: TokenSequence) -> list[int | None]:
        return self.base.atoms_of(self.inner(structure), sequence)

    def fit_statistics(self, structures: Iterable[Any]) -> None:
        """Of the base's slots and of the properties, whose ranges are kept.

        Raises:
            UsageError: no structure has a value of some property.
        """
        subjects = list(structures)
        self.base.fit_statistics([self.inner(s) for s in subjects])
        statistics, measured = {}, []
        for p in self.properties:
            known = [
                s.labels[p.name] for s in subjects if isinstance(s, Labelled) and p.name in s.labels
            ]
            measured.append(p.measured(known))
            payloads = np.array([p.forward(value) for value in known])
            spread = payloads.std()
            # Where all records agree there is no scale to take.
            statistics[p.slot] = (payloads.mean()[None], np.array([spread if spread > 0 else 1.0]))
        self.properties = tuple(measured)
        self.vocabulary = self.base.vocabulary.with_statistics(statistics)
