"""Crystals as octrees: formula, lattice parameters, then the cell itself as the box of an octree.

The octree halves the cell vectors, so it holds a cell of any shape and size. Leaf cells are centred
on the simplest fractions (0, 1/2, 1/4, ..), where atoms like to be, and wrap around: a site just
below 1 is in the first cell, beside one just above 0. The first site of the first element is the
origin. The lattice is six numbers free of rotation, as in :mod:`sciar.tokenization.crystal`, so no
sample is lost to fitting a lattice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.records import Crystal, Structure
from sciar.tokenization.cell import from_parameters, reduce_cell, to_parameters
from sciar.tokenization.crystal import CELLS, check_cell
from sciar.tokenization.cursor import Request
from sciar.tokenization.elements import SYMBOLS, canonical_key
from sciar.tokenization.layout import Slots, SlotSpec, Words
from sciar.tokenization.octree import build, morton
from sciar.tokenization.octree_grid import MAX_LEVELS
from sciar.tokenization.octree_tokenizer import OctreeTokenizer
from sciar.tokenization.octree_walk import Box
from sciar.tokenization.order import canonical_order
from sciar.tokenization.vocabulary import Vocabulary


class OctreeCrystalTokenizer(OctreeTokenizer):
    """Crystal <-> tokens.

    Args:
        task: ``csp`` (composition given) or ``denovo`` (generated, or given).
        max_atoms: largest cell.
        levels: halvings of each cell vector.
        cell: ``niggli`` reduces every cell first; ``as-given`` keeps the cell of the data.
        labels: elements; by default all.
        drop: see :class:`~sciar.tokenization.octree_tokenizer.OctreeTokenizer`.
        vocabulary: stored vocabulary of a trained model.
    """

    makes = ("crystals",)
    rooted = True

    def __init__(
        self,
        task: str = "csp",
        max_atoms: int = 20,
        levels: int = 4,
        cell: str = "niggli",
        labels: Sequence[str] | None = None,
        drop: float = 0.0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if cell not in CELLS:
            raise UsageError(f"cell {cell!r} is none of {CELLS}")
        if not 1 <= levels <= MAX_LEVELS:
            raise UsageError(f"{levels} octree levels; 1 to {MAX_LEVELS} are possible")
        self.cell = cell
        names = sorted(labels or SYMBOLS, key=canonical_key)
        super().__init__(
            f"crystal-octree-{task}",
            task,
            names,
            max_atoms,
            levels,
            vocabulary,
            lattice=True,
            drop=drop,
        )

    def config(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "max_atoms": self.max_atoms,
            "levels": self.depth,
            "cell": self.cell,
            "labels": list(self.labels),
            **self.newer(),
        }

    def encoded(
        self, structure: Structure, augment: np.random.Generator | None
    ) -> tuple[dict[str, Words | Slots], np.ndarray]:
        """Crystal -> formula, lattice, octree, offsets; ``augment`` picks the origin at random."""
        self.check_kind(structure)
        assert isinstance(structure, Crystal)
        lattice, frac = structure.lattice, structure.frac
        self.ranks(structure.species)
        if self.cell == "niggli":
            lattice, frac = reduce_cell(lattice, frac)
        order, frac = canonical_order(structure.species, frac, augment)
        ranks = self.ranks([structure.species[i] for i in order])
        cells, offsets = self._cells(frac)
        codes = morton(cells)
        sites = np.lexsort((*offsets.T[::-1], ranks, np.arange(len(ranks)) > 0, codes))
        codes, firsts = codes[sites], np.ones(len(sites), dtype=bool)
        firsts[1:] = codes[1:] != codes[:-1]
        # As payloads are stored: the places of all that follows hang on the lattice.
        parameters = to_parameters(lattice, len(ranks)).astype(np.float32).astype(np.float64)
        known: dict[str, Words | Slots] = {"lattice": Slots((SlotSpec(),), parameters[None])}
        matrix = from_parameters(parameters, len(ranks))
        exact = ((cells + offsets) / (1 << self.depth) @ matrix)[sites]
        labels = [self.labels[i] for i in ranks[sites]]
        tree = build(codes, self.depth)
        return self.words(known, labels, tree, firsts, exact), order[sites]

    def structure(self, fields: Mapping[str, Words | Slots]) -> Crystal:
        """Fields -> crystal, with the lattice in the standard orientation (a along x)."""
        species, positions = self.points(fields)
        lattice = self._lattice(fields)
        return Crystal(lattice, species, (positions @ np.linalg.inv(lattice)) % 1.0)

    def box(self, fields: Mapping[str, Words | Slots]) -> Box:
        """Cells are centred on multiples of their edges, so the box begins half a cell before 0."""
        edges = self._lattice(fields) / (1 << self.depth)
        return Box(edges, -0.5 * edges.sum(0))

    def verify(self, structure: Structure, request: Request) -> str:
        return check_cell(structure)

    def _lattice(self, fields: Mapping[str, Words | Slots]) -> np.ndarray:
        slots, formula = fields["lattice"], fields["composition"]
        assert isinstance(slots, Slots) and isinstance(formula, Words)
        return from_parameters(slots.values[0], sum(self.formula.counts(formula).values()))

    def _cells(self, frac: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3) cell of each site, and where in it the site is, from -1/2 to 1/2."""
        scaled = frac * (1 << self.depth)
        cells = np.floor(scaled + 0.5)
        return cells.astype(np.int64) % (1 << self.depth), scaled - cells
