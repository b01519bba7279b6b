"""What is asked about a structure: numbers and classes, of the whole or of each atom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sciar.errors import RecordError, UsageError
from sciar.tokenization.vocabulary import SlotKind

EACH = ("structure", "atom")
_MISSING = {"", "nan", "na", "none", "null"}


@dataclass(frozen=True)
class Target:
    """One property.

    Attributes:
        name: of the property, and of its column unless ``field`` says otherwise.
        unit: for readers of predictions; numbers are never converted.
        classes: names of the classes; empty for a number.
        each: ``structure`` (one value) or ``atom`` (a list of one value an atom).
        field: name of the property in the records; default: ``name``.
        weight: of its loss among the targets.
    """

    name: str
    unit: str = ""
    classes: tuple[str, ...] = ()
    each: str = "structure"
    field: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(map(_text, self.classes)))
        if not self.name:
            raise UsageError("a target needs a name")
        if self.each not in EACH:
            raise UsageError(f"target {self.name}: each {self.each!r} is none of {EACH}")
        if len(self.classes) == 1 or len(set(self.classes)) != len(self.classes):
            raise UsageError(f"target {self.name}: give at least two different classes, or none")
        if not self.weight > 0:
            raise UsageError(f"target {self.name}: the weight must be above zero")

    @classmethod
    def of(cls, given: Target | Mapping[str, Any] | str) -> Target:
        """From plain arguments; a bare name is a number of the whole structure."""
        if isinstance(given, Target):
            return given
        try:
            return cls(given) if isinstance(given, str) else cls(**given)
        except TypeError as error:
            raise UsageError(f"a target takes other options: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain form."""
        return {**asdict(self), "classes": list(self.classes)}

    @property
    def column(self) -> str:
        """Name of the property in the records."""
        return self.field or self.name

    @property
    def slot(self) -> str:
        """Name of its slot kind."""
        return f"<property:{self.name}>"

    @property
    def kind(self) -> SlotKind:
        """Its slot kind: an answer."""
        return SlotKind(self.slot, 1, role="answer", classes=len(self.classes))

    def values(self, labels: Mapping[str, Any], atoms: int) -> list[float | None]:
        """Payloads of the answers, ``None`` where nothing is known.

        Args:
            labels: of the record.
            atoms: number of atoms of its structure.

        Raises:
            RecordError: text where a number belongs, an unknown class, or another number of values
                than atoms.
        """
        given = labels.get(self.column)
        if self.each == "structure":
            return [self.payload(given)]
        if given is None:
            return [None] * atoms
        if not isinstance(given, list | tuple) or len(given) != atoms:
            found = f"{len(given)} values" if isinstance(given, list | tuple) else repr(given)
            raise RecordError(
                f"{atoms} atoms need one value each, found {found}", field=self.column
            )
        return [self.payload(value) for value in given]

    def payload(self, value: Any) -> float | None:
        """One label as a number, or as the index of its class.

        Raises:
            RecordError: see :meth:`values`.
        """
        if value is None or (isinstance(value, str) and value.strip().lower() in _MISSING):
            return None
        if isinstance(value, float) and math.isnan(value):
            return None
        if self.classes:
            text = _text(value)
            if text not in self.classes:
                known = ", ".join(self.classes)
                raise RecordError(f"{text!r} is no class; known are {known}", field=self.column)
            return float(self.classes.index(text))
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise RecordError(f"{value!r} is no number", field=self.column) from None
        if not math.isfinite(number):
            raise RecordError(f"{value!r} is no finite number", field=self.column)
        return number


def _text(value: Any) -> str:
    """Classes as text: 1, 1.0 and True are one class."""
    if isinstance(value, bool | int | float) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
