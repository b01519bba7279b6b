"""Element properties as arrays, and how alike two elements are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from pymatgen.core import Element


@dataclass(frozen=True)
class Similarity:
    """Which properties make two elements alike, and how many of the nearest templates are taken
    as equally good."""

    properties: tuple[str, ...]
    shortlist: int


SIMILARITIES: dict[str, Similarity] = {
    "chemical": Similarity(("mendeleev", "chi", "radius"), 1),
    "size": Similarity(("radius",), 10),
}
"""Two ways to choose a template. Match rates on validation crystals (300 of mp_20, 400 of
perov_5): "chemical" 64.7 and 28.0 %, "size" 46.3 and 55.8 %. In perov_5
every structure is one prototype, and a typical one of similar size is the better guess."""


def _number(value: object) -> float:
    return np.nan if value is None else float(value)  # type: ignore[arg-type]


@cache
def symbols() -> tuple[str, ...]:
    """The 118 element symbols in order of atomic number."""
    return tuple(Element.from_Z(z).symbol for z in range(1, 119))


@cache
def index_of() -> dict[str, int]:
    """Element symbol -> row in every array of this module (atomic number minus one)."""
    return {symbol: i for i, symbol in enumerate(symbols())}


def _filled(values: list[float]) -> np.ndarray:
    """Unknown values (noble gases' electronegativity, radii of short-lived elements) are taken
    from the neighbours by atomic number."""
    column = np.array(values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(column))
    return np.interp(np.arange(len(column)), known, column[known])


@cache
def property_columns() -> dict[str, np.ndarray]:
    """Property name -> (118,) values from pymatgen's ``Element``, gaps filled."""
    elements = [Element(s) for s in symbols()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns about every missing value
        raw = {
            "number": [float(e.Z) for e in elements],
            "mendeleev": [_number(e.mendeleev_no) for e in elements],
            "group": [float(e.group) for e in elements],
            "row": [float(e.row) for e in elements],
            "mass": [float(e.atomic_mass) for e in elements],
            "melting": [_number(e.melting_point) for e in elements],
            "chi": [_number(e.X) for e in elements],
            "radius": [_number(e.atomic_radius) for e in elements],
            "calculated_radius": [_number(e.atomic_radius_calculated) for e in elements],
            "molar_volume": [_number(e.molar_volume) for e in elements],
        }
    return {name: _filled(values) for name, values in raw.items()}


@cache
def distance_matrix(similarity: str = "chemical") -> np.ndarray:
    """(118, 118) dissimilarity of elements for substitution.

    Mean squared difference of standardised properties, by name in :data:`SIMILARITIES`: Mendeleev
    number (Pettifor, Solid State Commun. 51, 31, 1984), Pauling electronegativity, atomic radius.
    """
    columns = property_columns()
    names = SIMILARITIES[similarity].properties
    scaled = [columns[name] / columns[name].std() for name in names]
    return np.mean([(c[:, None] - c[None, :]) ** 2 for c in scaled], axis=0)
