"""An index of known crystals: exact search by pattern of counts, likeness of elements and size.

All crystals lie in flat arrays; a search looks at the cells of one pattern at once. Cells with the
wanted counts come first, then smaller cells of the same reduced pattern, which are repeated.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sciar.errors import UsageError
from sciar.records import Crystal, formula_text
from sciar.retrieval.elements import (
    SIMILARITIES,
    distance_matrix,
    index_of,
    property_columns,
    symbols,
)
from sciar.retrieval.patterns import Pattern, best_assignment, counted, ordered, reduced
from sciar.retrieval.substitution import substituted

DENSE = 0.2
"""Quantile of the relative volume that is preferred among equals: chosen on the validation part of
carbon_24, where elements decide nothing (24.0 % matched of 700; median 16.1 %)."""


@dataclass(frozen=True)
class Hit:
    """One known structure that was found for a composition.

    Attributes:
        entry: its number in the index.
        id: its id.
        formula: content of its cell, before the exchange.
        distance: mean dissimilarity of the elements that are exchanged, over the atoms; 0 for the
            same elements (see :func:`sciar.retrieval.elements.distance_matrix`).
        exchange: pairs (element, element that takes its places).
        repeat: how many of its cells make one of the wanted size.
    """

    entry: int
    id: str
    formula: str
    distance: float
    exchange: tuple[tuple[str, str], ...]
    repeat: int = 1

    @property
    def same(self) -> bool:
        """Whether the known structure has the wanted composition (up to a multiple) itself."""
        return all(old == new for old, new in self.exchange)

    def to_dict(self) -> dict[str, object]:
        """Plain form for reports and JSON."""
        changed = {old: new for old, new in self.exchange if old != new}
        return {
            "id": self.id,
            "formula": self.formula,
            "distance": self.distance,
            "exchange": changed,
            "repeat": self.repeat,
        }


@dataclass(frozen=True, eq=False)
class _Group:
    """Cells of one pattern: (n,) entries, to be preferred in this order among equals, and (n, m)
    element rows in the order of the pattern."""

    entries: np.ndarray
    rows: np.ndarray


class StructureIndex:
    """Known crystals, searched by composition.

    Args:
        ids: N names.
        lattices: (N, 3, 3), rows are vectors, angstrom.
        offsets: (N + 1,) where the sites of each crystal begin.
        elements: (sites,) element rows: atomic number minus one.
        frac: (sites, 3) fractional coordinates.
    """

    def __init__(
        self,
        ids: Sequence[str],
        lattices: np.ndarray,
        offsets: np.ndarray,
        elements: np.ndarray,
        frac: np.ndarray,
    ) -> None:
        self.ids = list(ids)
        self.lattices, self.offsets = lattices, offsets
        self.elements, self.frac = elements, frac
        count, sites = len(self.ids), len(elements)
        if lattices.shape != (count, 3, 3) or offsets.shape != (count + 1,):
            raise UsageError(f"{count} crystals, {lattices.shape} lattices, {len(offsets)} offsets")
        if frac.shape != (sites, 3) or (count and (offsets[0] != 0 or offsets[-1] != sites)):
            raise UsageError(f"{sites} sites, but {frac.shape} coordinates up to {offsets[-1:]}")
        self._groups = self._grouped() if count else {}
        self._multiples: dict[Pattern, list[Pattern]] = defaultdict(list)
        for pattern in self._groups:
            self._multiples[reduced(pattern)].append(pattern)

    @classmethod
    def of(cls, crystals: Iterable[tuple[str, Crystal]]) -> StructureIndex:
        """An index of named crystals.

        Raises:
            UsageError: a symbol that is no element.
        """
        pairs = list(crystals)
        rows, lengths = [], [0]
        for name, crystal in pairs:
            try:
                rows.append([index_of()[s] for s in crystal.species])
            except KeyError as error:
                raise UsageError(f"{name}: {error.args[0]!r} is no element") from error
            lengths.append(len(crystal))
        lattices = np.array([c.lattice for _, c in pairs]).reshape(-1, 3, 3)
        frac = np.concatenate([np.zeros((0, 3)), *(c.frac for _, c in pairs)])
        elements = np.array([row for each in rows for row in each], dtype=np.uint8)
        return cls([name for name, _ in pairs], lattices, np.cumsum(lengths), elements, frac)

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: StructureIndex) -> StructureIndex:
        """The entries of both; ids may repeat."""
        return StructureIndex(
            [*self.ids, *other.ids],
            np.concatenate([self.lattices, other.lattices]),
            np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            np.concatenate([self.elements, other.elements]),
            np.concatenate([self.frac, other.frac]),
        )

    def crystal(self, entry: int) -> Crystal:
        """A known crystal by its number."""
        span = slice(self.offsets[entry], self.offsets[entry + 1])
        names = symbols()
        species = tuple(names[row] for row in self.elements[span])
        return Crystal(self.lattices[entry], species, self.frac[span])

    def place(self, id: str) -> int:
        """The number of the first entry of this id.

        Raises:
            UsageError: there is none.
        """
        found = self._places.get(id)
        if found is None:
            raise UsageError(f"none of {len(self):,} known structures has the id {id!r}")
        return found

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: i for i, name in reversed(list(enumerate(self.ids)))}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over everything held."""
        digest = hashlib.sha256("\n".join(self.ids).encode())
        for array in (self.lattices, self.offsets, self.elements, self.frac):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def nearest(
        self,
        composition: Mapping[str, int],
        k: int = 1,
        *,
        similarity: str = "chemical",
        exclude: bool = False,
        skip: Collection[str] = (),
    ) -> list[Hit]:
        """The k known structures that are most like a composition, best first.

        Args:
            composition: element -> atoms in the wanted cell.
            k: how many at most.
            similarity: which elements are alike, a name of
                :data:`~sciar.retrieval.elements.SIMILARITIES`.
            exclude: leave out structures of the same reduced composition.
            skip: ids that are left out.

        Raises:
            UsageError: an unknown element, a count below 1, or an unknown similarity.
        """
        if similarity not in SIMILARITIES:
            known = list(SIMILARITIES)
            raise UsageError(f"unknown similarity {similarity!r}; known: {known}")
        pattern, wanted = ordered(composition)
        found: list[Hit] = []
        for candidate in self._candidates(pattern):
            repeat, more = pattern[0] // candidate[0], k - len(found) + len(skip)
            hits = self._of_pattern(candidate, wanted, more, similarity, exclude, repeat)
            found += [hit for hit in hits if hit.id not in skip]
            if len(found) >= k:
                break
        return found[:k]

    def hit(self, composition: Mapping[str, int], entry: int) -> Hit | None:
        """A given entry as a template of a composition; ``None`` where its counts do not fit."""
        pattern, wanted = ordered(composition)
        for candidate in self._candidates(pattern):
            group = self._groups[candidate]
            place = np.flatnonzero(group.entries == entry)
            if len(place):
                table = distance_matrix("chemical")
                costs, assigned = best_assignment(candidate, wanted, group.rows[place], table)
                repeat = pattern[0] // candidate[0]
                return self._hit(group, int(place[0]), float(costs[0]), assigned[0], repeat)
        return None

    def template(self, hit: Hit, *, rescale: bool = True) -> Crystal:
        """What a hit becomes for the composition that it was found for."""
        crystal = self.crystal(hit.entry)
        return substituted(crystal, dict(hit.exchange), repeat=hit.repeat, rescale=rescale)

    def _candidates(self, pattern: Pattern) -> list[Pattern]:
        """Patterns with entries, the exact one first, then the largest that divides it."""
        known = self._multiples.get(reduced(pattern), [])
        return sorted((p for p in known if pattern[0] % p[0] == 0), reverse=True)

    def _of_pattern(
        self,
        pattern: Pattern,
        wanted: np.ndarray,
        k: int,
        similarity: str,
        exclude: bool,
        repeat: int,
    ) -> list[Hit]:
        group = self._groups[pattern]
        costs, assigned = best_assignment(pattern, wanted, group.rows, distance_matrix(similarity))
        # Rows and wanted elements are in the same canonical order.
        usable = ~(group.rows == wanted).all(1) if exclude else np.ones(len(costs), bool)
        shortlist = SIMILARITIES[similarity].shortlist
        places = _smallest(np.where(usable, costs, np.inf), max(k, shortlist))
        # Those of the shortlist count as equal, and rows are in order of preference.
        places = np.concatenate([np.sort(places[:shortlist]), places[shortlist:]])[:k]
        return [
            self._hit(group, int(i), float(costs[i]), assigned[i], repeat)
            for i in places
            if usable[i]
        ]

    def _hit(
        self, group: _Group, place: int, cost: float, assigned: np.ndarray, repeat: int
    ) -> Hit:
        names, entry = symbols(), int(group.entries[place])
        old = [names[row] for row in group.rows[place]]
        counts = self.crystal(entry).composition
        ranked = sorted(old, key=lambda s: property_columns()["chi"][index_of()[s]])
        return Hit(
            entry=entry,
            id=self.ids[entry],
            formula=formula_text({s: counts[s] for s in ranked}),
            distance=cost,
            exchange=tuple(zip(old, (names[row] for row in assigned), strict=True)),
            repeat=repeat,
        )

    def _grouped(self) -> dict[Pattern, _Group]:
        starts, rows, counts = counted(self.offsets, self.elements)
        packing = self._packing()
        sizes = np.diff(starts)
        groups = {}
        for size in np.unique(sizes):
            entries = np.flatnonzero(sizes == size)
            at = starts[entries][:, None] + np.arange(size)
            patterns, which = np.unique(counts[at], axis=0, return_inverse=True)
            which = which.reshape(-1)
            order = np.argsort(which, kind="stable")
            ends = np.cumsum(np.bincount(which, minlength=len(patterns)))
            for number, members in enumerate(np.split(order, ends[:-1])):
                relative = packing[entries[members]]
                away = np.abs(relative - np.quantile(relative, DENSE))
                members = members[np.argsort(away, kind="stable")]
                key = tuple(int(n) for n in patterns[number])
                groups[key] = _Group(entries[members], rows[at[members]].astype(np.int64))
        return groups

    def _packing(self) -> np.ndarray:
        """(N,) cell volumes relative to the sums of the elements' molar volumes."""
        volumes = property_columns()["molar_volume"][self.elements]
        return np.abs(np.linalg.det(self.lattices)) / np.add.reduceat(volumes, self.offsets[:-1])


def _smallest(costs: np.ndarray, k: int) -> np.ndarray:
    """Places of the k smallest numbers, rising; equal ones in order of place."""
    if k < len(costs):
        # All that equal the k-th one must compete, or the order of places would not decide.
        limit = np.partition(costs, k - 1)[k - 1]
        within = np.flatnonzero(costs <= limit)
    else:
        within = np.arange(len(costs))
    return within[np.argsort(costs[within], kind="stable")][:k]
