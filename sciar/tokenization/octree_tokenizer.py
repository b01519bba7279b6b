"""What all octree tokenizers share: a formula, occupancy masks and labels, then exact places.

Layout (n points): ``<bos> formula <structure> [<lattice>] masks labels <offset>*n <eos>``. The
formula says how many points of which label there are, the masks which cells they are in, and the
labels what is in each. Only then come the places inside the cells, each a slot of three numbers
around the centre of its cell, when all cells and labels are known. Against Uni-3DAR
(arXiv:2503.16278): offsets are continuous, they come last, the formula is exact, and points that
share a cell are all kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sciar.errors import UsageError
from sciar.records import Record, Structure, symbols_of
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.composition import exact_composition
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.formula import Formula, FormulaGrammar, count_names, formula_of
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.near import NEIGHBOURS, nearest, squares
from sciar.tokenization.octree import Octree
from sciar.tokenization.octree_walk import (
    CONTEXTS,
    LEAF,
    Box,
    OctreeAlphabet,
    OctreeWalk,
    alphabet_of,
    level_name,
    octree_names,
    walked,
)
from sciar.tokenization.sequence import TokenSequence, without
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

OFFSET, LATTICE = "<offset>", "<lattice>"
TASKS = ("denovo", "csp")
OFFSETS = ("box", "local")
"""Axes that offsets are predicted along: the box's, or those of the nearest points before them."""
ORDERS = ("cells", "near")
"""Order of offsets: that of their cells, or always one that is nearest to those before it."""


def octree_vocabulary(
    labels: Sequence[str], depth: int, most: int, lattice: bool = False, offsets: str = "box"
) -> Vocabulary:
    """Specials, slot kinds, the words of an octree, labels and counts."""
    geometry = "local" if offsets == "local" else "euclidean"
    slots = [SlotKind(OFFSET, 3, geometry), *([SlotKind(LATTICE, 6)] if lattice else [])]
    names = ("<pad>", "<bos>", "<eos>", "<structure>", *(s.name for s in slots))
    return Vocabulary(
        (*names, *labels, *count_names(most), *octree_names(depth, labels)), tuple(slots)
    )


class OctreeTokenizer(LayoutTokenizer):
    """Labelled points <-> tokens.

    A subclass turns its structures into points and says where the cells lie.

    Args:
        name: of the layout.
        task: ``denovo`` (the formula is generated, or given) or ``csp`` (given).
        labels: what points can be, in the order in which a formula names them.
        max_atoms: most points.
        depth: levels above the leaf cells.
        vocabulary: stored vocabulary of a trained model.
        lattice: whether a slot of six numbers says how large the cells are.
        others: labels of points that no formula names.
        drop: an augmented encoding leaves out masks just above the cells, each with a probability
            drawn from 0 to this, so that a network does not rely on them (tree-token dropping).
        context: what words and offsets are told of what is near, one of
            :data:`~sciar.tokenization.octree_walk.CONTEXTS`. With ``none`` only offsets are told,
            of earlier offsets; else they are also told of cells whose offsets come later.
        offsets: what they are predicted along, one of :data:`OFFSETS`. In a ``local`` frame the
            same surroundings look the same however the structure is turned.
        order: of the offsets, one of :data:`ORDERS`. With ``near`` each has neighbours that are
            known exactly, and those of :attr:`last` come after all others.

    Raises:
        UsageError: an unknown task, context, order or kind of offsets, or a share that is none.
    """

    def __init__(
        self,
        name: str,
        task: str,
        labels: Sequence[str],
        max_atoms: int,
        depth: int,
        vocabulary: Vocabulary | None,
        lattice: bool = False,
        others: Sequence[str] = (),
        drop: float = 0.0,
        context: str = "none",
        offsets: str = "box",
        order: str = "cells",
    ) -> None:
        if context not in CONTEXTS:
            raise UsageError(f"context {context!r} is none of {CONTEXTS}")
        if offsets not in OFFSETS:
            raise UsageError(f"offsets {offsets!r} are none of {OFFSETS}")
        if order not in ORDERS:
            raise UsageError(f"order {order!r} is none of {ORDERS}")
        self.context, self.offsets, self.order = context, offsets, order
        if task not in TASKS:
            raise UsageError(f"task {task!r} is none of {TASKS}")
        if not 0 <= drop < 1:
            raise UsageError(f"drop {drop} is no share of the masks")
        self.drop = drop
        self.task, self.labels, self.max_atoms, self.depth = task, tuple(labels), max_atoms, depth
        self.vocabulary = vocabulary or self.new_vocabulary(others, lattice)
        self.formula = Formula(self.labels, max_atoms)
        cell = Segment("lattice", "slot", slot=LATTICE, unit="ln(angstrom/n^(1/3)), radian")
        free = ("elements", "max_atoms", "atoms") if task == "denovo" else ()
        self.conditions = ("composition", *free)
        self.layout = Layout(
            name=name,
            segments=(
                Segment("begin", role="forced", tokens=("<bos>",)),
                Segment("composition", role="given" if task == "csp" else "generated"),
                Segment("open", role="forced", tokens=("<structure>",)),
                *((cell,) if lattice else ()),
                Segment("octree"),
                Segment("atoms", "slot", slot=OFFSET, unit="angstrom", pinned=int(self.rooted)),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
            references=NEIGHBOURS,
            axes=3,
        )

    def new_vocabulary(self, others: Sequence[str], lattice: bool) -> Vocabulary:
        """The vocabulary of a model that is not trained yet; arguments as in ``__init__``."""
        labels = (*self.labels, *others)
        return octree_vocabulary(labels, self.depth, self.max_atoms, lattice, self.offsets)

    def in_tree(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Those of a formula's points that are in the octree; by default all."""
        return dict(counts)

    @property
    def alphabet(self) -> OctreeAlphabet:
        """Ids of the octree's words in the vocabulary as it is now."""
        return alphabet_of(self.vocabulary, self.labels)

    atom_segment = "atoms"
    last: frozenset[str] = frozenset()
    """Labels of points whose offsets come after all others in the order ``near``."""
    rooted = False
    """Whether the first point of a formula's first label is the origin."""

    def newer(self) -> dict[str, Any]:
        """Options for :meth:`config` that older fingerprints do not know."""
        usual = {"drop": 0.0, "context": "none", "offsets": "box", "order": "cells"}
        return {k: v for k in usual if (v := getattr(self, k)) != usual[k]}

    @abstractmethod
    def encoded(
        self, structure: Structure, augment: np.random.Generator | None
    ) -> tuple[dict[str, Words | Slots], np.ndarray]:
        """All fields, and the (N,) index of each point in the structure, in order of cells.

        Raises:
            RecordError: the structure holds something that the layout cannot express.
        """

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        return self.encoded(structure, augment)[0]

    def arranged(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> tuple[dict[str, Words | Slots], Sequence[int]]:
        fields, order = self.encoded(structure, augment)
        atoms = fields["atoms"]
        assert isinstance(atoms, Slots)
        return fields, [int(order[len(order) - spec.anchor]) for spec in atoms.specs]

    def atom_order(self, structure: Structure) -> list[int]:
        return list(self.arranged(structure)[1])

    def atoms_of(self, structure: Structure, sequence: TokenSequence) -> list[int | None]:
        """Anchors of points count those that are left; anchors of nodes are no points."""
        order, names = self.encoded(structure, None)[1].tolist(), self.vocabulary.names
        found: list[int | None] = []
        for number, kind, label, anchor in zip(
            sequence.ids, sequence.kinds, sequence.labels, sequence.anchors, strict=True
        ):
            told = names[label] if label >= 0 else ""
            what = told if kind else names[number].lstrip("+") if told == LEAF else ""
            found.append(order[len(order) - anchor] if what in self.formula.rank else None)
        return found

    @abstractmethod
    def box(self, fields: Mapping[str, Words | Slots]) -> Box:
        """Where the cells lie, known from the fields before the octree."""

    def encode(
        self, structure: Structure, *, augment: np.random.Generator | None = None
    ) -> TokenSequence:
        sequence = super().encode(structure, augment=augment)
        if augment is None or not self.drop:
            return sequence
        masks = (sequence.kinds == 0) & (sequence.labels == self.vocabulary.id(level_name(1)))
        gone = masks & (augment.random(len(sequence)) < augment.random() * self.drop)
        return without(sequence, gone)

    def words(
        self,
        fields: dict[str, Words | Slots],
        labels: Sequence[str],
        tree: Octree,
        firsts: np.ndarray,
        exact: np.ndarray,
    ) -> dict[str, Words | Slots]:
        """All fields of points in the order of their cells.

        Args:
            fields: those before the octree, beside the formula.
            labels: N labels.
            tree: the octree over their cells.
            firsts: (N,) whether a point is the first of its cell.
            exact: (N, 3) where the points are.
        """
        formula = self.formula.words(formula_of(labels))
        fields = {"composition": formula, **fields}
        words, atoms = self.tree(labels, tree, firsts, exact, self.box(fields))
        if self.rooted:
            atoms.values[0] = 0.0  # the first offset belongs to the first cell in either order
        return {**fields, "octree": words, "atoms": atoms}

    def tree(
        self,
        labels: Sequence[str],
        tree: Octree,
        firsts: np.ndarray,
        exact: np.ndarray,
        box: Box,
    ) -> tuple[Words, Slots]:
        """One octree and the offsets of its points; arguments as in :meth:`words`."""
        words = walked(tree, labels, firsts, box, self.context)
        centres = np.array(words.positions[len(tree.masks) :])
        # As payloads are stored, so that positions are those of generation to the last bit.
        values = (exact - centres).astype(np.float32).astype(np.float64)
        specs = self._specs(words, centres + values)
        return words, Slots(specs, values[[len(specs) - spec.anchor for spec in specs]])

    def points(self, fields: Mapping[str, Words | Slots]) -> tuple[tuple[str, ...], np.ndarray]:
        """Labels and (N, 3) positions; the inverse of :meth:`words`."""
        atoms = fields["atoms"]
        assert isinstance(atoms, Slots)
        centres = np.array([s.place for s in atoms.specs], dtype=np.float64).reshape(-1, 3)
        return tuple(s.label for s in atoms.specs), centres + atoms.values

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        if segment.name == "lattice":
            return (SlotSpec(),)
        words = fields["octree"]
        assert isinstance(words, Words)
        return self._specs(words)

    def targets(self, segment: Segment, slots: Slots) -> np.ndarray:
        """Local offsets are predicted from the nearest earlier one; axes are left out here."""
        values = super().targets(segment, slots).copy()
        if self.offsets != "local" or segment.slot != OFFSET:
            return values
        places = np.array([s.place for s in slots.specs], dtype=np.float64).reshape(-1, 3)
        exact = places + slots.values
        for i, spec in enumerate(slots.specs):
            known = exact[[r for r in spec.references if r >= 0]]
            if len(known):
                nearest = ((known - places[i]) ** 2).sum(-1).argmin()
                values[i - segment.pinned] = exact[i] - known[nearest]
        return values

    def slot_position(
        self, segment: Segment, spec: SlotSpec, value: np.ndarray
    ) -> tuple[float, ...]:
        if segment.slot == LATTICE:
            return spec.place
        return tuple(p + float(v) for p, v in zip(spec.place, value, strict=True))

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        if segment.name == "composition":
            return FormulaGrammar(self.vocabulary, self.formula, **request.constraints)
        return self._walk(fields)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``composition`` (exact), or for de novo models ``elements``, ``max_atoms``, ``atoms``."""
        counts, wanted = exact_composition(self.known(constraints), self.task, self.max_atoms)
        if counts is None:
            FormulaGrammar(self.vocabulary, self.formula, **wanted)
            return Request({}, wanted, id)
        return Request({"composition": self.formula.words(counts)}, {}, id)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        self.check_kind(record.structure)
        return {"composition": formula_of(symbols_of(record.structure))}

    def ranks(self, labels: Sequence[str]) -> np.ndarray:
        """(N,) index of each label among :attr:`labels`.

        Raises:
            RecordError: an unknown label.
        """
        self.formula.words(formula_of(labels))
        return np.array([self.formula.rank[label] for label in labels], dtype=np.int64)

    def _walk(self, fields: Mapping[str, Words | Slots]) -> OctreeWalk:
        formula = fields["composition"]
        assert isinstance(formula, Words)
        counts = self.in_tree(self.formula.counts(formula))
        rooted = next(iter(counts)) if self.rooted else None
        box = self.box(fields)
        return OctreeWalk(self.alphabet, self.depth, counts, box, rooted, self.context)

    def _specs(self, words: Words, exact: np.ndarray | None = None) -> tuple[SlotSpec, ...]:
        """The offsets that an octree asks for: label, cell and nearest points of each.

        ``exact``: (N, 3) where the points are, in the order of their cells, if that is known.
        """
        at = [i for i, name in enumerate(words.tokens) if name[0] != "<"]
        labels = [words.tokens[i].lstrip("+") for i in at]
        centres = np.array([words.positions[i] for i in at], dtype=np.float64)
        square = squares(centres, centres)
        order = np.arange(len(at))
        if self.order == "near":
            order = _near_order(square, np.array([label in self.last for label in labels]))
        near = _references(square, order, later=self.context != "none")
        known = [()] * len(at) if exact is None else list(map(tuple, exact.tolist()))
        return tuple(
            SlotSpec(
                label=labels[i],
                anchor=words.anchors[at[i]],
                references=references,
                relations=tuple(int(r < 0) for r in references),
                place=words.positions[at[i]],
                position=known[i],
            )
            for i, references in zip(order.tolist(), near, strict=True)
        )


def _near_order(square: np.ndarray, late: np.ndarray) -> np.ndarray:
    """(N,) an order of points in which each is one that is nearest to those before it.

    Args:
        square: (N, N) squared distances.
        late: (N,) points that come after all others.
    """
    away = np.full(len(square), np.inf)
    order: list[int] = []
    for _ in range(len(square)):
        # The first step takes the first point that is not late, wherever the others are.
        order.append(int(away.argmin() if order else late.argmin()))
        away = np.minimum(away, square[order[-1]] + np.where(late, 1e9, 0.0))
        away[order] = np.inf
    return np.array(order, dtype=np.int64)


def _references(square: np.ndarray, order: np.ndarray, later: bool) -> list[tuple[int, ...]]:
    """The points nearest to each of those in their order, as references of their segment.

    Earlier points are their offsets; ``later`` ones the labels of their cells, which end right
    before the first offset.

    Args:
        square: (N, N) squared distances, of points in the order of their cells.
        order: (N,) of the offsets.
        later: whether later points count.
    """
    n = len(order)
    turn = np.argsort(order)
    own = np.arange(n)[:, None]
    known = turn[None] != own if later else turn[None] < own
    place = turn.tolist()
    return [
        tuple(place[j] if place[j] < i else j - n for j in row)
        for i, row in enumerate(nearest(square[order], known))
    ]
