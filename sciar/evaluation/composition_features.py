"""Composition features in the manner of Magpie (Ward et al., npj Comput. Mater. 2, 16028, 2016).

Six statistics (minimum, maximum, range, mean, mean absolute deviation, mode), weighted by atom
fractions, of elemental properties. Magpie's table has 22 properties. The 18 of them that follow
from pymatgen's ``Element`` are used here, with the molar volume in place of the ground state's
volume per atom; the ground state's band gap, magnetic moment and space group are left out. So
coverage computed with them is close to, but not the same number as, one computed with matminer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from pymatgen.core import Element

from sciar.retrieval.elements import index_of, property_columns, symbols

MAGPIE_FEATURES = 132
"""Features of the original set, 22 properties of six statistics; see :func:`distance_scale`."""

_CAPACITY = {"s": 2, "p": 6, "d": 10, "f": 14}


def _valence_electrons(symbol: str) -> dict[str, int]:
    """Electrons beyond the noble-gas core by subshell letter; full d and f shells below the
    outermost s count, as in Magpie. Where pymatgen has no configuration (beyond lawrencium), the
    last known element's is used."""
    element = Element(symbol)
    while "Electronic structure" not in element.data:
        element = Element.from_Z(element.Z - 1)
    core = max((g for g in (2, 10, 18, 36, 54, 86) if g < element.Z), default=0)
    counts = dict.fromkeys(_CAPACITY, 0)
    filled = 0
    for _, letter, electrons in element.full_electronic_structure:
        filled += electrons
        if filled > core:
            counts[letter] += electrons
    return counts


@cache
def property_table() -> np.ndarray:
    """(118, 19) elemental properties."""
    columns = property_columns()
    names = ("number", "mendeleev", "mass", "melting", "group", "row")
    base = [columns[name] for name in (*names, "radius", "chi", "molar_volume")]
    valence = [_valence_electrons(s) for s in symbols()]
    shells = [np.array([v[x] for v in valence], dtype=np.float64) for x in _CAPACITY]
    empty = [
        np.array([_CAPACITY[x] - v[x] if v[x] else 0 for v in valence], dtype=np.float64)
        for x in _CAPACITY
    ]
    return np.stack([*base, *shells, sum(shells), *empty, sum(empty)], axis=1)


def composition_features(composition: Mapping[str, int]) -> np.ndarray:
    """(114,) statistics of the elemental properties, six per property."""
    rows = np.array([index_of()[s] for s in composition])
    weights = np.array([composition[s] for s in composition], dtype=np.float64)
    weights /= weights.sum()
    values = property_table()[rows]
    low, high = values.min(0), values.max(0)
    mean = weights @ values
    deviation = weights @ np.abs(values - mean)
    frequent = np.isclose(weights, weights.max())
    mode = values[frequent].min(0)
    return np.stack([low, high, high - low, mean, deviation, mode], axis=1).reshape(-1)


def distance_scale() -> float:
    """Factor that brings distances of this shorter vector to the scale of Magpie's 132, for which
    the published coverage cut-offs were chosen."""
    return float(np.sqrt(MAGPIE_FEATURES / (6 * property_table().shape[1])))
