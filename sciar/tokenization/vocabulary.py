"""Vocabularies: token names <-> ids, slot kinds with their widths, and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError

GEOMETRIES = ("euclidean", "torus", "local", "symbol", "rotation")
ROLES = ("value", "given", "answer")


@dataclass(frozen=True)
class SlotKind:
    """A kind of slot: a token that carries numbers.

    Attributes:
        name: token name of the slot, e.g. ``<atom>``.
        width: how many numbers the payload holds.
        geometry: the space that the payload lives in: ``euclidean`` (numbers as they are),
            ``torus`` (fractional coordinates, period 1), ``local`` (3-D points, predicted in the
            frame of the points that the slot refers to), ``symbol`` (the index of a symbol,
            which an input module of its own reads) or ``rotation`` (the first two rows of a
            rotation matrix, or all three; never standardised).
        mean: per-component mean that the head's target is standardised with.
        std: per-component standard deviation, likewise.
        role: ``value`` (predicted, then read), ``given`` (read, never predicted: it has no head) or
            ``answer`` (predicted, never read, so that answers do not hang on each other).
        classes: number of classes of an answer whose payload is the index of one; 0: a number.
    """

    name: str
    width: int
    geometry: str = "euclidean"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    role: str = "value"
    classes: int = 0

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise UsageError(f"slot {self.name}: role {self.role!r} is none of {ROLES}")
        if self.classes and (self.role != "answer" or self.width != 1 or self.classes < 2):
            raise UsageError(
                f"slot {self.name}: only answers of width 1 are classes, and of at least two"
            )
        if self.geometry not in GEOMETRIES:
            raise UsageError(
                f"slot {self.name}: geometry {self.geometry!r} is none of {GEOMETRIES}"
            )
        if self.geometry == "rotation" and self.width not in (6, 9):
            raise UsageError(f"slot {self.name}: a rotation has 6 or 9 numbers, not {self.width}")
        for label, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.width:
                raise UsageError(
                    f"slot {self.name}: {len(values)} {label} values for width {self.width}"
                )
        object.__setattr__(self, "mean", tuple(map(float, self.mean)) or (0.0,) * self.width)
        object.__setattr__(self, "std", tuple(map(float, self.std)) or (1.0,) * self.width)


class Vocabulary:
    """Token names in id order, and the slot kinds among them.

    Args:
        names: all token names; the position is the id.
        slots: slot kinds; each name must be a token of its own. Kind 0 means "plain token", so the
            i-th slot kind has number ``i + 1``.
    """

    def __init__(self, names: Sequence[str], slots: Iterable[SlotKind] = ()) -> None:
        self.names = tuple(names)
        self.slots = tuple(slots)
        if len(set(self.names)) != len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise UsageError(f"vocabulary names must be unique; seen twice: {twice[:5]}")
        self._ids = {name: i for i, name in enumerate(self.names)}
        for slot in self.slots:
            self.id(slot.name)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def id(self, name: str) -> int:
        """Id of a token; an unknown name raises :class:`RecordError`, never becomes ``<unk>``."""
        try:
            return self._ids[name]
        except KeyError:
            raise RecordError(
                f"the symbol {name!r} is not in this model's vocabulary of {len(self)} symbols"
            ) from None

    def ids(self, names: Iterable[str]) -> np.ndarray:
        """(n,) int32 ids of the names."""
        return np.array([self.id(n) for n in names], dtype=np.int32)

    def kind(self, slot: str) -> int:
        """Number of a slot kind (from 1) by its name."""
        for i, candidate in enumerate(self.slots):
            if candidate.name == slot:
                return i + 1
        raise UsageError(f"no slot kind {slot!r}; known: {[s.name for s in self.slots]}")

    @property
    def width(self) -> int:
        """Width of the widest payload."""
        return max((s.width for s in self.slots), default=0)

    @cached_property
    def slot_ids(self) -> np.ndarray:
        """(number of slot kinds,) token id of each slot kind."""
        return self.ids(s.name for s in self.slots)

    def with_statistics(self, statistics: dict[str, tuple[np.ndarray, np.ndarray]]) -> Vocabulary:
        """The same vocabulary with measured mean and standard deviation per slot kind."""
        slots = [
            replace(s, mean=tuple(statistics[s.name][0]), std=tuple(statistics[s.name][1]))
            if s.name in statistics
            else s
            for s in self.slots
        ]
        return Vocabulary(self.names, slots)

    def to_dict(self) -> dict[str, Any]:
        """Plain text form, stored with the model."""
        return {
            "names": list(self.names),
            "slots": [
                {
                    "name": s.name,
                    "width": s.width,
                    "geometry": s.geometry,
                    "mean": list(s.mean),
                    "std": list(s.std),
                    # Fingerprints of plain slots are older than roles.
                    **({} if s.role == "value" else {"role": s.role}),
                    **({"classes": s.classes} if s.classes else {}),
                }
                for s in self.slots
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Vocabulary:
        """Inverse of :meth:`to_dict`."""
        return cls(data["names"], [SlotKind(**slot) for slot in data["slots"]])

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever a name, an id, a slot or a statistic changes."""
        return fingerprint(self.to_dict())


def fingerprint(data: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON-able value."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
