"""Molecules: SMILES, then the coordinates of all atoms, hydrogens included.

Layout (n atoms): ``<bos> SMILES <structure> <atom>*n <eos>``. Against UniGenX's ``mol`` layout
(spec 8.2): an atom slot knows its element, its index and the earlier atoms it is bonded to or near,
its position is predicted in their local frame, and hydrogens are placed too. SMILES are in Kekule
form without stereo; a request with stereo is met by checks, see :meth:`MoleculeTokenizer.verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Molecule, Record, Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.kekule import atoms_of, heavy_graph, kekule_smiles, parse
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.molecule_checks import check_geometry, has_stereo, meets_stereo, mirrored
from sciar.tokenization.molecule_frame import (
    canonical_orientation,
    local_positions,
    order_hydrogens,
)
from sciar.tokenization.molecule_order import molecule_atom_order
from sciar.tokenization.molecule_plan import REFERENCES, MoleculePlan, molecule_plan
from sciar.tokenization.molecule_relations import CODES
from sciar.tokenization.scaffold import Scaffold, ScaffoldGrammar, kept_atoms
from sciar.tokenization.slot_constraints import Given, SlotConstraint
from sciar.tokenization.smiles import SYMBOLS, element, tokenize
from sciar.tokenization.smiles_grammar import SmilesGrammar
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

ATOM = "<atom>"
TASKS = ("conformer", "denovo")


def molecule_vocabulary(symbols: Sequence[str] = SYMBOLS) -> Vocabulary:
    """Specials, the slot kind, element labels and SMILES symbols.

    A symbol such as ``C`` that is both an element and a SMILES token is one token.
    """
    labels = {"H"} | {element(s) for s in symbols if element(s)}
    names = dict.fromkeys(
        ("<pad>", "<bos>", "<eos>", "<structure>", ATOM, *sorted(labels), *sorted(symbols))
    )
    return Vocabulary(tuple(names), (SlotKind(ATOM, 3, geometry="local"),))


class MoleculeTokenizer(LayoutTokenizer):
    """Molecule <-> tokens.

    Args:
        task: ``conformer`` (SMILES given, attended to in both directions) or ``denovo`` (SMILES
            generated as well; it may still be given).
        max_atoms: most atoms, counting those that become slots.
        hydrogens: whether hydrogens become slots.
        symbols: SMILES tokens; default: :data:`~sciar.tokenization.smiles.SYMBOLS`. See also
            :meth:`build`.
        vocabulary: stored vocabulary of a trained model.
    """

    makes = ("molecules",)
    atom_segment = "atoms"
    needs_graph = True
    floors: ClassVar[dict[str, float]] = {ATOM: 0.02}
    """In angstrom."""

    def __init__(
        self,
        task: str = "conformer",
        max_atoms: int = 40,
        hydrogens: bool = True,
        symbols: Sequence[str] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if task not in TASKS:
            raise UsageError(f"task {task!r} is none of {TASKS}")
        self.task, self.max_atoms, self.hydrogens = task, max_atoms, hydrogens
        self.conditions = ("smiles", *(("max_atoms", "scaffold") if task == "denovo" else ()))
        self.vocabulary = vocabulary or molecule_vocabulary(SYMBOLS if symbols is None else symbols)
        given = task == "conformer"
        self.layout = Layout(
            name=f"molecule-{task}",
            segments=(
                Segment("begin", role="forced", tokens=("<bos>",)),
                Segment("smiles", role="given" if given else "generated"),
                Segment("open", role="forced", tokens=("<structure>",)),
                Segment("atoms", "slot", slot=ATOM, unit="angstrom", pinned=1),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
            references=REFERENCES,
            relations=CODES,
            bidirectional=given,
        )

    @classmethod
    def build(cls, molecules: Iterable[Molecule], **options: Any) -> MoleculeTokenizer:
        """A tokenizer whose SMILES tokens are those of the molecules, besides C, ``(``, ``)``, etc.

        The order of the molecules does not matter; those that cannot be encoded are left out.
        """
        symbols = {"C", "(", ")", "=", "#", "1", "2", "3"}
        for molecule in molecules:
            try:
                symbols.update(tokenize(kekule_smiles(_heavy(molecule)[0])[0]))
            except RecordError:
                continue
        return cls(symbols=sorted(symbols), **options)

    def config(self) -> dict[str, Any]:
        return {"task": self.task, "max_atoms": self.max_atoms, "hydrogens": self.hydrogens}

    def size(self, structure: Structure) -> int:
        self.check_kind(structure)
        assert isinstance(structure, Molecule)
        if self.hydrogens:
            return len(structure)
        return sum(symbol != "H" for symbol in structure.symbols)

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Molecule -> SMILES and atoms; ``augment`` picks the SMILES and mirrors every other one.

        The mirror image of a conformer is a conformer of the same stereo-free SMILES.
        """
        self.check_kind(structure)
        assert isinstance(structure, Molecule)
        heavy, source = _heavy(structure)
        if structure.positions is None:
            raise RecordError("the molecule has no coordinates", field="positions")
        smiles, order = kekule_smiles(heavy, augment)
        words = self._words(tokenize(smiles))
        plan = molecule_plan(smiles, self.hydrogens)
        atoms = [source[i] for i in order]
        if self.hydrogens:
            atoms += _hydrogens(structure, atoms, plan)
        positions = structure.positions[atoms]
        if augment is not None and augment.random() < 0.5:
            positions = positions * np.array([1.0, 1.0, -1.0])
        positions = positions[order_hydrogens(plan.specs, plan.hydrogens, positions)]
        return {"smiles": words, "atoms": Slots(plan.specs, canonical_orientation(positions))}

    def atom_order(self, structure: Structure) -> list[int]:
        self.check_kind(structure)
        assert isinstance(structure, Molecule)
        slots = self.fields(structure)["atoms"]
        assert isinstance(slots, Slots)
        return molecule_atom_order(structure, slots.values if self.hydrogens else None)

    def structure(self, fields: Mapping[str, Words | Slots]) -> Molecule:
        """Fields -> molecule with graph and stereo of its coordinates, atoms in slot order."""
        from rdkit import Chem

        atoms = fields["atoms"]
        assert isinstance(atoms, Slots)
        graph = self._plan(fields).mol
        bare = Molecule(tuple(a.GetSymbol() for a in atoms_of(graph)), atoms.values, mol=graph)
        mol = bare.to_rdkit()
        Chem.AssignStereochemistryFrom3D(mol)
        return Molecule.from_rdkit(mol)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        specs = self._plan(fields).specs
        if len(specs) > self.max_atoms:
            raise RecordError(
                f"{len(specs)} atoms; this tokenizer takes at most {self.max_atoms}", field="natoms"
            )
        return specs

    def word_anchors(self, segment: Segment, words: tuple[str, ...]) -> tuple[int, ...]:
        """The index of its atom for each atom token."""
        anchors, count = [], 0
        for word in words:
            is_atom = bool(element(word))
            anchors.append(count if is_atom else -1)
            count += is_atom
        return tuple(anchors)

    def word_grammar(
        self,
        segment: Segment,
        request: Request,
        fields: Mapping[str, Words | Slots] | None = None,
    ) -> WordGrammar:
        limit = min(request.constraints.get("max_atoms") or self.max_atoms, self.max_atoms)
        if scaffold := request.constraints.get("scaffold"):
            return ScaffoldGrammar(
                self.vocabulary, scaffold, limit, limit if self.hydrogens else None
            )
        return SmilesGrammar(self.vocabulary, limit, limit if self.hydrogens else None)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``smiles`` (stereo is kept as a constraint); de novo models also take ``max_atoms``, and
        ``scaffold``, a molecule with coordinates that every sample holds.
        """
        wanted = self.known(constraints)
        smiles = wanted.pop("smiles", None)
        if (fragment := wanted.get("scaffold")) is not None:
            if not isinstance(fragment, Molecule):
                raise UsageError(f"a scaffold is a molecule, not {type(fragment).__name__}")
            wanted["scaffold"] = Scaffold.of(fragment)
        if self.task == "denovo" and smiles is None:
            request = Request({}, wanted, id)
            self.word_grammar(self.layout.segments[1], request)
            return request
        if smiles is None:
            raise UsageError("this model predicts conformers of given molecules: give smiles")
        if wanted:
            raise UsageError(f"a SMILES says everything; leave out {', '.join(sorted(wanted))}")
        kekule, _ = kekule_smiles(heavy_graph(parse(smiles))[0])
        words = self._words(tokenize(kekule))
        self.plan(self.layout.segments[3], {"smiles": words})
        return Request({"smiles": words}, {"stereo": smiles} if has_stereo(smiles) else {}, id)

    def slot_constraint(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> SlotConstraint | None:
        scaffold = request.constraints.get("scaffold")
        if scaffold is None or segment.name != "atoms":
            return None
        words = fields["smiles"]
        assert isinstance(words, Words)
        atoms = kept_atoms(self.vocabulary, scaffold, words.tokens, self.max_atoms)
        return Given(dict(zip(atoms, scaffold.placed, strict=True)))

    def conditions_of(self, record: Record) -> dict[str, Any]:
        self.check_kind(record.structure)
        assert isinstance(record.structure, Molecule)
        return {"smiles": record.structure.to_smiles()}

    def finish(self, structure: Structure, request: Request) -> Structure:
        """The mirror image, if that has the requested stereo and the sample has not.

        With a scaffold, the sample in the frame of its coordinates.
        """
        stereo = request.constraints.get("stereo")
        assert isinstance(structure, Molecule)
        if scaffold := request.constraints.get("scaffold"):
            return scaffold.restored(structure)
        if stereo is None or meets_stereo(structure, stereo):
            return structure
        image = mirrored(structure)
        return image if meets_stereo(image, stereo) else structure

    def verify(self, structure: Structure, request: Request) -> str:
        """Clashes, impossible bond lengths, and requested stereo that the sample has not."""
        assert isinstance(structure, Molecule)
        wrong = check_geometry(structure)
        stereo = request.constraints.get("stereo")
        if not wrong and stereo is not None and not meets_stereo(structure, stereo):
            return f"the stereochemistry is not that of {stereo}"
        return wrong

    def targets(self, segment: Segment, slots: Slots) -> np.ndarray:
        """Positions in local frames, which is what the head predicts."""
        return local_positions(slots.specs, slots.values, segment.pinned)

    def _plan(self, fields: Mapping[str, Words | Slots]) -> MoleculePlan:
        words = fields["smiles"]
        assert isinstance(words, Words)
        return molecule_plan("".join(words.tokens), self.hydrogens)

    def _words(self, tokens: tuple[str, ...]) -> Words:
        self.vocabulary.ids(tokens)
        return Words(tokens, self.word_anchors(self.layout.segments[1], tokens))


def _heavy(structure: Molecule) -> tuple[Any, list[int]]:
    if structure.mol is None:
        raise RecordError(
            "the molecule has no bonds; perceive them first "
            "(sciar.datasets.molecule_graph.perceive, or graphs: true in the recipe)",
            field="mol",
        )
    return heavy_graph(structure.mol)


def _hydrogens(structure: Molecule, atoms: Sequence[int], plan: MoleculePlan) -> list[int]:
    """Indices of the hydrogens of each heavy atom in turn."""
    found: list[int] = []
    assert structure.mol is not None
    for index, slots in zip(atoms, plan.hydrogens, strict=True):
        atom = structure.mol.GetAtomWithIdx(index)
        own = [a.GetIdx() for a in atom.GetNeighbors() if a.GetAtomicNum() == 1]
        if len(own) != len(slots):
            raise RecordError(
                f"atom {index} ({atom.GetSymbol()}) has {len(own)} hydrogens with coordinates "
                f"instead of {len(slots)}; give all hydrogens",
                field="symbols",
            )
        found += own
    return found
