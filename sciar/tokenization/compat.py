"""UniGenX's own layouts, exactly: for its checkpoints' formats and as the baseline of ablations.

``material``  ``<bos> El*n <coord> L*3 f*n <eos>``
``uni_mat``   ``<bos> <material> <m>El*n <coord> L*3 f*n <eos>``
``mol``       ``<bos> t*k <coord> x*n <eos>``
``uni_mol``   ``<bos> <molecule> <s>t*k <coord> x*n <eos>``

Every continuous row is one ``<mask>`` slot of three raw numbers: lattice rows and atoms in
angstrom, sites in fractions of the cell. A slot knows neither its atom nor the others (use
``identity: false`` in the model). Two deliberate differences: an unknown symbol raises instead of
becoming ``<unk>``, and given words carry no loss (with ``task="denovo"`` they do).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Molecule, Protein, Record, Structure, no_atoms
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.compat_dictionaries import (
    ORDERS,
    SLOT,
    dictionary_lines,
    unigenx_vocabulary,
)
from sciar.tokenization.compat_parts import (
    GroupedElements,
    site_order,
    split_smiles,
    wrap_coordinates,
)
from sciar.tokenization.composition import parse_composition
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.kekule import atoms_of, heavy_graph, kekule_smiles, parse
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.vocabulary import Vocabulary


@dataclass(frozen=True)
class Target:
    """What tells one UniGenX target from another."""

    dictionary: str
    crystal: bool
    marker: tuple[str, ...] = ()
    prefix: str = ""


TARGETS = {
    "material": Target("mat", crystal=True),
    "uni_mat": Target("uni", crystal=True, marker=("<material>",), prefix="<m>"),
    "mol": Target("qm9", crystal=False),
    "uni_mol": Target("uni", crystal=False, marker=("<molecule>",), prefix="<s>"),
}


class UniGenXTokenizer(LayoutTokenizer):
    """Crystals or heavy-atom molecules in UniGenX's layouts.

    Args:
        target: ``material``, ``uni_mat``, ``mol`` or ``uni_mol``.
        dictionary: ``mat``, ``qm9``, ``drugs`` or ``uni``, or the path or lines of a dictionary;
            default: that of the target, ``qm9`` for ``mol``.
        reorder: an order token after ``<coord>`` names the axes that the sites are sorted by.
        task: ``given`` (words given) or ``denovo`` (crystals of ``material`` from ``<bos>`` alone).
        sort: wrap, group and sort the sites; default: only for ``material``, as in UniGenX.
        max_atoms: largest structure.
        scale: factor of the coordinates of atoms, not of the lattice (``scale_coords``).
        vocabulary: stored vocabulary of a trained model.
    """

    def __init__(
        self,
        target: str = "material",
        dictionary: str | Sequence[str] | None = None,
        reorder: bool = False,
        task: str = "given",
        sort: bool | None = None,
        max_atoms: int = 200,
        scale: float = 1.0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if target not in TARGETS:
            raise UsageError(f"target {target!r} is none of {tuple(TARGETS)}")
        if task not in ("given", "denovo") or (task == "denovo" and target != "material"):
            raise UsageError(f"task {task!r} does not exist for target {target!r}")
        self.name, self.target, self.task = target, TARGETS[target], task
        if reorder and not self.target.crystal:
            raise UsageError("only crystals can be reordered")
        if not scale > 0:
            raise UsageError(f"a scale is positive, not {scale}")
        self.reorder, self.max_atoms, self.scale = reorder, max_atoms, scale
        self.makes = ("crystals",) if self.target.crystal else ("molecules",)
        given = "composition" if self.target.crystal else "smiles"
        self.conditions = ("max_atoms",) if task == "denovo" else (given,)
        self.sort = target == "material" if sort is None else sort
        self.vocabulary = vocabulary or unigenx_vocabulary(
            dictionary_lines(self.target.dictionary if dictionary is None else dictionary), reorder
        )
        order = (Segment("order", role="given"),) if reorder else ()
        self.layout = Layout(
            name=f"unigenx-{target}",
            segments=(
                Segment("begin", role="forced", tokens=("<bos>", *self.target.marker)),
                Segment("words", role="given" if task == "given" else "generated"),
                Segment("open", role="forced", tokens=("<coord>",)),
                *order,
                Segment("rows", "slot", slot=SLOT, unit="angstrom, or fraction of a cell vector"),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
            bidirectional=False,
        )

    def config(self) -> dict[str, Any]:
        return {
            "target": self.name,
            "reorder": self.reorder,
            "task": self.task,
            "sort": self.sort,
            "max_atoms": self.max_atoms,
            # Fingerprints of unscaled models are older than scales.
            **({} if self.scale == 1.0 else {"scale": self.scale}),
        }

    def size(self, structure: Structure) -> int:
        self.check_kind(structure)
        if isinstance(structure, Molecule):
            return sum(symbol != "H" for symbol in structure.symbols)
        return len(structure)

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Structure -> words and rows; ``augment`` picks the order of axes if there is one."""
        self.check_kind(structure)
        match structure:
            case Crystal():
                return self._crystal_fields(structure, augment)
            case Molecule():
                return self._molecule_fields(structure)
            case Protein():
                raise no_atoms()
            case _:
                assert_never(structure)

    def structure(self, fields: Mapping[str, Words | Slots]) -> Structure:
        """Fields -> crystal, or molecule of heavy atoms."""
        from rdkit import Chem

        words, rows = self._plain(fields), fields["rows"]
        assert isinstance(rows, Slots)
        if self.target.crystal:
            return Crystal(rows.values[:3], words, rows.values[3:] / self.scale)
        graph = parse("".join(words))
        positions = rows.values / self.scale
        bare = Molecule(tuple(a.GetSymbol() for a in atoms_of(graph)), positions, mol=graph)
        mol = bare.to_rdkit()
        Chem.AssignStereochemistryFrom3D(mol)
        return Molecule.from_rdkit(mol)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        words = self._plain(fields)
        count = len(words) + 3 if self.target.crystal else parse("".join(words)).GetNumAtoms()
        return (SlotSpec(),) * count

    def word_grammar(
        self,
        segment: Segment,
        request: Request,
        fields: Mapping[str, Words | Slots] | None = None,
    ) -> WordGrammar:
        limit = min(request.constraints.get("max_atoms", self.max_atoms), self.max_atoms)
        return GroupedElements(self.vocabulary, limit)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``composition`` or ``smiles``; de novo, nothing or ``max_atoms``."""
        wanted = self.known(constraints)
        order = {"order": Words(ORDERS[:1])} if self.reorder else {}
        known = self.conditions[0]
        if self.task == "denovo":
            self.word_grammar(self.layout.segments[1], Request({}, wanted))
            return Request(order, wanted, id)
        if not wanted:
            raise UsageError(f"this model needs {known}")
        if self.target.crystal:
            counts = parse_composition(wanted[known])
            words = self._words([s for s, count in counts.items() for _ in range(count)])
            size = len(words.tokens)
        else:
            smiles, atoms = kekule_smiles(heavy_graph(parse(wanted[known]))[0])
            words, size = self._words(split_smiles(smiles)), len(atoms)
        if size > self.max_atoms:
            raise RecordError(
                f"{size} atoms; this tokenizer takes at most {self.max_atoms}", field=known
            )
        return Request({"words": words, **order}, {}, id)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        self.check_kind(record.structure)
        match record.structure:
            case Crystal():
                return {"composition": dict(record.structure.composition)}
            case Molecule():
                return {"smiles": record.structure.to_smiles()}
            case Protein():
                raise no_atoms()
            case _:
                assert_never(record.structure)

    def fit_statistics(self, structures: Iterable[Structure]) -> None:
        """Nothing: UniGenX standardises no numbers."""

    def _crystal_fields(
        self, crystal: Crystal, augment: np.random.Generator | None
    ) -> dict[str, Words | Slots]:
        order = ORDERS[0]
        if self.reorder and augment is not None:
            order = ORDERS[augment.integers(len(ORDERS))]
        species, frac = crystal.species, crystal.frac
        if self.sort or self.reorder:
            frac = wrap_coordinates(frac)
            sites = site_order(species, frac, order[6:9])
            species, frac = tuple(species[i] for i in sites), frac[sites]
        fields: dict[str, Words | Slots] = {
            "words": self._words(species),
            "rows": _rows(np.concatenate([crystal.lattice, self.scale * frac])),
        }
        if self.reorder:
            fields["order"] = Words((order,))
        return fields

    def _molecule_fields(self, molecule: Molecule) -> dict[str, Words | Slots]:
        if molecule.mol is None:
            raise RecordError("the molecule has no bonds; perceive them first", field="mol")
        if molecule.positions is None:
            raise RecordError("the molecule has no coordinates", field="positions")
        heavy, source = heavy_graph(molecule.mol)
        smiles, order = kekule_smiles(heavy)
        positions = molecule.positions[[source[i] for i in order]]
        return {"words": self._words(split_smiles(smiles)), "rows": _rows(self.scale * positions)}

    def _words(self, symbols: Sequence[str]) -> Words:
        words = tuple(self.target.prefix + symbol for symbol in symbols)
        self.vocabulary.ids(words)
        return Words(words)

    def _plain(self, fields: Mapping[str, Words | Slots]) -> tuple[str, ...]:
        """The words without their prefix."""
        words = fields["words"]
        assert isinstance(words, Words)
        return tuple(word.removeprefix(self.target.prefix) for word in words.tokens)


def _rows(values: np.ndarray) -> Slots:
    return Slots((SlotSpec(),) * len(values), values)
