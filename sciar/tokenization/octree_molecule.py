"""Molecules as octrees: elements and positions, no bonds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Molecule, Structure
from sciar.tokenization.cursor import Request
from sciar.tokenization.layout import Slots, Words
from sciar.tokenization.octree import encode
from sciar.tokenization.octree_grid import OctreeGrid, preset
from sciar.tokenization.octree_tokenizer import OctreeTokenizer
from sciar.tokenization.octree_walk import Box
from sciar.tokenization.vocabulary import Vocabulary

ELEMENTS = ("H", "B", "C", "N", "O", "F", "Al", "Si", "P", "S", "Cl", "As", "Br", "I", "Hg", "Bi")
"""Elements of QM9 and GEOM-Drugs (settings of Uni-3DAR)."""


class OctreeMoleculeTokenizer(OctreeTokenizer):
    """Molecule, or any labelled points in space <-> tokens.

    Args:
        task: ``denovo`` or ``csp`` (the formula is always given).
        max_atoms: most atoms.
        preset: published grid, see :data:`~sciar.tokenization.octree_grid.PRESETS`; what follows
            replaces single settings of it.
        levels, edge, rotation, anchor, frame: see
            :class:`~sciar.tokenization.octree_grid.OctreeGrid`; the anchor is the corner by
            default, which needs fewer nodes.
        mirror: an augmented encoding shows the mirror image every other time.
        labels: what points can be; by default :data:`ELEMENTS`.
        drop, context, offsets, order: see
            :class:`~sciar.tokenization.octree_tokenizer.OctreeTokenizer`; hydrogens come last.
        vocabulary: stored vocabulary of a trained model.
    """

    makes = ("molecules",)
    last = frozenset(("H",))

    def __init__(
        self,
        task: str = "denovo",
        max_atoms: int = 32,
        preset: str = "qm9",
        levels: int | None = None,
        edge: float | None = None,
        rotation: float | None = None,
        anchor: str = "corner",
        frame: str = "given",
        mirror: bool = False,
        labels: Sequence[str] = ELEMENTS,
        drop: float = 0.0,
        context: str = "none",
        offsets: str = "box",
        order: str = "cells",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.grid = octree_grid(
            preset, levels=levels, edge=edge, rotation=rotation, anchor=anchor, frame=frame
        )
        self.mirror = mirror
        super().__init__(
            f"molecule-octree-{task}",
            task,
            labels,
            max_atoms,
            self.grid.levels,
            vocabulary,
            drop=drop,
            context=context,
            offsets=offsets,
            order=order,
        )

    def config(self) -> dict[str, Any]:
        grid = asdict(self.grid)
        names = ("levels", "edge", "rotation", "anchor", "frame")
        return {
            "task": self.task,
            "max_atoms": self.max_atoms,
            **{name: grid[name] for name in names},
            "mirror": self.mirror,
            "labels": list(self.labels),
            **self.newer(),
        }

    def encoded(
        self, structure: Structure, augment: np.random.Generator | None
    ) -> tuple[dict[str, Words | Slots], np.ndarray]:
        """Molecule -> formula, octree and offsets; ``augment`` moves, turns and mirrors it."""
        self.check_kind(structure)
        assert isinstance(structure, Molecule)
        positions, ranks = self.posed(structure, augment), self.ranks(structure.symbols)
        coded = encode(positions, ranks, self.grid, augment)
        labels = [self.labels[i] for i in coded.labels]
        exact = coded.placement.exact[coded.order]
        return self.words({}, labels, coded.tree, coded.firsts, exact), coded.order

    def posed(self, molecule: Molecule, augment: np.random.Generator | None) -> np.ndarray:
        """(N, 3) positions; ``augment`` mirrors them every other time, if that is wanted.

        Raises:
            RecordError: there are none.
        """
        if molecule.positions is None:
            raise RecordError("the molecule has no coordinates", field="positions")
        mirrored = self.mirror and augment is not None and augment.random() < 0.5
        return molecule.positions * np.array([1.0, 1.0, -1.0 if mirrored else 1.0])

    def structure(self, fields: Mapping[str, Words | Slots]) -> Molecule:
        """Fields -> molecule without bonds, atoms in the order of their cells."""
        return Molecule(*self.points(fields))

    def box(self, fields: Mapping[str, Words | Slots]) -> Box:
        return Box(np.eye(3) * self.grid.edge, np.zeros(3))

    def verify(self, structure: Structure, request: Request) -> str:
        """Two atoms on one point are no molecule."""
        assert isinstance(structure, Molecule) and structure.positions is not None
        away = np.linalg.norm(structure.positions[:, None] - structure.positions[None], axis=-1)
        close = away[np.triu_indices(len(away), 1)].min(initial=np.inf)
        return "" if close >= 0.3 else f"two atoms are {close:.2f} angstrom apart"


def octree_grid(name: str, **changes: Any) -> OctreeGrid:
    """A published grid with some settings replaced.

    Raises:
        UsageError: no such preset, or impossible settings.
    """
    wanted = {k: v for k, v in changes.items() if v is not None}
    if "edge" in wanted and not np.isfinite(wanted["edge"]):
        raise UsageError(f"cell edge {wanted['edge']} must be a finite length")
    return replace(preset(name), **wanted)
