"""Crystals grown atom by atom: each site is placed relative to the sites before it.

For a crystal of identical atoms the fractional coordinates say little by themselves: order and
origin are free, and what is regular is the distance and the angle to the neighbours. Here the sites
form a chain of nearest neighbours, unwrapped out of the cell, and a site is predicted in the local
frame of the sites before it, as the atoms of a molecule are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sciar.records import Crystal, Structure
from sciar.tokenization.cell import from_parameters, to_parameters
from sciar.tokenization.crystal import LATTICE, SITE, CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.elements import SYMBOLS, canonical_key
from sciar.tokenization.layout import Slots, SlotSpec, Words
from sciar.tokenization.molecule_frame import local_positions
from sciar.tokenization.molecule_plan import REFERENCES
from sciar.tokenization.order import canonical_order
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

_IMAGES = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(27, 3)
_ROUND = 0.05
"""Distances (angstrom) that agree within this count as equal; the coordinates then decide."""


class ChainedCrystalTokenizer(CrystalTokenizer):
    """As :class:`~sciar.tokenization.crystal.CrystalTokenizer`, with sites as a chain.

    Site payloads are Cartesian positions in angstrom in the standard orientation of the cell (a
    along x, b in the x-y plane), the first site at the origin, each at the periodic image that is
    nearest to the site before it.

    Args:
        task: see :class:`~sciar.tokenization.crystal.CrystalTokenizer`.
        max_atoms: largest cell.
        cell: likewise.
        vocabulary: stored vocabulary of a trained model.
    """

    places_sites = False

    def __init__(
        self,
        task: str = "csp",
        max_atoms: int = 24,
        cell: str = "niggli",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        slots = (SlotKind(LATTICE, 6), SlotKind(SITE, 3, geometry="local"))
        vocabulary = vocabulary or Vocabulary(crystal_vocabulary(SYMBOLS).names, slots)
        super().__init__(task, max_atoms, cell, vocabulary=vocabulary)
        self.layout = self.layout.with_segment("sites", unit="angstrom", references=REFERENCES)

    def config(self) -> dict[str, Any]:
        return {"task": self.task, "max_atoms": self.max_atoms, "cell": self.cell}

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Crystal -> composition, lattice and chain; ``augment`` picks the first site at random."""
        self.check_kind(structure)
        assert isinstance(structure, Crystal)
        lattice, frac = self.reduced(structure)
        for symbol in structure.species:
            self.vocabulary.id(symbol)
        order, frac = canonical_order(structure.species, frac, augment)
        species = tuple(structure.species[i] for i in order)
        parameters = to_parameters(lattice, len(species))
        # The positions are those of the cell as it will be decoded, rotated and rounded alike.
        links, positions = chain(species, frac, from_parameters(parameters, len(species)))
        words = Words(tuple(species[i] for i in links), tuple(range(len(species))))
        return {
            "composition": words,
            "lattice": Slots((SlotSpec(),), parameters[None]),
            "sites": Slots(self._sites(words), positions),
        }

    def atom_order(self, structure: Structure) -> list[int]:
        self.check_kind(structure)
        assert isinstance(structure, Crystal)
        lattice, frac = self.reduced(structure)
        order, frac = canonical_order(structure.species, frac)
        species = tuple(structure.species[i] for i in order)
        parameters = to_parameters(lattice, len(species))
        links, _ = chain(species, frac, from_parameters(parameters, len(species)))
        return [int(order[i]) for i in links]

    def structure(self, fields: Mapping[str, Words | Slots]) -> Crystal:
        """Fields -> crystal."""
        words, lattice, sites = fields["composition"], fields["lattice"], fields["sites"]
        assert isinstance(words, Words) and isinstance(lattice, Slots) and isinstance(sites, Slots)
        matrix = from_parameters(lattice.values[0], len(words.tokens))
        return Crystal(matrix, words.tokens, sites.values @ np.linalg.inv(matrix) % 1.0)

    def targets(self, segment: Any, slots: Slots) -> np.ndarray:
        """Positions in the local frames, which is what the head of the sites predicts."""
        if segment.name != "sites":
            return super().targets(segment, slots)
        if len(slots.specs) <= segment.pinned:
            return np.zeros((0, 3))
        return local_positions(slots.specs, slots.values, first=segment.pinned)

    @staticmethod
    def _sites(words: Words) -> tuple[SlotSpec, ...]:
        specs = []
        for i, symbol in enumerate(words.tokens):
            before = tuple(range(i - 1, max(-1, i - 1 - REFERENCES), -1))
            specs.append(SlotSpec(symbol, i, before, tuple(i - j for j in before)))
        return tuple(specs)


def chain(
    species: tuple[str, ...], frac: np.ndarray, lattice: np.ndarray
) -> tuple[list[int], np.ndarray]:
    """Nearest-neighbour chain through the sites, one element after the other.

    Args:
        species: n symbols in canonical order; the first site starts the chain.
        frac: (n, 3) fractional coordinates.
        lattice: (3, 3) reduced cell, rows are vectors, angstrom.

    Returns:
        The order of the sites, and (n, 3) unwrapped Cartesian positions in that order, the first at
        the origin.
    """
    left = list(range(1, len(species)))
    links, places = [0], [np.zeros(3)]
    while left:
        rank = min(canonical_key(species[i]) for i in left)
        rivals = [i for i in left if canonical_key(species[i]) == rank]
        here = links[-1]
        nearest = (frac[rivals] - frac[here] + 0.5) % 1.0 - 0.5
        vectors = (nearest[:, None] + _IMAGES) @ lattice
        flat = vectors.reshape(-1, 3)
        distance = np.rint(np.linalg.norm(flat, axis=1) / _ROUND)
        direction = np.rint(flat / (4 * _ROUND))
        best = np.lexsort((direction[:, 2], direction[:, 1], direction[:, 0], distance))[0]
        chosen = rivals[best // len(_IMAGES)]
        places.append(places[-1] + flat[best])
        links.append(chosen)
        left.remove(chosen)
    return links, np.array(places)
