"""Programs about matter <-> structures: cells and atoms (``crystal``, ``cell``), columns
(``micrograph``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sciar.errors import RecordError
from sciar.records import Call, Crystal, Molecule, Program
from sciar.tokenization.cell import reduce_cell
from sciar.tokenization.elements import NUMBER, SYMBOLS
from sciar.tokenization.programs.language import Language

PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")


def crystal_to_program(crystal: Crystal, atoms: bool = True) -> Program:
    """The Niggli-reduced cell, in angstrom and degrees, and with ``atoms`` what it holds.

    Raises:
        RecordError: the cell cannot be reduced.
    """
    lattice, frac = reduce_cell(crystal.lattice, crystal.frac)
    calls = [Call("cell", {k: (v,) for k, v in zip(PARAMETERS, _six(lattice), strict=True)})]
    if atoms:
        places = np.asarray(frac % 1.0)
        calls += [
            Call("add", {"Z": NUMBER[symbol], "pos": tuple(place)})
            for symbol, place in zip(crystal.species, places, strict=True)
        ]
    return Program(tuple(calls))


def lattice_of(program: Program) -> np.ndarray:
    """(3, 3) rows of the cell of a program, a along x.

    Raises:
        RecordError: there is none, or its angles close no cell.
    """
    cell = next((call for call in program.calls if call.name == "cell"), None)
    if cell is None:
        raise RecordError("the program has no cell()", field="cell")
    a, b, c, *angles = (_real(cell, key) for key in PARAMETERS)
    ca, cb, cg = np.cos(np.radians(angles))
    sg = np.sin(np.radians(angles[2]))
    cx, cy = cb, (ca - cb * cg) / sg
    height = 1.0 - cx * cx - cy * cy
    if height < 1e-4:
        raise RecordError(f"angles of {angles} degrees close no cell", field="cell")
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cx, c * cy, c * np.sqrt(height)]])


def program_to_crystal(program: Program) -> Crystal:
    """The inverse of :func:`crystal_to_program`, for programs with atoms.

    Raises:
        RecordError: no cell or no atoms, sites that are not full, or angles that close no cell.
    """
    atoms = [call for call in program.calls if call.name == "add"]
    if not atoms or "Z" not in atoms[0].arguments:
        raise RecordError("the program places no atoms, so it is no crystal", field="add")
    if any(_real(call, "occupancy", 1.0) < 0.995 for call in atoms):
        raise RecordError("a site is not full; a crystal here has full sites", field="occupancy")
    symbols = tuple(SYMBOLS[_count(call, "Z") - 1] for call in atoms)
    return Crystal(lattice_of(program), symbols, np.array([_reals(c, "pos") for c in atoms]))


def columns_of(program: Program) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a micrograph: (n, 2) places in angstrom, (n,) atomic numbers, (n,) atoms a column."""
    columns = [call for call in program.calls if call.name == "col"]
    places = np.array([_reals(call, "xy") for call in columns]).reshape(-1, 2)
    numbers = np.array([_count(call, "Z") for call in columns], dtype=int)
    counts = np.array([_count(call, "n", 1) for call in columns], dtype=int)
    return places, numbers, counts


def columns_to_points(program: Program) -> Molecule:
    """The columns of a micrograph as points in the plane z = 0.

    Raises:
        RecordError: there is no column.
    """
    places, numbers, _ = columns_of(program)
    if not len(places):
        raise RecordError("the program has no columns", field="col")
    return Molecule(
        tuple(SYMBOLS[z - 1] for z in numbers), np.pad(places, ((0, 0), (0, 1))), None, None
    )


def makes(language: Language) -> str:
    """Kind of structures that programs of a language describe, in :data:`sciar.records.KINDS`;
    empty: none."""
    arguments = {name: set(call.arguments) for name, call in language.calls.items()}
    if {"Z", "xy"} <= arguments.get("col", set()):
        return "molecules"
    atoms = {"Z", "pos"} <= arguments.get("add", set())
    return "crystals" if atoms and set(PARAMETERS) <= arguments.get("cell", set()) else ""


def structure_of(program: Program) -> Crystal | Molecule:
    """What a program about matter describes, for files of structures.

    Raises:
        RecordError: it describes no matter.
    """
    if any(call.name == "col" for call in program.calls):
        return columns_to_points(program)
    return program_to_crystal(program)


def _six(lattice: np.ndarray) -> list[float]:
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    return [*lengths.tolist(), *np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).tolist()]


def _reals(call: Call, key: str) -> tuple[float, ...]:
    value: Any = call.arguments.get(key)
    if not isinstance(value, tuple):
        raise RecordError(f"{call.name}() lacks the numbers {key}", field=key)
    return value


def _real(call: Call, key: str, default: float | None = None) -> float:
    if default is not None and key not in call.arguments:
        return default
    return _reals(call, key)[0]


def _count(call: Call, key: str, default: int | None = None) -> int:
    value = call.arguments.get(key, default)
    if not isinstance(value, int):
        raise RecordError(f"{call.name}() lacks the whole number {key}", field=key)
    return value
