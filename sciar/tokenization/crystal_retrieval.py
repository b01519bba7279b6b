"""Crystals of given compositions, with known structures as context.

Layout: ``<bos> composition <known> [first template] [others] <structure> lattice|strain sites
<eos>``. Everything before ``<structure>`` is given and read in both directions. A template brings
one slot for its cell and one for each site; site i of a template stands for atom i of the
composition (its anchor), and its label is the element that the known structure has there. The first
template is the frame: the others, the cell and the sites that are asked for are told by how they
differ from it. Without a template nothing stands before ``<structure>``, the cell is a
``<lattice>`` and sites are free, as in :class:`~sciar.tokenization.crystal.CrystalTokenizer`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, Record
from sciar.retrieval.elements import SIMILARITIES
from sciar.retrieval.index import Hit, StructureIndex
from sciar.retrieval.store import FACTS, load_index, to_files
from sciar.tokenization.cell import from_parameters, to_parameters
from sciar.tokenization.crystal import CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.cursor import Request
from sciar.tokenization.elements import SYMBOLS
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.recalled import Frame, Recalled, Templates, framed
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

KNOWN_CELL, KNOWN_SITE = "<known-cell>", "<known-site>"
KNOWN_STRAIN, KNOWN_SHIFT = "<known-strain>", "<known-shift>"
STRAIN = "<strain>"
MOST = 3
_BEFORE_SITES = 2
"""Tokens between the templates and the sites: ``<structure>`` and the cell."""


def retrieval_vocabulary(elements: Sequence[str] = SYMBOLS) -> Vocabulary:
    """That of crystals, and the slots of templates."""
    plain = crystal_vocabulary(elements)
    slots = (
        SlotKind(KNOWN_CELL, 7, role="given"),
        SlotKind(KNOWN_SITE, 3, geometry="torus", role="given"),
        SlotKind(KNOWN_STRAIN, 7, role="given"),
        SlotKind(KNOWN_SHIFT, 3, geometry="torus", role="given"),
        SlotKind(STRAIN, 6),
    )
    names = (*plain.names, "<known>", *(slot.name for slot in slots))
    return Vocabulary(names, (*plain.slots, *slots))


class RetrievalCrystalTokenizer(CrystalTokenizer):
    """Crystal, with what is known of others like it <-> tokens.

    It keeps an index of known structures, by default those of the training data, which goes with
    the model. In training the structures of a record's own composition are never its templates.

    Args:
        templates: most templates of a crystal, 1 to 3; augmented encodings have 0 to that many, at
            random, others as many as are found.
        max_atoms: largest cell.
        cell: see :class:`~sciar.tokenization.crystal.CrystalTokenizer`.
        similarity: which elements are alike, a name of
            :data:`sciar.retrieval.elements.SIMILARITIES`.
        leave_out: what is never a template of a training record: structures of its ``composition``,
            or the ``entry`` of its own id alone, where all records are of one composition.
        vocabulary: stored vocabulary of a trained model.
    """

    floors: ClassVar[dict[str, float]] = {
        **CrystalTokenizer.floors,
        KNOWN_CELL: 0.02,
        KNOWN_STRAIN: 0.02,
        STRAIN: 0.01,
    }

    def __init__(
        self,
        templates: int = MOST,
        max_atoms: int = 20,
        cell: str = "niggli",
        similarity: str = "chemical",
        leave_out: str = "composition",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if not 1 <= templates <= MOST:
            raise UsageError(f"a crystal has 1 to {MOST} templates, not {templates}")
        if similarity not in SIMILARITIES:
            raise UsageError(f"similarity {similarity!r} is none of {list(SIMILARITIES)}")
        if leave_out not in ("composition", "entry"):
            raise UsageError(f"leave_out {leave_out!r} is neither 'composition' nor 'entry'")
        vocabulary = vocabulary or retrieval_vocabulary()
        super().__init__("csp", max_atoms, cell, vocabulary=vocabulary)
        self.templates, self.similarity, self.leave_out = templates, similarity, leave_out
        self.conditions = ("composition", "templates", "exclude")
        self.layout = _layout(self.layout, templates)
        self._own: StructureIndex | None = None
        self._given: StructureIndex | None = None
        self._folder = ""
        self._made: Templates | None = None
        self._frames: WeakKeyDictionary[Recalled, Frame] = WeakKeyDictionary()

    def config(self) -> dict[str, Any]:
        return {
            "templates": self.templates,
            "max_atoms": self.max_atoms,
            "cell": self.cell,
            "similarity": self.similarity,
            "leave_out": self.leave_out,
        }

    # What is known

    @property
    def index(self) -> StructureIndex | None:
        """The known structures that templates are taken from; ``None``: there are none."""
        return self.own if self._given is None else self._given

    @property
    def own(self) -> StructureIndex | None:
        """Those that go with the model; read when they are first needed."""
        if self._own is None and self._folder:
            self._own = load_index(self._folder)
        return self._own

    @property
    def _known(self) -> Templates:
        index = self.index
        assert index is not None
        if self._made is None or self._made.index is not index:
            self._made = Templates(index, self.cell == "niggli")
        return self._made

    def know(self, index: StructureIndex | None) -> None:
        """Take templates from these structures from now on; ``None``: from the model's own."""
        self._given = index

    def remember(self, records: Iterable[Record]) -> None:
        """Make the crystals of the training records the model's own."""
        crystals = ((r.id, r.structure) for r in records if isinstance(r.structure, Crystal))
        self._own, self._folder = StructureIndex.of(crystals), ""

    def belongings(self) -> dict[str, bytes]:
        """The model's own structures as files of its folder."""
        return {} if self.own is None else to_files(self.own)

    def find_belongings(self, folder: str) -> None:
        """The model's own structures lie in this folder, if it has any."""
        self._own, self._folder = None, folder if (Path(folder) / FACTS).exists() else ""

    def provenance(self, request: Request) -> dict[str, Any]:
        """Ids, formulas and distances of the templates of a request."""
        hits = request.constraints.get("retrieved", ())
        told = "; ".join(f"{hit.id} ({hit.formula}, {hit.distance:.3g})" for hit in hits)
        return {"templates": told or "none"}

    def recall(
        self,
        composition: Mapping[str, int],
        k: int | None = None,
        exclude: bool = False,
        skip: Collection[str] = (),
    ) -> list[Hit]:
        """The known structures that a composition's templates would be, best first.

        Args:
            composition: element -> atoms in the cell.
            k: how many; default: as many as the model takes.
            exclude: none of the same reduced composition.
            skip: ids that are left out.
        """
        if self.index is None:
            return []
        count = self.templates if k is None else k
        return self.index.nearest(
            composition, count, similarity=self.similarity, exclude=exclude, skip=skip
        )

    def subject(self, record: Record) -> Any:
        """The crystal and its templates, without what is to be left out."""
        self.check_kind(record.structure)
        assert isinstance(record.structure, Crystal)
        if self.index is None:
            return record.structure
        alike = self.leave_out == "composition"
        hits = self.recall(record.structure.composition, exclude=alike, skip={record.id})
        return Recalled(record.structure, tuple(hits), self.index.fingerprint)

    # Crystal <-> fields

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Crystal -> composition, templates, cell and sites.

        Args:
            structure: a crystal, or one with what was :class:`Recalled`.
            augment: picks the origin, and how many of the templates are told.
        """
        crystal = bare(structure)
        hits = structure.hits[: self.templates] if isinstance(structure, Recalled) else ()
        count = len(hits) if augment is None else int(augment.integers(0, self.templates + 1))
        if not hits or not count:
            plain = super().fields(crystal, augment)
            nothing = {"strain": Slots((), np.zeros((0, 6)))}
            return {**plain, **self._told(None, 0), **nothing}
        for symbol in crystal.species:
            self.vocabulary.id(symbol)
        frame = self._frame(structure)
        if augment is not None:
            frame = frame.moved(augment)
        assert frame.crystal is not None
        lattice, frac = frame.crystal
        n, count = len(crystal), min(count, len(hits))
        words = Words(frame.species, tuple(range(n)))
        strain = to_parameters(lattice, n) - to_parameters(frame.lattices[0], n)
        return {
            "composition": words,
            **self._told(frame, count),
            "lattice": Slots((), np.zeros((0, 6))),
            "strain": Slots((SlotSpec(),), strain[None]),
            "sites": Slots(self._relative(words, count), frac % 1.0),
        }

    def _frame(self, recalled: Recalled) -> Frame:
        """All templates of a crystal and itself in one frame; kept while the crystal is in use."""
        found = self._frames.get(recalled)
        if found is None:
            crystal = recalled.structure
            lattice, frac = self.reduced(crystal)
            own = Crystal(lattice, crystal.species, frac)
            told = [self._known.of(hit) for hit in recalled.hits[: self.templates]]
            found = self._frames[recalled] = framed(told, own)
        return found

    def _told(self, frame: Frame | None, count: int) -> dict[str, Words | Slots]:
        """The segments of the templates; empty beyond the first ``count``."""
        found: dict[str, Words | Slots] = {}
        for j in range(self.templates):
            if frame is None or j >= count:
                found[f"cell {j + 1}"] = Slots((), np.zeros((0, 7)))
                found[f"known {j + 1}"] = Slots((), np.zeros((0, 3)))
                continue
            n = len(frame.species)
            cell, frac = to_parameters(frame.lattices[j], n), frame.frac[j]
            if j:
                cell = cell - to_parameters(frame.lattices[0], n)
                frac = frac - frame.frac[0]
            row = np.append(cell, np.sqrt(frame.distances[j]))
            specs = tuple(SlotSpec(label=s, anchor=i) for i, s in enumerate(frame.was[j]))
            found[f"cell {j + 1}"] = Slots((SlotSpec(anchor=j),), row[None])
            found[f"known {j + 1}"] = Slots(specs, frac)
        return found

    def _relative(self, words: Words, count: int) -> tuple[SlotSpec, ...]:
        """The sites, each referring to its site in the first of ``count`` templates."""
        specs, n = self._sites(words), len(words.tokens)
        if not count:
            return specs
        first = -_BEFORE_SITES - count * (1 + n) + 1
        return tuple(
            replace(spec, references=(first + i,), relations=(1,)) for i, spec in enumerate(specs)
        )

    def structure(self, fields: Mapping[str, Words | Slots]) -> Crystal:
        """Fields -> crystal, with the lattice in the standard orientation (a along x)."""
        words, strain, known = fields["composition"], fields["strain"], fields["cell 1"]
        assert isinstance(words, Words) and isinstance(strain, Slots) and isinstance(known, Slots)
        if not len(strain.values):
            return super().structure(fields)
        parameters = known.values[0, :6] + strain.values[0]
        sites = fields["sites"]
        assert isinstance(sites, Slots)
        matrix = from_parameters(parameters, len(words.tokens))
        return Crystal(matrix, words.tokens, sites.values % 1.0)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        count = self._count(fields)
        if segment.name in ("lattice", "strain"):
            return (SlotSpec(),) if (segment.name == "strain") == bool(count) else ()
        words = fields["composition"]
        assert isinstance(words, Words)
        return self._relative(words, count)

    def _count(self, fields: Mapping[str, Words | Slots]) -> int:
        cells = [fields[f"cell {j + 1}"] for j in range(self.templates)]
        return sum(len(cell.specs) for cell in cells if isinstance(cell, Slots))

    # Requests

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``composition``, and which templates: how many, or the ids of known structures.

        ``exclude`` leaves out those of the same reduced composition. What was retrieved is kept in
        the request's constraints.

        Raises:
            UsageError: more templates than the model takes, or an id that is not known.
            RecordError: a bad composition, or a named structure whose counts do not fit.
        """
        wanted = self.known(constraints)
        asked, exclude = wanted.pop("templates", None), bool(wanted.pop("exclude", False))
        plain = super().request(wanted, id)
        words = plain.fields["composition"]
        assert isinstance(words, Words)
        counts = {s: words.tokens.count(s) for s in dict.fromkeys(words.tokens)}
        hits = tuple(self._asked(counts, asked, exclude))
        if not hits:
            fields = {**plain.fields, **self._told(None, 0)}
        else:
            frame = framed([self._known.of(hit) for hit in hits])
            words = Words(frame.species, tuple(range(len(frame.species))))
            fields = {"composition": words, **self._told(frame, len(hits))}
        # Whether it was the search that found none.
        free = not hits and asked != 0
        return Request(fields, {"retrieved": hits, "free": free}, id)

    def _asked(self, counts: Mapping[str, int], asked: Any, exclude: bool) -> list[Hit]:
        if asked is None or isinstance(asked, int):
            count = self.templates if asked is None else int(asked)
            if not 0 <= count <= self.templates:
                raise UsageError(f"this model takes 0 to {self.templates} templates, not {count}")
            return self.recall(counts, count, exclude)
        names = [asked] if isinstance(asked, str) else list(asked)
        if len(names) > self.templates:
            raise UsageError(f"this model takes at most {self.templates} templates")
        if self.index is None:
            raise UsageError("templates are named, but no known structures were given")
        found = []
        for name in names:
            hit = self.index.hit(counts, self.index.place(str(name)))
            if hit is None:
                raise RecordError(f"the counts of {name} do not fit", field="templates")
            found.append(hit)
        return found

    # What is asked of a crystal with templates as of one without

    def size(self, structure: Any) -> int:
        return len(bare(structure))

    def atom_order(self, structure: Any) -> list[int]:
        if isinstance(structure, Recalled) and structure.hits:
            order = self._frame(structure).order
            assert order is not None
            return [int(i) for i in order]
        return super().atom_order(bare(structure))

    def atoms_of(self, structure: Any, sequence: TokenSequence) -> list[int | None]:
        """As for other crystals; slots of templates are about no atom of the crystal."""
        kinds = [self.vocabulary.kind(k) for k in (KNOWN_CELL, KNOWN_SITE, KNOWN_STRAIN)]
        told = np.isin(sequence.kinds, [*kinds, self.vocabulary.kind(KNOWN_SHIFT)])
        anchors = np.where(told, -1, sequence.anchors)
        order = self.atom_order(structure)
        return [order[anchor] if anchor >= 0 else None for anchor in anchors.tolist()]

    def fit_statistics(self, structures: Iterable[Any]) -> None:
        """Of the cells of crystals alone, and of what templates tell."""

        def both() -> Iterator[Any]:
            for structure in structures:
                yield bare(structure)
                if isinstance(structure, Recalled):
                    yield structure

        super().fit_statistics(both())


def bare(structure: Any) -> Crystal:
    """The crystal alone."""
    found = structure.structure if isinstance(structure, Recalled) else structure
    return found  # type: ignore[no-any-return]


def _layout(plain: Layout, templates: int) -> Layout:
    """That of crystals, with templates after the composition and a strain after the lattice."""
    begin, composition, opening, lattice, sites, end = plain.segments
    told = []
    for j in range(templates):
        cell, site = (KNOWN_STRAIN, KNOWN_SHIFT) if j else (KNOWN_CELL, KNOWN_SITE)
        told += [
            Segment(f"cell {j + 1}", "slot", "given", slot=cell, unit=lattice.unit),
            Segment(f"known {j + 1}", "slot", "given", slot=site, unit=sites.unit),
        ]
    strain = replace(lattice, name="strain", slot=STRAIN, unit="ln ratio of lengths, radian")
    known = Segment("recalled", role="forced", tokens=("<known>",))
    segments = (begin, composition, known, *told, opening, lattice, strain, sites, end)
    return replace(plain, name="crystal-retrieval-csp", segments=segments, references=1)
