"""Known structures as templates of a composition, all described in one frame.

The first template decides: its reduced cell, its sites in canonical order, one of them the origin.
The other templates, and in training the crystal itself, are described in that frame
(:mod:`sciar.tokenization.alignment`), so that site i of one stands for site i of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sciar.errors import RecordError
from sciar.records import Crystal
from sciar.retrieval.index import Hit, StructureIndex
from sciar.retrieval.substitution import repeated, substituted
from sciar.tokenization.alignment import aligned
from sciar.tokenization.cell import reduce_cell
from sciar.tokenization.order import canonical_order

_KEPT = 50_000
"""Reduced cells that are kept at most."""


@dataclass(frozen=True, eq=False)
class Recalled:
    """A crystal and the known structures that are like it, best first.

    Attributes:
        structure: the crystal.
        hits: what was found for its composition.
        index: fingerprint of the index that they are entries of.
    """

    structure: Crystal
    hits: tuple[Hit, ...]
    index: str

    def __len__(self) -> int:
        return len(self.structure)


@dataclass(frozen=True, eq=False)
class Template:
    """A known structure with its elements exchanged and its cell scaled.

    Attributes:
        lattice: (3, 3), rows are vectors, angstrom.
        frac: (n, 3) fractional coordinates.
        was: n elements of the known structure.
        species: n elements that take their places.
        distance: of the elements, see :class:`~sciar.retrieval.index.Hit`.
    """

    lattice: np.ndarray
    frac: np.ndarray
    was: tuple[str, ...]
    species: tuple[str, ...]
    distance: float


class Templates:
    """What hits give, in their reduced cells or those of the data; the cells are kept.

    Args:
        index: that the hits are entries of.
        reduce: whether cells are Niggli-reduced.
    """

    def __init__(self, index: StructureIndex, reduce: bool) -> None:
        self.index, self.reduce = index, reduce
        self._cells: dict[tuple[int, int], Crystal] = {}

    def of(self, hit: Hit) -> Template:
        """One known structure as a template of the composition that it was found for."""
        key = (hit.entry, hit.repeat)
        if key not in self._cells:
            if len(self._cells) >= _KEPT:
                self._cells.clear()
            self._cells[key] = self._cell(hit)
        known = self._cells[key]
        new = substituted(known, dict(hit.exchange))
        return Template(new.lattice, new.frac, known.species, new.species, hit.distance)

    def _cell(self, hit: Hit) -> Crystal:
        known = self.index.crystal(hit.entry)
        if hit.repeat > 1:
            known = repeated(known, hit.repeat)
        if not self.reduce:
            return known
        try:
            lattice, frac = reduce_cell(known.lattice, known.frac)
        except RecordError:
            return known  # a cell that cannot be reduced is still a template as it is
        return Crystal(lattice, known.species, frac)


@dataclass(frozen=True, eq=False)
class Frame:
    """Structures of one composition described in the frame of the first of them.

    Attributes:
        species: n elements in canonical order.
        lattices: (k, 3, 3).
        frac: (k, n, 3); the first site is at the origin, and each site next to that of the first
            structure.
        was: of each template, the n elements that its sites had.
        distances: of each template.
        crystal: likewise (3, 3) and (n, 3) of a crystal that is no template, or ``None``.
        order: (n,) which site of that crystal stands in each place.
    """

    species: tuple[str, ...]
    lattices: np.ndarray
    frac: np.ndarray
    was: tuple[tuple[str, ...], ...]
    distances: tuple[float, ...]
    crystal: tuple[np.ndarray, np.ndarray] | None = None
    order: np.ndarray | None = None

    def moved(self, augment: np.random.Generator) -> Frame:
        """The same structures with another site of the first element as origin, at random."""
        order, _ = canonical_order(self.species, self.frac[0], augment)

        def shifted(frac: np.ndarray) -> np.ndarray:
            return frac[..., order, :] - frac[..., order[:1], :]

        first = shifted(self.frac[0]) % 1.0
        frac = _near(shifted(self.frac), first)
        crystal = self.crystal
        if crystal is not None:
            crystal = (crystal[0], _near(shifted(crystal[1]), first))
        return Frame(
            species=tuple(self.species[i] for i in order),
            lattices=self.lattices,
            frac=frac,
            was=tuple(tuple(each[i] for i in order) for each in self.was),
            distances=self.distances,
            crystal=crystal,
            order=None if self.order is None else self.order[order],
        )


def framed(templates: Sequence[Template], crystal: Crystal | None = None) -> Frame:
    """The frame of one or more templates, with a crystal of the same composition in it.

    Args:
        templates: at least one, the one that decides first.
        crystal: in the cell that it is to be encoded in.
    """
    head = templates[0]
    order, frac = canonical_order(head.species, head.frac)
    species = tuple(head.species[i] for i in order)
    lattices, placed = [head.lattice], [frac]
    was = [tuple(head.was[i] for i in order)]
    for other in templates[1:]:
        lattice, near, which = aligned(
            other.species, other.lattice, other.frac, species, head.lattice, frac
        )
        lattices.append(lattice)
        placed.append(near)
        was.append(tuple(other.was[i] for i in which))
    distances = tuple(t.distance for t in templates)
    frame = Frame(species, np.array(lattices), np.array(placed), tuple(was), distances)
    if crystal is None:
        return frame
    own, near, which = aligned(
        crystal.species, crystal.lattice, crystal.frac, species, head.lattice, frac
    )
    return replace(frame, crystal=(own, near), order=which)


def _near(frac: np.ndarray, first: np.ndarray) -> np.ndarray:
    gap = frac - first
    return np.asarray(first + (gap - np.rint(gap)))
