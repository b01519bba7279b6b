"""CIF blocks without symmetry, as generated and computed structures are usually distributed.

Reading them needs no symmetry expansion and no merging of sites: the atoms come out as written, in
their order, several times faster than through pymatgen's general parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sciar.datasets.formats.elements import checked_symbols
from sciar.errors import RecordError
from sciar.records import Crystal

_OPERATIONS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
)
_SYMBOL = re.compile(r"[A-Z][a-z]?")
_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def crystal_of_block(data: Mapping[str, Any]) -> Crystal | None:
    """The structure of a parsed block, or ``None`` if it needs the general parser.

    Args:
        data: item name -> text or list of texts, as in pymatgen's ``CifBlock.data``.

    Raises:
        RecordError: unknown element, singular or non-finite cell, coordinates missing.
    """
    if not _is_p1(data):
        return None
    symbols = _texts(data, "_atom_site_type_symbol")
    columns = [_texts(data, f"_atom_site_fract_{axis}") for axis in "xyz"]
    occupancies = _texts(data, "_atom_site_occupancy") or ["1"] * len(symbols)
    if not symbols or any(len(column) != len(symbols) for column in (*columns, occupancies)):
        return None
    try:
        numbers = [[_number(item) for item in column] for column in columns]
        full = all(_number(item) == 1.0 for item in occupancies)
        cell = [_number(data[f"_cell_{name}"]) for name in _CELL]
    except (ValueError, KeyError, TypeError):
        return None
    if not full:
        return None
    elements = [m.group() if (m := _SYMBOL.match(symbol)) else symbol for symbol in symbols]
    return Crystal(_lattice(cell), checked_symbols(elements, "cif"), np.array(numbers).T)


def _is_p1(data: Mapping[str, Any]) -> bool:
    found = [_texts(data, name) for name in _OPERATIONS if name in data]
    return bool(found) and all(
        [text.replace(" ", "").lower() for text in operations] == ["x,y,z"] for operations in found
    )


def _texts(data: Mapping[str, Any], name: str) -> list[str]:
    item = data.get(name, [])
    return [item] if isinstance(item, str) else list(item)


def _number(text: str) -> float:
    """A CIF number: a standard uncertainty in parentheses is dropped."""
    return float(text.split("(")[0])


def _lattice(cell: list[float]) -> np.ndarray:
    from pymatgen.core import Lattice

    if not np.isfinite(cell).all() or min(cell) <= 0:
        raise RecordError(f"the cell parameters {cell} are not positive numbers", field="lattice")
    with np.errstate(invalid="ignore"):
        return np.asarray(Lattice.from_parameters(*cell).matrix)
