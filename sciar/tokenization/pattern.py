"""Crystals whose powder pattern is given, for the layout of any tokenizer of crystals.

Layout: that of the base with ``<pxrd>`` slots after its first segment, each a stretch of the
pattern; its anchor says which. A pattern that is not given is zero everywhere (a real one reaches
one), and some of the training patterns are left out, so that one model does with and without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, PowderPattern, Record
from sciar.tokenization.around import AroundTokenizer
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.cursor import Request
from sciar.tokenization.diffraction import PatternGrid, peaks_of
from sciar.tokenization.layout import Segment, Slots, SlotSpec, Words
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

PXRD = "<pxrd>"
SEGMENT = "pattern"
NONE = "none"
"""As a constraint: the structure is asked for without a pattern."""


@dataclass(frozen=True, eq=False)
class Diffracted:
    """A crystal and its peaks, computed once for all augmented encodings."""

    structure: Crystal
    peaks: PowderPattern

    def __len__(self) -> int:
        return len(self.structure)


class PatternTokenizer(AroundTokenizer):
    """A crystal and its powder pattern <-> tokens.

    Args:
        base: ``{class_path, init_args}`` of a tokenizer of crystals.
        grid: options of :class:`~sciar.tokenization.diffraction.PatternGrid`.
        width: numbers in one slot; must divide the points of the grid.
        drop: share of augmented encodings without the pattern.
        vocabulary: stored vocabulary of a trained model.
    """

    def __init__(
        self,
        base: dict[str, Any],
        grid: dict[str, Any] | None = None,
        width: int = 32,
        drop: float = 0.1,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        try:
            self.grid = PatternGrid(**(grid or {}))
        except TypeError as error:
            raise UsageError(f"a grid takes other options: {error}") from error
        if width < 1 or self.grid.points % width:
            raise UsageError(f"slots of {width} numbers do not divide {self.grid.points} points")
        if not 0 <= drop <= 1:
            raise UsageError(f"drop {drop} is no share")
        self.base, self.width, self.drop = build_tokenizer(base), width, drop
        if self.base.makes != ("crystals",) or not self.base.layout.segments:
            raise UsageError(f"{base['class_path']} is no tokenizer of crystals alone")
        self.makes, self.conditions = self.base.makes, (*self.base.conditions, "pxrd")
        self.max_atoms = self.base.max_atoms
        first, *rest = self.base.layout.segments
        pattern = Segment(SEGMENT, "slot", "given", slot=PXRD, unit="root of relative intensity")
        self.layout = replace(
            self.base.layout,
            name=f"pxrd-{self.base.layout.name}",
            segments=(first, pattern, *rest),
        )
        own = self.base.vocabulary
        self.vocabulary = vocabulary or Vocabulary(
            (*own.names, PXRD), (*own.slots, SlotKind(PXRD, width, role="given"))
        )

    def inner(self, subject: Any) -> Any:
        return subject.structure if isinstance(subject, Diffracted) else subject

    def config(self) -> dict[str, Any]:
        return {
            "base": entry_of(self.base),
            "grid": self.grid.to_dict(),
            "width": self.width,
            "drop": self.drop,
        }

    def subject(self, record: Record) -> Any:
        """The crystal with its peaks."""
        self.check_kind(record.structure)
        assert isinstance(record.structure, Crystal)
        return Diffracted(record.structure, peaks_of(record.structure, self.grid))

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Fields of the base and the pattern; ``augment`` blurs, shifts and roughens the pattern.

        Raises:
            RecordError: as the base; or no pattern can be computed.
        """
        crystal = self.inner(structure)
        fields = dict(self.base.fields(crystal, augment))
        if isinstance(structure, Diffracted):
            peaks = structure.peaks
        else:
            assert isinstance(crystal, Crystal)
            peaks = peaks_of(crystal, self.grid)
        dropped = augment is not None and augment.random() < self.drop
        values = np.zeros(self.grid.points) if dropped else self.grid.profile(peaks, augment)
        return {**fields, SEGMENT: self._slots(values)}

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """The constraints of the base and ``pxrd``: a pattern, or "none".

        Raises:
            RecordError: a pattern of another range; or the error that reading it gave.
        """
        wanted = self.known(constraints)
        pattern = wanted.pop("pxrd", NONE)
        request = self.base.request(wanted, id)
        return replace(
            request, fields={**request.fields, SEGMENT: self._slots(self._read(pattern))}
        )

    def conditions_of(self, record: Record) -> dict[str, Any]:
        """Those of the base, and the computed pattern of the record's own crystal."""
        wanted = self.base.conditions_of(record)
        assert isinstance(record.structure, Crystal)
        return {**wanted, "pxrd": peaks_of(record.structure, self.grid)}

    def _read(self, pattern: Any) -> np.ndarray:
        if isinstance(pattern, RecordError):
            raise pattern
        if isinstance(pattern, str) and pattern == NONE:
            return np.zeros(self.grid.points)
        if not isinstance(pattern, PowderPattern):
            raise UsageError(f"pxrd is a PowderPattern or {NONE!r}, not {type(pattern).__name__}")
        try:
            return self.grid.measured(pattern)
        except RecordError as error:
            raise error.located(source=pattern.source, record=pattern.id) from error

    def _slots(self, values: np.ndarray) -> Slots:
        rows = values.reshape(-1, self.width)
        return Slots(tuple(SlotSpec(anchor=i) for i in range(len(rows))), rows)

    def unconditional(self, request: Request) -> Request | None:
        """Without the pattern, and without what guidance stresses in the base."""
        inner, pattern = self.base.unconditional(request), request.fields[SEGMENT]
        assert isinstance(pattern, Slots)
        if inner is None and not pattern.values.any():
            return None
        request = request if inner is None else inner
        none = self._slots(np.zeros(self.grid.points))
        return replace(request, fields={**request.fields, SEGMENT: none})

    def atoms_of(self, structure: Any, sequence: TokenSequence) -> list[int | None]:
        """As the base says; anchors of a pattern are stretches of it, no atoms."""
        pattern = sequence.kinds == self.vocabulary.kind(PXRD)
        anchors = np.where(pattern, -1, sequence.anchors)
        found = self.base.atoms_of(self.inner(structure), replace(sequence, anchors=anchors))
        return [None if p else atom for p, atom in zip(pattern, found, strict=True)]

    def fit_statistics(self, structures: Iterable[Any]) -> None:
        """Of the base's slots; a pattern is relative already."""
        self.base.fit_statistics([self.inner(s) for s in structures])
        self.vocabulary = self.base.vocabulary
