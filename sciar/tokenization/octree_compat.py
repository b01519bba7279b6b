"""Crystals as the two trees of Uni-3DAR: the eight corners of the cell, then its atoms.

Both trees lie in one box and frame. Nothing is periodic: one copy of each atom, in the cell. For
comparisons with the published design; :mod:`sciar.tokenization.octree_crystal` needs half the
tokens and loses no sample to the fit of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sciar.records import Crystal, Structure
from sciar.tokenization.corners import corners, fit_cell
from sciar.tokenization.crystal import check_cell
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.elements import SYMBOLS, canonical_key
from sciar.tokenization.formula import formula_of
from sciar.tokenization.layout import Segment, Slots, SlotSpec, Words
from sciar.tokenization.octree import build, morton
from sciar.tokenization.octree_grid import place
from sciar.tokenization.octree_molecule import octree_grid
from sciar.tokenization.octree_tokenizer import OFFSET, OctreeTokenizer
from sciar.tokenization.octree_walk import Box, OctreeWalk, alphabet_of
from sciar.tokenization.vocabulary import Vocabulary

CORNER = "corner"


class TwoTreeTokenizer(OctreeTokenizer):
    """Crystal <-> tokens, with the lattice as eight pseudo-atoms.

    Args:
        task: ``csp`` (composition given) or ``denovo`` (generated, or given).
        max_atoms: largest cell.
        preset: published grid; ``levels``, ``edge``, ``rotation`` and ``anchor`` replace single
            settings of it.
        labels: elements; by default all.
        drop: see :class:`~sciar.tokenization.octree_tokenizer.OctreeTokenizer`.
        vocabulary: stored vocabulary of a trained model.
    """

    makes = ("crystals",)

    def __init__(
        self,
        task: str = "csp",
        max_atoms: int = 20,
        preset: str = "mp20",
        levels: int | None = None,
        edge: float | None = None,
        rotation: float | None = None,
        anchor: str = "centre",
        labels: Sequence[str] | None = None,
        drop: float = 0.0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.grid = octree_grid(preset, levels=levels, edge=edge, rotation=rotation, anchor=anchor)
        names = sorted(labels or SYMBOLS, key=canonical_key)
        super().__init__(
            f"crystal-two-trees-{task}",
            task,
            names,
            max_atoms,
            self.grid.levels,
            vocabulary,
            others=(CORNER,),
            drop=drop,
        )
        *before, octree, atoms, end = self.layout.segments
        trees = (Segment("lattice"), Segment("corners", "slot", slot=OFFSET, unit=atoms.unit))
        self.layout = self.layout.with_segments((*before, *trees, octree, atoms, end))

    def config(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "max_atoms": self.max_atoms,
            "levels": self.grid.levels,
            "edge": self.grid.edge,
            "rotation": self.grid.rotation,
            "anchor": self.grid.anchor,
            "labels": list(self.labels),
            **self.newer(),
        }

    def encoded(
        self, structure: Structure, augment: np.random.Generator | None
    ) -> tuple[dict[str, Words | Slots], np.ndarray]:
        """Crystal -> two octrees; ``augment`` turns it and shifts its sites along the diagonal.

        Raises:
            RecordError: the cell is larger than the box.
        """
        self.check_kind(structure)
        assert isinstance(structure, Crystal)
        ranks, frac = self.ranks(structure.species), structure.frac
        if augment is not None and augment.random() < 0.5:
            frac = frac + augment.random()
        frac = frac % 1.0
        lattice = structure.lattice
        if np.linalg.det(lattice) < 0:
            lattice, frac = lattice[[1, 0, 2]], frac[:, [1, 0, 2]]
        both = np.concatenate([corners(lattice), frac @ lattice])
        placed = place(both, self.grid, augment)
        codes, exact = morton(placed.cells), placed.exact
        cell = self._tree([CORNER] * 8, np.zeros(8), codes[:8], exact[:8])
        atoms = self._tree(structure.species, ranks, codes[8:], exact[8:])
        made: dict[str, Words | Slots] = {
            "composition": self.formula.words(formula_of(structure.species)),
            "lattice": cell[0],
            "corners": cell[1],
            "octree": atoms[0],
            "atoms": atoms[1],
        }
        return made, atoms[2]

    def _tree(
        self, labels: Sequence[str], ranks: np.ndarray, codes: np.ndarray, exact: np.ndarray
    ) -> tuple[Words, Slots, np.ndarray]:
        order = np.lexsort((*exact.T[::-1], ranks, codes))
        own = codes[order]
        firsts = np.ones(len(own), dtype=bool)
        firsts[1:] = own[1:] != own[:-1]
        tree = build(own, self.depth)
        named = [labels[i] for i in order]
        return *self.tree(named, tree, firsts, exact[order], self.box({})), order

    def structure(self, fields: Mapping[str, Words | Slots]) -> Crystal:
        """Fields -> crystal.

        Raises:
            RecordError: the corners are those of no cell.
        """
        lattice, origin = fit_cell(self._points(fields, "corners")[1])
        species, positions = self._points(fields, "atoms")
        return Crystal(lattice, species, ((positions - origin) @ np.linalg.inv(lattice)) % 1.0)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        words = fields["lattice" if segment.name == "corners" else "octree"]
        assert isinstance(words, Words)
        return self._specs(words)

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        if segment.name == "lattice":
            alphabet = alphabet_of(self.vocabulary, (CORNER,))
            return OctreeWalk(alphabet, self.depth, {CORNER: 8}, self.box(fields))
        return super().word_grammar(segment, request, fields)

    def box(self, fields: Mapping[str, Words | Slots]) -> Box:
        return Box(np.eye(3) * self.grid.edge, np.zeros(3))

    def verify(self, structure: Structure, request: Request) -> str:
        return check_cell(structure)

    def _points(
        self, fields: Mapping[str, Words | Slots], name: str
    ) -> tuple[tuple[str, ...], np.ndarray]:
        return self.points({"atoms": fields[name]})
