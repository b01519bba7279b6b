"""Molecules as an octree of their heavy atoms; hydrogens are attached to these afterwards.

Layout (h heavy atoms, n in all): ``<bos> formula <structure> masks labels <offset>*h held*h
<attached>*(n - h) <eos>``. Half of a molecule's atoms are hydrogens, and where they are follows
from the others: in the tree they only double the words. When all heavy atoms are known exactly, a
word says how many hydrogens each holds, and slots where they are, from the atom that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.records import Molecule, Structure
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.formula import formula_of
from sciar.tokenization.layout import Segment, Slots, SlotSpec, Words
from sciar.tokenization.octree import encode
from sciar.tokenization.octree_held import (
    ATTACHED,
    HELD,
    HeldGrammar,
    attached_specs,
    held_count,
    held_names,
    held_words,
    holders,
)
from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer
from sciar.tokenization.octree_tokenizer import OFFSET, octree_vocabulary
from sciar.tokenization.octree_walk import LEAF
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import SlotKind, Vocabulary


class OctreeSkeletonTokenizer(OctreeMoleculeTokenizer):
    """Molecule <-> tokens; atoms of one label are not in the tree.

    A molecule of nothing else has them in its tree.

    Args:
        attached: the label.
        options: see :class:`~sciar.tokenization.octree_molecule.OctreeMoleculeTokenizer`.

    Raises:
        UsageError: the label is none of the labels, or impossible options.
    """

    def __init__(self, attached: str = "H", **options: Any) -> None:
        self.attached = attached
        super().__init__(**options)
        if attached not in self.labels:
            raise UsageError(f"attached {attached!r} is none of {self.labels}")
        *before, end = self.layout.segments
        held = Segment("held")
        slots = Segment("attached", "slot", slot=ATTACHED, unit="angstrom")
        name = self.layout.name.replace("octree", "skeleton-octree")
        self.layout = replace(self.layout, name=name, segments=(*before, held, slots, end))

    def new_vocabulary(self, others: Sequence[str], lattice: bool) -> Vocabulary:
        tree = octree_vocabulary(
            (*self.labels, *others), self.depth, self.max_atoms, lattice, self.offsets
        )
        geometry = tree.slots[0].geometry
        return Vocabulary(
            (*tree.names, ATTACHED, *held_names(self.max_atoms)),
            (*tree.slots, SlotKind(ATTACHED, 3, geometry)),
        )

    def config(self) -> dict[str, Any]:
        return {"attached": self.attached, **super().config()}

    def encoded(
        self, structure: Structure, augment: np.random.Generator | None
    ) -> tuple[dict[str, Words | Slots], np.ndarray]:
        """As without attached atoms; in the order of atoms these come last."""
        self.check_kind(structure)
        assert isinstance(structure, Molecule)
        positions, ranks = self.posed(structure, augment), self.ranks(structure.symbols)
        late = self._late(structure.symbols)
        heavy, light = np.flatnonzero(~late), np.flatnonzero(late)
        coded = encode(positions[heavy], ranks[heavy], self.grid, augment)
        labels = [self.labels[i] for i in coded.labels]
        fields: dict[str, Words | Slots] = {
            "composition": self.formula.words(formula_of(structure.symbols))
        }
        exact = coded.placement.exact[coded.order]
        words, atoms = self.tree(labels, coded.tree, coded.firsts, exact, self.box(fields))
        sites = _sites(atoms)
        placed = (positions[light] - coded.placement.origin) @ coded.placement.rotation.T
        owner = holders(placed, sites)
        order = np.lexsort((*placed.T[::-1], owner))
        counts = np.bincount(owner, minlength=len(heavy))
        values = (placed - sites[owner])[order].astype(np.float32).astype(np.float64)
        specs = [
            replace(spec, position=tuple((np.array(spec.place) + value).tolist()))
            for spec, value in zip(
                attached_specs(self.attached, sites, counts), values, strict=True
            )
        ]
        made = {
            **fields,
            "octree": words,
            "atoms": atoms,
            "held": held_words([s.label for s in atoms.specs], sites, counts),
            "attached": Slots(tuple(specs), values),
        }
        return made, np.concatenate([heavy[coded.order], light[order]])

    def arranged(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> tuple[dict[str, Words | Slots], Sequence[int]]:
        fields, order = self.encoded(structure, augment)
        atoms = fields["atoms"]
        assert isinstance(atoms, Slots)
        heavy = len(atoms.specs)
        turn = [heavy - spec.anchor for spec in atoms.specs]
        return fields, [*order[turn].tolist(), *order[heavy:].tolist()]

    def atoms_of(self, structure: Structure, sequence: TokenSequence) -> list[int | None]:
        """Words and slots of heavy atoms, held counts among them, then attached ones in order."""
        order, names = self.encoded(structure, None)[1], self.vocabulary.names
        heavy = int((sequence.kinds == self.vocabulary.kind(OFFSET)).sum())
        found: list[int | None] = []
        turn: list[int] = []  # heavy atoms in the order of their slots
        held, light = 0, heavy
        for number, kind, label, anchor in zip(
            sequence.ids, sequence.kinds, sequence.labels, sequence.anchors, strict=True
        ):
            name = names[number]
            if name == ATTACHED:
                found.append(int(order[light]))
                light += 1
            elif name.startswith(HELD):
                found.append(int(order[turn[held]]))
                held += 1
            elif kind or (label >= 0 and names[label] == LEAF):
                found.append(int(order[heavy - anchor]))
                if kind:
                    turn.append(heavy - int(anchor))
            else:
                found.append(None)
        return found

    def structure(self, fields: Mapping[str, Words | Slots]) -> Molecule:
        """Fields -> molecule without bonds, attached atoms last."""
        symbols, positions = self.points(fields)
        more, others = self.points({"atoms": fields["attached"]})
        return Molecule((*symbols, *more), np.concatenate([positions, others]))

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        if segment.name != "attached":
            return super().plan(segment, fields)
        atoms, held = fields["atoms"], fields["held"]
        assert isinstance(atoms, Slots) and isinstance(held, Words)
        return attached_specs(
            self.attached, _sites(atoms), [held_count(name) for name in held.tokens]
        )

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        if segment.name != "held":
            return super().word_grammar(segment, request, fields)
        atoms, formula = fields["atoms"], fields["composition"]
        assert isinstance(atoms, Slots) and isinstance(formula, Words)
        total = sum(self.formula.counts(formula).values()) - len(atoms.specs)
        labels = [s.label for s in atoms.specs]
        return HeldGrammar(self.vocabulary, labels, _sites(atoms), total)

    def in_tree(self, counts: Mapping[str, int]) -> dict[str, int]:
        others = {label: n for label, n in counts.items() if label != self.attached}
        return others or dict(counts)

    def _late(self, symbols: Sequence[str]) -> np.ndarray:
        """(N,) atoms that are not in the tree."""
        late = np.array([s == self.attached for s in symbols])
        return late if not late.all() else np.zeros(len(symbols), dtype=bool)


def _sites(atoms: Slots) -> np.ndarray:
    """(N, 3) where the atoms of slots are."""
    places = np.array([s.place for s in atoms.specs], dtype=np.float64).reshape(-1, 3)
    return places + atoms.values
