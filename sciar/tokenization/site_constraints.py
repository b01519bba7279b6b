"""Constraints of crystals that hold in every sample: a space group, and fixed sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.tokenization.cell import from_parameters, to_parameters
from sciar.tokenization.symmetry import Filling, SpaceGroup, nearest

Wrap = Callable[[np.ndarray], np.ndarray]
_AWAY = np.array([0.0131, 0.0173, 0.0197])
"""Steps off a place that is more special than what was chosen."""


class FittedCell:
    """A cell that the space group keeps: the metric is the mean over its operations.

    Args:
        group: space group.
        atoms: in the cell.
    """

    free = False

    def __init__(self, group: SpaceGroup, atoms: int) -> None:
        self.group, self.atoms = group, atoms

    def given(self) -> Mapping[int, np.ndarray]:
        """Nothing: the cell is drawn."""
        return {}

    def settle(self, index: int, value: np.ndarray) -> list[np.ndarray]:
        """The nearest cell of the group; one that is none stays as it is, and fails later."""
        try:
            lattice = from_parameters(value.astype(np.float64), self.atoms)
        except RecordError:
            return [value]
        fitted = np.linalg.cholesky(self.group.fitted_metric(lattice))
        return [to_parameters(fitted, self.atoms)]


class SymmetricSites:
    """Sites of one asymmetric unit; those that follow from them by symmetry are written with them.

    Where a site is drawn it is moved to the nearest Wyckoff position that leaves a way to place all
    other atoms, so no sample fails. The first site of the sequence is its origin; what is drawn
    for it says where in the cell of the group this origin lies.

    Args:
        group: space group.
        species: element of each slot; atoms of one element stand together.
        wrap: fractions -> the range that payloads have.
    """

    free = True

    def __init__(self, group: SpaceGroup, species: Sequence[str], wrap: Wrap) -> None:
        self.group, self.wrap = group, wrap
        runs = [len(list(run)) for _, run in groupby(species)]
        self.element = np.repeat(np.arange(len(runs)), runs)
        self.filling = Filling(group, runs)
        self.origin = np.zeros(3)

    def given(self) -> Mapping[int, np.ndarray]:
        """Nothing before the first site is drawn."""
        return {}

    def settle(self, index: int, value: np.ndarray) -> list[np.ndarray]:
        """The orbit of the site, the site itself first."""
        element = int(self.element[index])
        spaces = self.filling.spaces
        drawn = value.astype(np.float64) + self.origin
        space, site = nearest(spaces, self.filling.open(element), drawn)
        orbit = self.group.orbit(site)
        for attempt in range(1, 50):
            if len(orbit) == spaces.multiplicity[space]:
                break
            site = site + spaces.projection[space] @ (attempt * _AWAY)
            orbit = self.group.orbit(site)
        self.filling.take(element, space)
        if index == 0:
            self.origin = orbit[0]
        rows = (orbit - self.origin) % 1.0
        rows[np.abs(rows - 1.0) < 1e-9] = 0.0
        order = np.lexsort(rows[1:].T[::-1])
        rows = np.concatenate([rows[:1], rows[1:][order]])
        made = [self.wrap(row) for row in rows]
        if index == 0:
            made[0] = np.zeros(3)
        return made


def fixed_sites(sites: Any, counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Element -> (k, 3) fractions of its fixed sites, from ``[{element, frac}, ...]``.

    Raises:
        UsageError: another form.
        RecordError: an element that the composition has not, or not so often; coordinates that are
            no three finite numbers; or two sites at one place.
    """
    if isinstance(sites, str) or not isinstance(sites, Sequence):
        raise UsageError("sites are a list of {element: SYMBOL, frac: [x, y, z]}")
    found: dict[str, list[np.ndarray]] = {}
    for number, site in enumerate(sites):
        if not isinstance(site, Mapping) or set(site) != {"element", "frac"}:
            raise UsageError(f"site {number}: give element and frac, not {site!r}")
        try:
            frac = np.asarray(site["frac"], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise RecordError(f"site {number}: {error}", field="sites") from error
        if frac.shape != (3,) or not np.isfinite(frac).all():
            raise RecordError(f"site {number}: frac is three finite numbers", field="sites")
        found.setdefault(str(site["element"]), []).append(frac)
    places = np.array([f for own in found.values() for f in own])
    for i, place in enumerate(places):
        apart = places[:i] - place
        if (np.abs(apart - np.rint(apart)).max(axis=1) < 1e-3).any():
            raise RecordError(f"two fixed sites are at {place.tolist()}", field="sites")
    for symbol, own in found.items():
        if len(own) > counts.get(symbol, 0):
            raise RecordError(
                f"{len(own)} fixed sites of {symbol}, but the composition has "
                f"{counts.get(symbol, 0)}",
                field="sites",
            )
    return {symbol: np.array(own) for symbol, own in found.items()}
