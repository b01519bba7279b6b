"""Properties that structures are asked for: names, units, transforms, and what training saw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sciar.errors import RecordError, UsageError
from sciar.records import Structure
from sciar.tokenization.computed import COMPUTED
from sciar.tokenization.programs.transforms import Transform
from sciar.tokenization.targets import Target
from sciar.tokenization.vocabulary import SlotKind

TRANSFORMS = ("linear", "log", "asinh")
_FAR = 1e12


@dataclass(frozen=True)
class Condition:
    """One property that may be asked for.

    Attributes:
        name: what users write, and the column of the records unless ``field`` says otherwise.
        unit: of the numbers as users write them; they are never converted.
        transform: ``linear``, ``log`` (positive numbers over orders of magnitude) or ``asinh``
            (numbers of both signs likewise); the result is what is standardised.
        scale: unit of ``log`` and ``asinh``.
        field: column of the records.
        computed: name in :data:`~sciar.tokenization.computed.COMPUTED`: the property follows from
            the structure, and no column is needed.
        low: smallest number of the training data; NaN before it is measured.
        high: largest.
        count: training records that the range and the statistics are of.
    """

    name: str
    unit: str = ""
    transform: str = "linear"
    scale: float = 1.0
    field: str = ""
    computed: str = ""
    low: float = math.nan
    high: float = math.nan
    count: int = 0

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("_", "").replace("-", "").isalnum():
            raise UsageError(f"property {self.name!r}: a name has letters, digits, _ and - only")
        if self.transform not in TRANSFORMS:
            known = ", ".join(TRANSFORMS)
            raise UsageError(
                f"property {self.name}: transform {self.transform!r} is none of {known}"
            )
        if self.computed and self.computed not in COMPUTED:
            known = ", ".join(COMPUTED)
            raise UsageError(
                f"property {self.name}: {self.computed!r} is not computed; {known} are"
            )
        if self.computed and self.field:
            raise UsageError(f"property {self.name}: give a field, or compute it, not both")
        self._map()

    def _map(self) -> Transform:
        return Transform(
            self.transform, 1 / _FAR if self.transform == "log" else -_FAR, _FAR, self.scale
        )

    @classmethod
    def of(cls, given: Condition | Mapping[str, Any] | str) -> Condition:
        """From plain arguments, or a name that :data:`KNOWN` has; another name is a bare column.

        Raises:
            UsageError: other options.
        """
        if isinstance(given, Condition):
            return given
        if isinstance(given, str):
            return KNOWN.get(given, cls(given))
        try:
            return cls(**given)
        except TypeError as error:
            raise UsageError(f"a property takes other options: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain form; what is not measured is left out, because text knows no NaN."""
        plain = asdict(self)
        if not self.count:
            del plain["low"], plain["high"], plain["count"]
        return plain

    @property
    def slot(self) -> str:
        """Name of its slot kind, and of its segment."""
        return f"<condition:{self.name}>"

    @property
    def kind(self) -> SlotKind:
        """Its slot kind: one number, read and never predicted."""
        return SlotKind(self.slot, 1, role="given")

    def known(self, labels: Mapping[str, Any], structure: Structure) -> float | None:
        """The value of a record, ``None`` if it has none.

        Raises:
            RecordError: text where a number belongs, or a number that the transform cannot take.
        """
        if self.computed:
            return self.checked(COMPUTED[self.computed].of(structure))
        value = Target(self.name, field=self.field).payload(labels.get(self.field or self.name))
        return None if value is None else self.checked(value)

    def checked(self, value: Any) -> float:
        """A number that may be asked for.

        Raises:
            RecordError: it is none, not finite, or not positive where a logarithm is taken.
        """
        number = Target(self.name).payload(value)
        if number is None:
            raise RecordError(f"{value!r} is no number", field=self.name)
        if self.transform == "log" and number <= 0:
            raise RecordError(f"{number:g} is not above zero", field=self.name)
        return number

    def forward(self, value: float) -> float:
        """Number of the user -> payload of the slot."""
        return float(self._map().forward(value))

    def measured(self, values: Iterable[float]) -> Condition:
        """The same with the range of the training data.

        Raises:
            UsageError: there is no value at all.
        """
        known = list(values)
        if not known:
            where = (
                f"computed {self.computed}"
                if self.computed
                else f"column {self.field or self.name!r}"
            )
            raise UsageError(f"property {self.name}: no training record has a value ({where})")
        return replace(self, low=min(known), high=max(known), count=len(known))

    def outside(self, value: float) -> str:
        """Empty, or that the value lies outside the range of the training data."""
        if not self.count or self.low <= value <= self.high:
            return ""
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{self.name} = {value:g}{unit} lies outside the range of the training data, "
            f"{self.low:g} to {self.high:g}{unit} ({self.count:,} records)"
        )


def _computed(name: str) -> Condition:
    return Condition(name, COMPUTED[name].unit, computed=name)


KNOWN: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        # Columns of QM9 (Ramakrishnan et al., Sci. Data 1, 140022, 2014), in its own units.
        Condition("alpha", "bohr^3"),
        Condition("gap", "hartree"),
        Condition("homo", "hartree"),
        Condition("lumo", "hartree"),
        Condition("mu", "debye"),
        Condition("Cv", "cal/(mol K)"),
        # Columns of the crystal sets.
        Condition("band_gap", "eV", "asinh"),
        Condition("formation_energy_per_atom", "eV"),
        Condition("e_above_hull", "eV/atom", "asinh", 0.01),
        Condition("e_form", "eV"),
        Condition("bulk_modulus", "GPa", "asinh", 10.0),
        Condition("magnetisation", "bohr magneton/angstrom^3", "asinh", 0.01),
        *map(_computed, COMPUTED),
    )
}
"""Properties that need no more than their name; columns and units of the shared data sets."""
