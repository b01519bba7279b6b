"""Element symbols and atomic numbers, checked."""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import atomic_numbers, chemical_symbols

from sciar.errors import RecordError


def checked_symbols(symbols: Iterable[object], field: str = "species") -> tuple[str, ...]:
    """The symbols as given, if each is one of the 118 elements; else :class:`RecordError`."""
    result = tuple(str(symbol) for symbol in symbols)
    unknown = sorted({symbol for symbol in result if atomic_numbers.get(symbol, 0) == 0})
    if unknown:
        raise RecordError(
            f"unknown element {', '.join(map(repr, unknown))}; use symbols such as H, Na, Cl",
            field=field,
        )
    return result


def symbols_of(numbers: Iterable[object], field: str = "z") -> tuple[str, ...]:
    """Symbols of atomic numbers 1 to 118; anything else raises :class:`RecordError`."""
    result = []
    for number in numbers:
        try:
            z = int(number)  # type: ignore[call-overload]
        except (TypeError, ValueError) as error:
            raise RecordError(f"{number!r} is not an atomic number", field=field) from error
        if not 1 <= z < len(chemical_symbols):
            raise RecordError(f"{z} is not the atomic number of an element", field=field)
        result.append(chemical_symbols[z])
    return tuple(result)


def number_of(symbol: str) -> int:
    """Atomic number of an element symbol."""
    return int(atomic_numbers[symbol])
