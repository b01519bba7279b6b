"""Programs that describe an image or a pattern, which is given.

Layout: ``<bos> patches <program> calls <eos>``. The patches are read in both directions, then the
program is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Program, Record
from sciar.tokenization.cursor import Request
from sciar.tokenization.layout import Segment, Slots, SlotSpec, Words
from sciar.tokenization.programs.frames import frame_of
from sciar.tokenization.programs.tokenizer import ProgramTokenizer
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

SEGMENT = "observation"


@dataclass(frozen=True, eq=False)
class Observed:
    """A program and what it describes.

    Attributes:
        program: what is to be written.
        data: (H, W, C) bytes of an image, or (P,) profile of a pattern.
    """

    program: Program
    data: np.ndarray

    def __len__(self) -> int:
        return len(self.program)


class ObservedProgramTokenizer(ProgramTokenizer):
    """Image or pattern, and its program <-> tokens.

    Args:
        language: name of a language that ships, or a YAML file.
        frame: what is looked at: options of :class:`~sciar.tokenization.programs.frames.ImageFrame`
            (``kind: image``) or ``PatternFrame`` (``kind: pattern``).
        numbers: ``float``: a slot for each number, which a head predicts; ``char``: digits.
        order: of calls of one name: ``canonical`` (as the language sorts), ``file``, or ``random``.
        shuffle: augmented views have the arguments of each call in random order.
        synonyms: augmented views take any word of the same meaning.
        max_calls: longest program; by default what the language allows.
        vocabulary: stored vocabulary of a trained model.

    Raises:
        UsageError: an unknown language or option.
    """

    def __init__(
        self,
        language: str,
        frame: dict[str, Any],
        numbers: str = "float",
        order: str = "canonical",
        shuffle: bool = False,
        synonyms: bool = False,
        max_calls: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        super().__init__(language, numbers, order, shuffle, synonyms, max_calls, vocabulary)
        self.frame = frame_of(frame)
        name, width = self.frame.slot, self.frame.width
        if vocabulary is None:
            own = self.vocabulary
            slot = SlotKind(name, width, role="given")
            self.vocabulary = Vocabulary((*own.names, name), (*own.slots, slot))
        self.conditions = (self.frame.name, *self.conditions)
        begin, *rest = self.layout.segments
        seen = Segment(SEGMENT, "slot", "given", slot=name, unit=self.frame.unit)
        self.layout = replace(
            self.layout, name=f"{self.frame.name}-{self.layout.name}", segments=(begin, seen, *rest)
        )

    def config(self) -> dict[str, Any]:
        return {**super().config(), "frame": self.frame.to_dict()}

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that training data can give."""
        calls = self.max_atoms * max(self.symbols.most_tokens(name) for name in self.language.calls)
        return 3 + int(np.prod(self.frame.shape)) + calls

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Program and observation -> words and patches.

        Raises:
            RecordError: no program of this language, or an observation of another shape.
        """
        if not isinstance(structure, Observed):
            raise RecordError(f"this model learns from programs with their {self.frame.name}")
        return {
            SEGMENT: self._slots(structure.data),
            **super().fields(structure.program, augment),
        }

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``image`` or ``pxrd`` is looked at; ``n_add=3`` asks for exactly three calls.

        Raises:
            UsageError: an unknown constraint, or nothing to look at.
            RecordError: an observation that the model does not read, or the error that reading it
                gave; a number of calls that the language does not allow.
        """
        given = constraints.get(self.frame.name)
        if given is None:
            raise UsageError(f"this model describes what it sees: give {self.frame.name}")
        if isinstance(given, RecordError):
            raise given
        rest = {k: v for k, v in constraints.items() if k != self.frame.name}
        request = super().request(rest, id)
        return replace(request, fields={SEGMENT: self._slots(self.frame.read(given))})

    def asked(self, data: np.ndarray) -> Request:
        """A request for the program of an observation as makers give it."""
        return replace(super().request({}), fields={SEGMENT: self._slots(data)})

    def conditions_of(self, record: Record) -> dict[str, Any]:
        """What the record shows.

        Raises:
            RecordError: it shows nothing that the model reads.
        """
        seen: Any = record.structure
        if not isinstance(seen, Observed) or self.frame.name != "image":
            raise RecordError(f"the record has no {self.frame.name} that a request could bring")
        return {self.frame.name: seen.data}

    def atom_order(self, structure: Any) -> list[int]:
        return super().atom_order(_program(structure))

    def atoms_of(self, structure: Any, sequence: Any) -> list[int | None]:
        """As for programs; anchors of patches are places in the raster, no calls."""
        patch = sequence.kinds == self.vocabulary.kind(self.frame.slot)
        anchors = np.where(patch, -1, sequence.anchors)
        return super().atoms_of(_program(structure), replace(sequence, anchors=anchors))

    def fit_statistics(self, structures: Iterable[Any]) -> None:
        """Of the numbers of programs; patches are left as they are."""
        plain = ProgramTokenizer(**super().config())
        plain.fit_statistics(_program(s) for s in structures)
        found = {s.name: (np.array(s.mean), np.array(s.std)) for s in plain.vocabulary.slots}
        self.vocabulary = self.vocabulary.with_statistics(found)

    def _slots(self, data: np.ndarray) -> Slots:
        rows = self.frame.patches(data)
        return Slots(_specs(len(rows)), rows)


def _specs(count: int) -> tuple[SlotSpec, ...]:
    return tuple(SlotSpec(anchor=i) for i in range(count))


def _program(structure: Any) -> Any:
    return structure.program if isinstance(structure, Observed) else structure
