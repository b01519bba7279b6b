"""Space groups as projections: where sites may lie, how many there then are, and which cells fit.

A site that some operations leave in place lies in their common fixed space: a point, a line, a
plane or all of the cell. In steps of 24ths of the cell the operations of all space groups are whole
numbers, so the spaces are found by looking which operations fix which points of such a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from sciar.errors import RecordError

GRID = 24
NEAR = 1e-4
"""Fractions of a cell closer than this are one site."""
_SHIFTS = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)


@dataclass(frozen=True, eq=False)
class Spaces:
    """S spaces in which sites may lie, of all Wyckoff positions of a group.

    Attributes:
        projection: (S, 3, 3) and ``offset`` (S, 3): a site x is moved to ``projection x + offset``.
        offset: see ``projection``.
        multiplicity: (S,) sites of the cell that follow from one.
        point: (S,) for a space that is one point, the number of its Wyckoff position; else -1.
    """

    projection: np.ndarray
    offset: np.ndarray
    multiplicity: np.ndarray
    point: np.ndarray


class SpaceGroup:
    """One of the 230 groups, in pymatgen's standard setting (rhombohedral ones on hexagonal axes).

    Attributes:
        number: 1 to 230.
        symbol: Hermann-Mauguin.
        rotations: (M, 3, 3) integers and ``translations`` (M, 3), centring included.
        translations: see ``rotations``.
    """

    def __init__(self, number: int) -> None:
        from pymatgen.symmetry.groups import SpaceGroup as Listed

        listed = Listed.from_int_number(number)
        operations = list(listed.symmetry_ops)
        self.number, self.symbol = number, str(listed.symbol)
        self.rotations = np.array([np.rint(o.rotation_matrix) for o in operations]).astype(int)
        self.translations = np.array([o.translation_vector for o in operations]) % 1.0

    def spaces(self) -> Spaces:
        """All spaces in which a site may lie."""
        return _spaces(self.number)

    def orbit(self, site: np.ndarray) -> np.ndarray:
        """(m, 3) all sites that follow from one, itself first, in [0, 1)."""
        images = (self.rotations @ site + self.translations) % 1.0
        kept = [site % 1.0]
        for image in images:
            apart = np.array(kept) - image
            if (np.abs(apart - np.rint(apart)).max(1) > NEAR).all():
                kept.append(image)
        return np.array(kept)

    def fitted_metric(self, lattice: np.ndarray) -> np.ndarray:
        """(3, 3) metric tensor of the nearest cell that the rotations keep."""
        metric = lattice @ lattice.T
        turned = np.einsum("mji,jk,mkl->mil", self.rotations, metric, self.rotations)
        return turned.mean(0)


@lru_cache(maxsize=64)
def space_group(name: int | str) -> SpaceGroup:
    """A group by its number or symbol, such as 225 or ``Fm-3m``.

    Raises:
        RecordError: there is none.
    """
    from pymatgen.symmetry.groups import SpaceGroup as Listed

    text = str(name).strip()
    try:
        number = int(text) if text.isdigit() else int(Listed(text).int_number)
        if not 1 <= number <= 230:
            raise ValueError(number)
    except (ValueError, TypeError) as error:
        raise RecordError(
            f"{name!r} is no space group; give a number from 1 to 230 or a symbol such as Fm-3m",
            field="space_group",
        ) from error
    return SpaceGroup(number)


@cache
def _spaces(number: int) -> Spaces:
    group = space_group(number)
    points = np.stack(np.meshgrid(*[np.arange(GRID)] * 3, indexing="ij"), -1).reshape(-1, 3)
    shifts = np.rint(GRID * group.translations).astype(int)
    fixes = np.stack(
        [((points @ (w - np.eye(3, dtype=int)).T + t) % GRID == 0).all(1)
         for w, t in zip(group.rotations, shifts, strict=True)], 1,
    )  # fmt: skip
    kinds, kind_of = np.unique(fixes, axis=0, return_inverse=True)
    projections, offsets, counts, dims = [], [], [], []
    for k, fixed in enumerate(kinds):
        projection = group.rotations[fixed].mean(0)
        here = points[kind_of.reshape(-1) == k] / GRID
        own = np.unique(np.round(here - here @ projection.T, 6), axis=0)
        projections += [projection] * len(own)
        offsets += list(own)
        counts += [len(group.rotations) // int(fixed.sum())] * len(own)
        dims += [round(float(np.trace(projection)))] * len(own)
    point = np.full(len(dims), -1)
    known: dict[bytes, int] = {}
    for i in np.flatnonzero(np.array(dims) == 0):
        orbit = np.unique(np.rint(group.orbit(offsets[i]) * GRID).astype(int) % GRID, axis=0)
        point[i] = known.setdefault(orbit.tobytes(), len(known))
    return Spaces(np.array(projections), np.array(offsets), np.array(counts), point)


class Filling:
    """Which Wyckoff positions are left for a number of atoms of each element.

    A position that is a point holds one element once; others may be taken again and again.

    Args:
        group: space group.
        counts: atoms of each element, in order.

    Raises:
        RecordError: no choice of positions gives these numbers; the message names multiplicities.
    """

    def __init__(self, group: SpaceGroup, counts: Sequence[int]) -> None:
        self.spaces = group.spaces()
        loose = self.spaces.point < 0
        self.loose = tuple(sorted(set(self.spaces.multiplicity[loose].tolist())))
        self.points = {
            int(p): int(m)
            for p, m in zip(self.spaces.point, self.spaces.multiplicity, strict=True)
            if p >= 0
        }
        self.left, self.used = list(counts), set[int]()
        self._known: dict[tuple[tuple[int, ...], tuple[tuple[int, int], ...]], bool] = {}
        if not self._possible(tuple(self.left), self._free()):
            found = sorted({*self.loose, *self.points.values()})
            raise RecordError(
                f"no choice of Wyckoff positions of {group.symbol} ({group.number}) holds "
                f"{', '.join(map(str, counts))} atoms of the elements; multiplicities are "
                f"{', '.join(map(str, found))}",
                field="space_group",
            )

    def _free(self) -> tuple[tuple[int, int], ...]:
        """(multiplicity, points of it that are not taken)."""
        found: dict[int, int] = {}
        for p, m in self.points.items():
            found[m] = found.get(m, 0) + (p not in self.used)
        return tuple(sorted(found.items()))

    def _possible(self, left: tuple[int, ...], free: tuple[tuple[int, int], ...]) -> bool:
        at = next((i for i, n in enumerate(left) if n), None)
        if at is None:
            return True
        key = left, free
        if key not in self._known:
            self._known[key] = False
            self._known[key] = any(
                self._possible((*left[:at], left[at] - m, *left[at + 1 :]), after)
                for m, after in self._choices(left[at], free)
            )
        return self._known[key]

    def _choices(
        self, atoms: int, free: tuple[tuple[int, int], ...]
    ) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
        """Multiplicities that fit, and the points that are free then."""
        found = [(m, free) for m in self.loose if m <= atoms]
        for i, (m, count) in enumerate(free):
            if count and m <= atoms:
                found.append((m, (*free[:i], (m, count - 1), *free[i + 1 :])))
        return found

    def open(self, element: int) -> np.ndarray:
        """(S,) bool: spaces that the next site of an element may lie in."""
        atoms, free = self.left[element], self._free()
        fits: dict[tuple[int, bool], bool] = {}
        for m in set(self.spaces.multiplicity.tolist()):
            for is_point in (False, True):
                after = free
                if is_point:
                    after = tuple((k, n - (k == m)) for k, n in free)
                left = list(self.left)
                left[element] -= m
                fits[m, is_point] = m <= atoms and self._possible(tuple(left), after)
        taken = np.isin(self.spaces.point, list(self.used))
        return np.array(
            [fits[int(m), p >= 0] and not t
             for m, p, t in zip(self.spaces.multiplicity, self.spaces.point, taken, strict=True)]
        )  # fmt: skip

    def take(self, element: int, space: int) -> None:
        """Put one site, with all that follow from it, into a space."""
        self.left[element] -= int(self.spaces.multiplicity[space])
        if self.spaces.point[space] >= 0:
            self.used.add(int(self.spaces.point[space]))


def nearest(spaces: Spaces, open: np.ndarray, site: np.ndarray) -> tuple[int, np.ndarray]:
    """The open space that is nearest to a site, in fractions, and the site moved there."""
    index = np.flatnonzero(open)
    images = site % 1.0 + _SHIFTS
    moved = np.einsum("sij,lj->sli", spaces.projection[index], images)
    moved = moved + spaces.offset[index][:, None]
    distance = np.linalg.norm(moved - images, axis=-1)
    # Of spaces in one another the larger one, which the site need not leave: less is decided.
    penalty = distance - 1e-6 * spaces.multiplicity[index][:, None]
    s, image = np.unravel_index(int(penalty.argmin()), penalty.shape)
    return int(index[s]), moved[s, image] % 1.0
