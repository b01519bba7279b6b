"""Crystals: composition, then lattice parameters, then fractional coordinates.

Layout (n atoms): ``<bos> El_1 .. El_n <structure> <lattice> <site>*n <eos>``. Against UniGenX's
``material`` layout (spec 8.2): the lattice is a rotation-free slot of six numbers, a site knows its
element and index, the origin is the first site, and elements come in order of electronegativity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Record, Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cell import from_parameters, reduce_cell, to_parameters
from sciar.tokenization.composition import CompositionGrammar, exact_composition
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.elements import SYMBOLS, canonical_key
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.order import canonical_order
from sciar.tokenization.site_constraints import FittedCell, SymmetricSites, fixed_sites
from sciar.tokenization.slot_constraints import Given, SlotConstraint
from sciar.tokenization.symmetry import space_group
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

LATTICE, SITE = "<lattice>", "<site>"
CELLS = ("as-given", "niggli")
SEAM = -0.1
"""Where the range of plain coordinates begins: special positions are fractions such as 0, 1/4, 1/3
and 1/2, and should not lie where the range ends."""
GEOMETRIES = {"plain": "euclidean", "torus": "torus"}


def crystal_vocabulary(elements: Sequence[str] = SYMBOLS, coordinates: str = "torus") -> Vocabulary:
    """Specials, slot kinds and element symbols."""
    names = ("<pad>", "<bos>", "<eos>", "<structure>", LATTICE, SITE, *elements)
    site = SlotKind(SITE, 3, geometry=GEOMETRIES[coordinates])
    return Vocabulary(names, (SlotKind(LATTICE, 6), site))


class CrystalTokenizer(LayoutTokenizer):
    """Crystal <-> tokens.

    Args:
        task: ``csp`` (composition given, attended to in both directions) or ``denovo`` (composition
            generated as well).
        max_atoms: largest cell.
        cell: ``niggli`` reduces every cell first; ``as-given`` keeps the cell of the data.
        order: ``canonical`` (see :func:`~sciar.tokenization.order.canonical_order`) or ``file``.
        coordinates: ``plain`` (standardised numbers in a range of length 1) or ``torus`` (points on
            the torus). Plain ones are learnt faster in short runs (docs/experiments.md).
        vocabulary: stored vocabulary of a trained model.
    """

    makes = ("crystals",)
    atom_segment = "sites"
    places_sites: ClassVar[bool] = True
    """Whether slots of sites hold fractions of the cell vectors, which constraints may set."""
    floors: ClassVar[dict[str, float]] = {LATTICE: 0.02, SITE: 0.02}
    """Two per cent of a length or of a cell vector, a degree of an angle."""

    def __init__(
        self,
        task: str = "csp",
        max_atoms: int = 20,
        cell: str = "niggli",
        order: str = "canonical",
        coordinates: str = "torus",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if task not in ("csp", "denovo"):
            raise UsageError(f"task {task!r} is neither 'csp' nor 'denovo'")
        if cell not in CELLS:
            raise UsageError(f"cell {cell!r} is none of {CELLS}")
        if order not in ("canonical", "file"):
            raise UsageError(f"order {order!r} is neither 'canonical' nor 'file'")
        if coordinates not in GEOMETRIES:
            raise UsageError(f"coordinates {coordinates!r} are neither 'plain' nor 'torus'")
        self.task, self.max_atoms, self.cell, self.order = task, max_atoms, cell, order
        self.coordinates = coordinates
        self.vocabulary = vocabulary or crystal_vocabulary(coordinates=coordinates)
        words = "given" if task == "csp" else "generated"
        self.conditions = (
            "composition",
            *(("elements", "max_atoms") if task == "denovo" else ()),
            *(("space_group", "sites") if self.places_sites else ()),
        )
        self.layout = Layout(
            name=f"crystal-{task}",
            segments=(
                Segment("begin", role="forced", tokens=("<bos>",)),
                Segment("composition", role=words),
                Segment("open", role="forced", tokens=("<structure>",)),
                Segment("lattice", "slot", slot=LATTICE, unit="ln(angstrom/n^(1/3)), radian"),
                Segment("sites", "slot", slot=SITE, unit="fraction of a cell vector", pinned=1),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
        )

    def config(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "max_atoms": self.max_atoms,
            "cell": self.cell,
            "order": self.order,
            "coordinates": self.coordinates,
        }

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Crystal -> composition, lattice and sites; ``augment`` picks the origin at random."""
        self.check_kind(structure)
        assert isinstance(structure, Crystal)
        lattice, frac = self.reduced(structure)
        species = structure.species
        for symbol in species:
            self.vocabulary.id(symbol)
        if self.order == "canonical":
            order, frac = canonical_order(species, frac, augment)
            species = tuple(species[i] for i in order)
        else:
            frac = (frac - frac[0]) % 1.0
        n = len(species)
        words = Words(species, tuple(range(n)))
        frac = self._wrapped(frac)
        return {
            "composition": words,
            "lattice": Slots((SlotSpec(),), to_parameters(lattice, n)[None]),
            "sites": Slots(self._sites(words), frac),
        }

    def reduced(self, crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
        """Lattice and fractional coordinates in the cell that is encoded."""
        if self.cell == "niggli":
            return reduce_cell(crystal.lattice, crystal.frac)
        return crystal.lattice, crystal.frac

    def atom_order(self, structure: Structure) -> list[int]:
        self.check_kind(structure)
        assert isinstance(structure, Crystal)
        if self.order != "canonical":
            return list(range(len(structure)))
        return [int(i) for i in canonical_order(structure.species, self.reduced(structure)[1])[0]]

    def structure(self, fields: Mapping[str, Words | Slots]) -> Crystal:
        """Fields -> crystal, with the lattice in the standard orientation (a along x)."""
        words, lattice, sites = fields["composition"], fields["lattice"], fields["sites"]
        assert isinstance(words, Words) and isinstance(lattice, Slots) and isinstance(sites, Slots)
        matrix = from_parameters(lattice.values[0], len(words.tokens))
        return Crystal(matrix, words.tokens, sites.values % 1.0)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        words = fields["composition"]
        assert isinstance(words, Words)
        return (SlotSpec(),) if segment.name == "lattice" else self._sites(words)

    def word_anchors(self, segment: Segment, words: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(range(len(words)))

    def word_grammar(
        self,
        segment: Segment,
        request: Request,
        fields: Mapping[str, Words | Slots] | None = None,
    ) -> WordGrammar:
        return CompositionGrammar(self.vocabulary, self.max_atoms, **request.constraints)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``composition`` (exact), or for de novo models ``elements`` and ``max_atoms``.

        With a composition also ``space_group`` (number or symbol; the cell is then the conventional
        one of the group) or ``sites`` (``[{element, frac}, ...]``, positions that are kept).
        """
        asked = self.known(constraints)
        placed: dict[str, Any] = {k: asked.pop(k) for k in ("space_group", "sites") if k in asked}
        counts, wanted = exact_composition(asked, self.task, self.max_atoms)
        if counts is None:
            if placed:
                raise UsageError(f"{' and '.join(placed)}: give a composition too")
            CompositionGrammar(self.vocabulary, self.max_atoms, **wanted)
            return Request({}, wanted, id)
        for symbol in counts:
            self.vocabulary.id(symbol)
        species = tuple(s for s in sorted(counts, key=canonical_key) for _ in range(counts[s]))
        words = Words(species, tuple(range(len(species))))
        return Request({"composition": words}, self._placed(placed, counts, species), id)

    def _placed(
        self, placed: Mapping[str, Any], counts: Mapping[str, int], species: Sequence[str]
    ) -> dict[str, Any]:
        """The constraints of the numbers, checked.

        Raises:
            UsageError: both at once.
            RecordError: a group that cannot hold the composition, or impossible sites.
        """
        if len(placed) == 2:
            raise UsageError("space_group and sites contradict each other: give one of them")
        if "space_group" in placed:
            group = space_group(placed["space_group"])
            SymmetricSites(group, species, self._wrapped)
            return {"space_group": group}
        if "sites" in placed:
            fixed = fixed_sites(placed["sites"], counts)
            if fixed and species[0] not in fixed:
                raise RecordError(
                    f"positions count from the first site of {species[0]}: fix one of these too",
                    field="sites",
                )
            return {"sites": fixed} if fixed else {}
        return {}

    def _wrapped(self, frac: np.ndarray) -> np.ndarray:
        """Fractions in the range that the payloads have."""
        return (frac - SEAM) % 1.0 + SEAM if self.coordinates == "plain" else frac % 1.0

    def slot_constraint(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> SlotConstraint | None:
        words, wanted = fields["composition"], request.constraints
        assert isinstance(words, Words)
        if "space_group" in wanted:
            if segment.name == "lattice":
                return FittedCell(wanted["space_group"], len(words.tokens))
            return SymmetricSites(wanted["space_group"], words.tokens, self._wrapped)
        if "sites" in wanted and segment.name == "sites":
            fixed, origin = wanted["sites"], wanted["sites"][words.tokens[0]][0]
            first = {s: words.tokens.index(s) for s in fixed}
            return Given(
                {first[s] + k: self._wrapped(frac - origin)
                 for s, own in fixed.items() for k, frac in enumerate(own)}
            )  # fmt: skip
        return None

    def finish(self, structure: Structure, request: Request) -> Structure:
        """With fixed sites, the crystal about the origin that their positions count from."""
        if "sites" not in request.constraints:
            return structure
        assert isinstance(structure, Crystal)
        fixed = request.constraints["sites"]
        frac = (structure.frac + fixed[structure.species[0]][0]) % 1.0
        for symbol, own in fixed.items():
            start = structure.species.index(symbol)
            frac[start : start + len(own)] = own
        return Crystal(structure.lattice, structure.species, frac)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        self.check_kind(record.structure)
        assert isinstance(record.structure, Crystal)
        return {"composition": dict(record.structure.composition)}

    def verify(self, structure: Structure, request: Request) -> str:
        return check_cell(structure)

    @staticmethod
    def _sites(words: Words) -> tuple[SlotSpec, ...]:
        return tuple(SlotSpec(label=s, anchor=i) for i, s in enumerate(words.tokens))


def check_cell(structure: Structure) -> str:
    """Physical sanity of a sampled crystal (spec 8.4 item 7): empty, or what is wrong."""
    assert isinstance(structure, Crystal)
    if structure.volume < 0.1 * len(structure):
        return f"cell volume {structure.volume:.3g} cubic angstrom is too small"
    if np.linalg.norm(structure.lattice, axis=1).max() > 200.0:
        return "a cell vector is longer than 200 angstrom"
    return ""
