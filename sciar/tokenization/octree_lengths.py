"""How many tokens a structure costs before and after each step of the octree compression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sciar.tokenization.octree import EncodedPoints


@dataclass(frozen=True)
class OctreeLengths:
    """Tokens of one structure in ever shorter descriptions.

    Attributes:
        grid: one token a cell of the full grid.
        octree: one binary token for each child of an occupied node, and one token a point.
        compressed: one token an occupied node (its mask holds all eight children), and one a point.
            Each point beyond the first of a cell costs one more, which announces it.
        masked: positions of masked next-token training: a question before each token, and the pair
            that ends the tree.
        single: positions when each token is told the place of its successor in place of a question.
    """

    grid: int
    octree: int
    compressed: int
    masked: int
    single: int


def octree_lengths(encoded: EncodedPoints) -> OctreeLengths:
    """The lengths of one encoded set of points."""
    nodes = len(encoded.tree.masks)
    leaves = len(encoded.bins) + int((np.asarray(encoded.counts) - 1).sum())
    tokens = nodes + leaves
    return OctreeLengths(
        grid=8**encoded.tree.depth,
        octree=8 * nodes + leaves,
        compressed=tokens,
        masked=2 * (tokens + 1),
        single=tokens + 1,
    )


def mean_lengths(many: list[EncodedPoints]) -> dict[str, float]:
    """Mean of each length over a data set; empty for an empty one."""
    rows = [vars(octree_lengths(encoded)) for encoded in many]
    return {name: float(np.mean([row[name] for row in rows])) for name in (rows[0] if rows else ())}
