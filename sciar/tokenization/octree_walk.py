"""The words of an octree, one at a time: what is known before each, and what may follow.

First the occupancy masks, breadth first, then what stands in each cell, in Morton order: one label
a point. Points beyond the first of a cell have labels of their own, ``+C`` for another C in the
cell of the point before. Encoding (:func:`walked`) and generation (:class:`OctreeWalk`) announce
the same before each word.

How many points of which label there are is given. A mask may not make more nodes than there are
points left to fill them, and the labels must use up the counts: whatever is sampled, the counts
hold.

With a context (:data:`CONTEXTS`) a word also refers to the nearest of the words since the mask
above it, which together say how far the octree is known; and a mask then stands at the middle of
the halves that it occupies, not at the middle of its node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sciar.tokenization.layout import SlotSpec, Words
from sciar.tokenization.near import nearest, squares
from sciar.tokenization.octree import Octree, unmorton
from sciar.tokenization.vocabulary import Vocabulary

Cell = tuple[int, int, int]
Point = tuple[float, ...]

_CHILDREN: tuple[tuple[Cell, ...], ...] = tuple(
    tuple((b & 1, b >> 1 & 1, b >> 2) for b in range(8) if mask >> b & 1) for mask in range(256)
)
"""Halves of a node that each mask occupies, in the order of children."""

_MIDDLES = np.array([np.mean(c, axis=0) - 0.5 if c else (0.0,) * 3 for c in _CHILDREN])
"""Middle of the halves that each mask occupies, from the centre of the node, in halves."""

LEAF = "<level-0>"

CONTEXTS = ("none", "above", "before")
"""Words that a word refers to: none; those of the level above from its own mask on, which are known
when a level is drawn at once; or all from its own mask on."""


def mask_name(mask: int) -> str:
    """Token of an occupancy mask."""
    return f"<octant-{mask}>"


def level_name(level: int) -> str:
    """Token that announces the level of a node."""
    return f"<level-{level}>"


def further(label: str) -> str:
    """Token of another point in the cell of the one before."""
    return f"+{label}"


def octree_names(depth: int, labels: Sequence[str]) -> tuple[str, ...]:
    """All tokens of octrees of some depth, beside the labels themselves."""
    levels = tuple(level_name(level) for level in range(depth + 1))
    return (*levels, *(mask_name(m) for m in range(1, 256)), *(further(x) for x in labels))


class OctreeAlphabet:
    """Ids of the octree's words in a vocabulary.

    Args:
        vocabulary: has :func:`octree_names` and the labels.
        labels: of points.
    """

    def __init__(self, vocabulary: Vocabulary, labels: Sequence[str]) -> None:
        self.size = len(vocabulary)
        self.labels = tuple(labels)
        masks = vocabulary.ids(mask_name(m) for m in range(1, 256))
        self.mask_of = {int(token): m + 1 for m, token in enumerate(masks)}
        self.first = vocabulary.ids(self.labels)
        self.others = vocabulary.ids(further(x) for x in self.labels)
        self.index = {int(t): i for ids in (self.first, self.others) for i, t in enumerate(ids)}
        self.further = frozenset(self.others.tolist())
        children = np.array([len(_CHILDREN[m]) for m in range(1, 256)])
        corner = np.arange(1, 256) & 1 > 0
        self._fitting = np.zeros((2, 9, self.size), dtype=bool)
        for most in range(1, 9):
            self._fitting[0, most, masks[children <= most]] = True
            self._fitting[1, most, masks[(children <= most) & corner]] = True

    def fitting(self, most: int, rooted: bool) -> np.ndarray:
        """(V,) masks of up to ``most`` children; ``rooted``: the first child is among them."""
        return self._fitting[int(rooted), min(most, 8)]


@lru_cache(maxsize=64)
def alphabet_of(vocabulary: Vocabulary, labels: tuple[str, ...]) -> OctreeAlphabet:
    """The alphabet of a vocabulary object, which a tokenizer may change for a larger one."""
    return OctreeAlphabet(vocabulary, labels)


@dataclass(frozen=True, eq=False)
class Box:
    """Where the cells lie: a point in units of leaf cells is at ``origin + point @ axes``."""

    axes: np.ndarray
    origin: np.ndarray

    def places(self, nodes: np.ndarray, sizes: np.ndarray | int) -> np.ndarray:
        """(n, 3) centres of (n, 3) nodes whose edges are ``sizes`` cells."""
        size = np.asarray(sizes)[..., None]
        return self.origin + (nodes + 0.5) * size @ self.axes

    def middles(self, masks: np.ndarray, sizes: np.ndarray | int) -> np.ndarray:
        """(n, 3) from the centres of nodes to the middles of what their (n,) masks occupy."""
        half = np.asarray(sizes)[..., None] / 2
        return np.asarray(_MIDDLES[masks] * half @ self.axes)


class OctreeWalk:
    """A :class:`~sciar.tokenization.cursor.PlacedGrammar` of one octree.

    Args:
        alphabet: ids of the words.
        depth: levels above the leaf cells.
        counts: label -> number of points.
        box: where the cells lie.
        rooted: label of a point that is known to be in the first cell, and to come first.
        context: one of :data:`CONTEXTS`.

    Attributes:
        level: level of the node that comes, 0 in the cells.
        cells: one a point so far, the cell that it is in.
        spare: points beyond one for each node of this level still to come, and each child so far.
    """

    def __init__(
        self,
        alphabet: OctreeAlphabet,
        depth: int,
        counts: Mapping[str, int],
        box: Box,
        rooted: str | None = None,
        context: str = "none",
    ) -> None:
        self.alphabet, self.box, self.rooted, self.context = alphabet, box, rooted, context
        self._words: list[Point] = []
        self.left = np.array([counts.get(label, 0) for label in alphabet.labels])
        self.points = int(self.left.sum())
        self.cells: list[Cell] = []
        self.position: Point = ()
        self._begin(depth, [(0, 0, 0)], [0])

    def _begin(self, level: int, nodes: list[Cell], above: list[int]) -> None:
        """A level of nodes, each with the index of the word above it."""
        self.level, self._nodes, self._at = level, nodes, 0
        self._above, self._first = above, len(self._words)
        self._below: list[Cell] = []
        self._under: list[int] = []
        self.spare = self.points - len(self.cells) - len(nodes)
        places = self.box.places(np.array(nodes, dtype=np.int64), 1 << level)
        self._places: list[Point] = list(map(tuple, places.tolist()))
        self._label = level_name(level)

    def coming(self) -> SlotSpec:
        """What is known of the coming word: its level, its place, and how much may still come.

        The anchor of a node is :attr:`spare`, that of a point counts the points left.
        """
        at = min(self._at, len(self._nodes) - 1)
        anchor = self.spare if self.level else self.points - len(self.cells)
        near = self._near(at, self._first if self.context == "above" else len(self._words))
        return SlotSpec(self._label, anchor, near, place=self._places[at])

    def _near(self, at: int, stop: int) -> tuple[int, ...]:
        """Words before ``stop`` that a node of this level refers to."""
        if self.context == "none":
            return ()
        first = self._above[at]
        words = np.array(self._words[first:stop], dtype=np.float64).reshape(-1, 3)
        square = squares(np.array(self._places[at])[None], words)
        return tuple(i + first for i in nearest(square, square >= 0)[0])

    def group(self) -> list[SlotSpec]:
        """The coming word and those after it whose place does not hang on it.

        These are the nodes that are left of a level, and the cells, if each holds one point.
        """
        first = self.coming()
        if not self.level and self.spare:
            return [first]
        label, anchor = first.label, first.anchor
        specs = [
            SlotSpec(label, anchor, self._near(at, self._first), place=self._places[at])
            for at in range(self._at, len(self._nodes))
        ]
        return specs or [first]

    def allowed(self) -> tuple[np.ndarray, bool]:
        """(V,) allowed words, and whether the octree is complete."""
        if self.level:
            rooted = self.rooted is not None and self._at == 0
            return self.alphabet.fitting(self.spare + 1, rooted), False
        mask = np.zeros(self.alphabet.size, dtype=bool)
        some = self.left > 0
        if not self.cells and self.rooted is not None:
            some = some & (np.array(self.alphabet.labels) == self.rooted)
        if self._at < len(self._nodes):
            mask[self.alphabet.first[some]] = True
        if self._at and self.spare > 0:
            mask[self.alphabet.others[some]] = True
        return mask, len(self.cells) == self.points

    def push(self, token: int) -> None:
        """Take one word; :attr:`position` is then where it stands."""
        if self.level:
            x, y, z = self._nodes[self._at]
            mask = self.alphabet.mask_of[token]
            self.position = self._middle(mask)
            children = _CHILDREN[mask]
            self._below += [(2 * x + a, 2 * y + b, 2 * z + c) for a, b, c in children]
            self._under += [len(self._words)] * len(children)
            self._words.append(self.position)
            self._at += 1
            self.spare += 1 - len(children)
            if self._at == len(self._nodes):
                self._begin(self.level - 1, self._below, self._under)
            return
        if token in self.alphabet.further:
            self.spare -= 1
        else:
            self._at += 1
        self.position = self._places[self._at - 1]
        self._words.append(self.position)
        self.cells.append(self._nodes[self._at - 1])
        self.left[self.alphabet.index[token]] -= 1

    def _middle(self, mask: int) -> Point:
        """Where the mask of the node that came stands."""
        place = self._places[self._at]
        if self.context == "none":
            return place
        return tuple((np.array(place) + self.box.middles(np.array(mask), 1 << self.level)).tolist())


def walked(
    tree: Octree, labels: Sequence[str], firsts: np.ndarray, box: Box, context: str = "none"
) -> Words:
    """The words of known points at once, with all that a walk would announce of each.

    Args:
        tree: over the cells.
        labels: N labels, in the order of the cells.
        firsts: (N,) whether a point is the first of its cell.
        box: where the cells lie.
        context: one of :data:`CONTEXTS`.
    """
    n, total = len(labels), len(labels)
    level = tree.levels
    children = np.unpackbits(tree.masks[:, None], axis=1).sum(1, dtype=np.int64)
    before = np.cumsum(children) - children
    # Within a level, children so far and nodes still to come; levels follow each other.
    starts = np.searchsorted(-level, -level, side="left")
    ends = np.searchsorted(-level, -level, side="right")
    spare = total - (before - before[starts]) - (ends - np.arange(len(level)))
    nodes = box.places(unmorton(tree.codes), 1 << level)
    cells = box.places(unmorton(tree.leaves), 1)
    at = np.cumsum(firsts) - 1
    ahead = np.minimum(at + 1 - firsts, len(cells) - 1)
    tokens = [mask_name(m) for m in tree.masks.tolist()]
    tokens += [x if f else further(x) for x, f in zip(labels, firsts.tolist(), strict=True)]
    levels = [level_name(i) for i in range(tree.depth + 1)]
    places, positions = np.concatenate([nodes, cells[ahead]]), np.concatenate([nodes, cells[at]])
    references: tuple[tuple[int, ...], ...] = ()
    if context != "none":
        positions[: len(nodes)] += box.middles(tree.masks, 1 << level)
        # Nodes, but the root, and then cells are children of the masks one by one.
        above = np.concatenate([[0], np.arange(len(level)).repeat(children)])
        first_of = above[np.concatenate([np.arange(len(nodes)), len(nodes) + ahead])]
        first = np.concatenate([starts, np.full(n, len(nodes))])
        stops = first if context == "above" else np.arange(len(places))
        index = np.arange(len(places))
        known = (index >= first_of[:, None]) & (index < stops[:, None])
        references = tuple(map(tuple, nearest(squares(places, positions), known)))
    return Words(
        tokens=tuple(tokens),
        anchors=(*spare.tolist(), *range(n, 0, -1)),
        labels=(*(levels[i] for i in level.tolist()), *(LEAF,) * n),
        places=_rows(places),
        positions=_rows(positions),
        references=references,
    )


def _rows(points: np.ndarray) -> tuple[Point, ...]:
    return tuple(map(tuple, points.tolist()))
