"""UniGenX's layouts with properties (spec 1.7, 1.8), its C-alpha traces (1.10) and enzymes (1.11).

``cond_mat``  ``<prop> v <bos> El*n <coord> L*3 f*n <eos>``
``cond_mol``  ``<bos> [<p> v]*m <w> t*k <coord> x*n <eos>``
``prot``      ``<bos> r*L <coord> x*L <eos>``, in nanometres
``ecnum``     ``<bos> <ec1> a <ec2> b <ec3> c <prot> r*L <eos>``

A property is a slot like any other: the row ``[v, v, v]``. Names are looked up strictly; two words
of the original's dictionary that stand for none are refused (8.1, items 13 and 14).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Labelled, Molecule, Protein, Record, Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.compat import UniGenXTokenizer
from sciar.tokenization.compat_dictionaries import SLOT, dictionary_lines, unigenx_vocabulary
from sciar.tokenization.compat_parts import FreeWords
from sciar.tokenization.cursor import Request, WordGrammar
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.targets import Target
from sciar.tokenization.vocabulary import Vocabulary


def _bulk(value: float) -> float:
    return math.log(value + 1) if value > 0 else -math.log(1 - value)


def _band(value: float) -> float:
    if value <= -1 / math.e:
        raise RecordError(f"{value:g} has no logarithm here", field="band")
    return math.log(value + 1 / math.e)


def _others(value: float) -> float:
    if value == 0:
        return 0.0
    return -math.log(value) / 10 if value > 0 else math.log(-value) / 10


MATERIAL: dict[str, Callable[[float], float]] = {
    "band": _band,
    "bulk": _bulk,
    "mag": _others,
    "k_avg_cleaned": _others,
    "E_hill": _others,
    "density": _others,
    "heat_capacity_300K": _others,
}
"""Property of ``cond_mat`` -> its transform; its word is the name in angle brackets."""
MOLECULE = {"alpha": "<a>", "gap": "<g>", "homo": "<h>", "lumo": "<l>", "mu": "<m>", "Cv": "<c>"}
"""Property of ``cond_mol`` -> its word. Values are fed as they are."""
PROPERTIES = "properties"


class UniGenXConditionalTokenizer(UniGenXTokenizer):
    """Crystals (``cond_mat``) or heavy-atom molecules (``cond_mol``) of wanted properties.

    Args:
        target: ``cond_mat`` (exactly one property) or ``cond_mol`` (any subset, in one order).
        dictionary: name, path or lines; default: that of the target.
        max_atoms: largest structure.
        scale: of the coordinates of atoms, see :class:`UniGenXTokenizer`.
        vocabulary: stored vocabulary of a trained model.
    """

    def __init__(
        self,
        target: str = "cond_mat",
        dictionary: str | Sequence[str] | None = None,
        max_atoms: int = 200,
        scale: float = 1.0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if target not in ("cond_mat", "cond_mol"):
            raise UsageError(f"target {target!r} is neither cond_mat nor cond_mol")
        crystal = target == "cond_mat"
        super().__init__(
            "material" if crystal else "mol", target if dictionary is None else dictionary,
            max_atoms=max_atoms, scale=scale, vocabulary=vocabulary,
        )  # fmt: skip
        self.words_of = {n: f"<{n}>" for n in MATERIAL} if crystal else MOLECULE
        self.name, self.sort = target, False
        self.conditions = (*self.words_of, "max_atoms")
        begin, words, opened, *rest = self.layout.segments
        given = Segment(PROPERTIES, role="given", mixed=True)
        head = (given, begin) if crystal else (begin, given)
        mark = () if crystal else (Segment("mark", role="forced", tokens=("<w>",)),)
        self.layout = replace(
            self.layout,
            name=f"unigenx-{target}",
            segments=(*head, *mark, replace(words, role="generated"), opened, *rest),
        )

    def config(self) -> dict[str, Any]:
        plain = super().config()
        return {k: plain[k] for k in ("target", "max_atoms", "scale") if k in plain}

    def subject(self, record: Record) -> Any:
        """The structure with the properties that the record has, by their names here."""
        found = {name: Target(name).payload(record.properties.get(name)) for name in self.words_of}
        return Labelled(record.structure, {k: v for k, v in found.items() if v is not None})

    def size(self, structure: Any) -> int:
        return super().size(_bare(structure))

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        labels = structure.labels if isinstance(structure, Labelled) else {}
        if self.target.crystal:
            # One property, as in the original; of several known ones the first.
            labels = dict(list(labels.items())[:1])
        fields = super().fields(_bare(structure), augment)
        return {**fields, PROPERTIES: self._properties(labels)}

    def _properties(self, asked: Mapping[str, float]) -> Words:
        tokens: list[str] = []
        payloads: list[tuple[float, ...]] = []
        for name, word in self.words_of.items():
            if name in asked:
                value = float(asked[name])
                value = MATERIAL[name](value) if self.target.crystal else value
                tokens += [word, SLOT]
                payloads += [(), (value,) * 3]
        return Words(tuple(tokens), payloads=tuple(payloads))

    def word_grammar(
        self,
        segment: Segment,
        request: Request,
        fields: Mapping[str, Words | Slots] | None = None,
    ) -> WordGrammar:
        """Elements for crystals; for molecules any letters, as in the original."""
        if self.target.crystal:
            return super().word_grammar(segment, request, fields)
        letters = [n for n in self.vocabulary.names if not n.startswith("<")]
        return FreeWords(self.vocabulary, letters, 8 * self.max_atoms)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        specs = super().plan(segment, fields)
        atoms = len(specs) - 3 * self.target.crystal
        if atoms > self.max_atoms:
            raise RecordError(f"{atoms} atoms; at most {self.max_atoms} are wanted")
        return specs

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """Numbers for properties, exactly one for crystals; and ``max_atoms``.

        Raises:
            UsageError: none for a crystal, or several.
            RecordError: a value that is no number, or has no transform.
        """
        wanted = self.known(constraints)
        rest = {"max_atoms": wanted.pop("max_atoms")} if "max_atoms" in wanted else {}
        asked: dict[str, float] = {}
        for name, value in wanted.items():
            number = Target(name).payload(value)
            if number is None:
                raise RecordError(f"{value!r} is no number", field=name)
            asked[name] = number
        if self.target.crystal and len(asked) != 1:
            raise UsageError(f"this model takes exactly one property of {', '.join(self.words_of)}")
        return Request({PROPERTIES: self._properties(asked)}, rest, id, asked)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        return dict(self.subject(record).labels)


def _bare(structure: Any) -> Any:
    return structure.structure if isinstance(structure, Labelled) else structure


NANOMETRE = 10.0
"""In angstrom."""
RESIDUES = dict(
    zip(
        ("ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET",
         "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "UNK"),
        "ARNDCQEGHILKMFPSTWYVX",
        strict=True,
    )
)  # fmt: skip
"""Label of a C-alpha point (format ``calpha``) -> letter."""
_LABELS = {letter: label for label, letter in RESIDUES.items()}


class UniGenXTraceTokenizer(LayoutTokenizer):
    """C-alpha traces of given sequences (``prot``); points as the format ``calpha`` reads them.

    Args:
        dictionary: name, path or lines.
        max_atoms: longest chain.
        vocabulary: stored vocabulary of a trained model.
    """

    makes = ("molecules",)
    conditions = ("sequence",)

    def __init__(
        self,
        dictionary: str | Sequence[str] = "prot",
        max_atoms: int = 256,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.max_atoms = max_atoms
        self.vocabulary = vocabulary or unigenx_vocabulary(dictionary_lines(dictionary))
        self.layout = Layout(
            name="unigenx-prot",
            segments=(
                Segment("begin", role="forced", tokens=("<bos>",)),
                Segment("words", role="given"),
                Segment("open", role="forced", tokens=("<coord>",)),
                Segment("rows", "slot", slot=SLOT, unit="nanometre"),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
            bidirectional=False,
        )

    def config(self) -> dict[str, Any]:
        return {"max_atoms": self.max_atoms}

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Letters, and positions about their mean."""
        self.check_kind(structure)
        assert isinstance(structure, Molecule)
        if structure.positions is None:
            raise RecordError("the trace has no coordinates", field="positions")
        strange = [symbol for symbol in structure.symbols if symbol not in RESIDUES]
        if strange:
            raise RecordError(f"{strange[0]!r} is no residue of a C-alpha trace", field="symbols")
        letters = tuple(RESIDUES[symbol] for symbol in structure.symbols)
        rows = (structure.positions - structure.positions.mean(0)) / NANOMETRE
        return {"words": Words(letters), "rows": Slots((SlotSpec(),) * len(letters), rows)}

    def structure(self, fields: Mapping[str, Words | Slots]) -> Molecule:
        words, rows = fields["words"], fields["rows"]
        assert isinstance(words, Words) and isinstance(rows, Slots)
        return Molecule(tuple(_LABELS[w] for w in words.tokens), rows.values * NANOMETRE)

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        words = fields["words"]
        assert isinstance(words, Words)
        return (SlotSpec(),) * len(words.tokens)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``sequence``, letters of residues.

        Raises:
            UsageError: none is given.
            RecordError: another letter, or a longer sequence than the model takes.
        """
        wanted = self.known(constraints)
        if not wanted.get("sequence"):
            raise UsageError("this model needs a sequence")
        letters = tuple(str(wanted["sequence"]).strip().upper())
        if wrong := sorted(set(letters) - set(_LABELS)):
            raise RecordError(f"{wrong[0]!r} is no residue", field="sequence")
        if len(letters) > self.max_atoms:
            raise RecordError(
                f"{len(letters)} residues; this model takes at most {self.max_atoms}",
                field="sequence",
            )
        return Request({"words": Words(letters)}, {}, id)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        fields = self.fields(record.structure)
        words = fields["words"]
        assert isinstance(words, Words)
        return {"sequence": "".join(words.tokens)}

    def fit_statistics(self, structures: Iterable[Structure]) -> None:
        """Nothing: UniGenX standardises no numbers."""


class UniGenXEnzymeTokenizer(LayoutTokenizer):
    """Sequences of enzymes by the first three levels of their EC number (``ecnum``).

    Args:
        dictionary: path or lines of its dictionary, which is not built in.
        max_atoms: longest sequence.
        vocabulary: stored vocabulary of a trained model.

    Raises:
        UsageError: neither a dictionary nor a vocabulary.
    """

    makes = ("proteins",)
    conditions = ("ec",)

    def __init__(
        self,
        dictionary: str | Sequence[str] | None = None,
        max_atoms: int = 2000,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if vocabulary is None and dictionary is None:
            raise UsageError("the dictionary of enzymes is not built in: give its path")
        self.max_atoms = max_atoms
        self.vocabulary = vocabulary or unigenx_vocabulary(dictionary_lines(dictionary or ()))
        self.layout = Layout(
            name="unigenx-ecnum",
            segments=(
                Segment("begin", role="forced", tokens=("<bos>",)),
                Segment("number", role="given"),
                Segment("open", role="forced", tokens=("<prot>",)),
                Segment("words"),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
            bidirectional=False,
        )

    def config(self) -> dict[str, Any]:
        return {"max_atoms": self.max_atoms}

    def subject(self, record: Record) -> Labelled:
        """The sequence with its EC number.

        Raises:
            RecordError: it has none.
        """
        number = record.properties.get("EC_number", record.properties.get("ec"))
        if number is None:
            raise RecordError("no EC number", field="ec")
        return Labelled(record.structure, {"ec": str(number)})

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        if not isinstance(structure, Labelled) or not isinstance(structure.structure, Protein):
            raise RecordError("an enzyme is a sequence with an EC number", field="ec")
        words = Words(tuple(structure.structure.sequence))
        self.vocabulary.ids(words.tokens)
        return {"number": self._number(structure.labels["ec"]), "words": words}

    def _number(self, ec: str) -> Words:
        levels = str(ec).strip().split(".")
        if not 3 <= len(levels) <= 4 or not all(x.isdigit() for x in levels[:3]):
            raise RecordError(f"{ec!r} is no EC number with three levels at least", field="ec")
        words = tuple(w for i, x in enumerate(levels[:3]) for w in (f"<ec{i + 1}>", x))
        for word in words:
            if word not in self.vocabulary:
                raise RecordError(f"EC number {ec}: this model knows no level {word}", field="ec")
        return Words(words)

    def structure(self, fields: Mapping[str, Words | Slots]) -> Protein:
        words = fields["words"]
        assert isinstance(words, Words)
        return Protein("".join(words.tokens))

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        raise UsageError("sequences of enzymes have no coordinates")

    def word_grammar(
        self, segment: Segment, request: Request, fields: Mapping[str, Words | Slots]
    ) -> WordGrammar:
        return FreeWords(self.vocabulary, "ARNDCQEGHILKMFPSTWYV", self.max_atoms)

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``ec``, such as 1.1.1.1; the fourth level is not used.

        Raises:
            UsageError: none is given.
            RecordError: it is malformed, or of a level that the dictionary lacks.
        """
        wanted = self.known(constraints)
        if "ec" not in wanted:
            raise UsageError("this model needs ec, an EC number")
        return Request({"number": self._number(wanted["ec"])}, {}, id)

    def conditions_of(self, record: Record) -> dict[str, Any]:
        return {"ec": self.subject(record).labels["ec"]}

    def fit_statistics(self, structures: Iterable[Structure]) -> None:
        """Nothing: there are no numbers."""


class UniGenXDockingTokenizer(LayoutTokenizer):
    """The vocabulary and layout of docking (``misato``), for its network; it makes no structures.

    Args:
        dictionary: path or lines of its dictionary, which is not built in.
        max_atoms: unused; docking has no structures here.
        vocabulary: stored vocabulary of a trained model.
    """

    def __init__(
        self,
        dictionary: str | Sequence[str] | None = None,
        max_atoms: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if vocabulary is None and dictionary is None:
            raise UsageError("the dictionary of docking is not built in: give its path")
        self.max_atoms = max_atoms
        self.vocabulary = vocabulary or unigenx_vocabulary(dictionary_lines(dictionary or ()))
        parts = [("pocket", "PROT", "token", "given"), ("apo", "PROT_APO_COORDS", "slot", "given"),
                 ("ligand", "LIG", "token", "given"),
                 ("holo", "PROT_HOLO_COORDS", "slot", "generated"),
                 ("pose", "LIG_COORDS", "slot", "generated")]  # fmt: skip
        segments = [Segment("begin", role="forced", tokens=("<bos>",))]
        for name, word, kind, role in parts:
            segments += [
                Segment(f"{name}-start", role="forced", tokens=(f"<{word}_START>",)),
                Segment(name, kind, role, slot=SLOT if kind == "slot" else ""),
                Segment(f"{name}-end", role="forced", tokens=(f"<{word}_END>",)),
            ]
        segments.append(Segment("end", role="forced", tokens=("<eos>",)))
        self.layout = Layout("unigenx-misato", tuple(segments), bidirectional=False)
        for segment in segments:
            self.vocabulary.ids(segment.tokens)

    def fields(
        self, structure: Structure, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        raise RecordError("pockets with ligands are no record of this model yet")

    def structure(self, fields: Mapping[str, Words | Slots]) -> Structure:
        raise RecordError("pockets with ligands are no record of this model yet")

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        raise UsageError("this model makes no structures; its network can be used from Python")

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        raise UsageError("this model makes no structures")
