"""Proteins with questions: residues, a task token, and the answer of the task's codec.

Layout (L residues): ``<bos> <residue>*L <task_x> PROMPT ANSWER <eos>``. A residue slot carries the
residue's id in the encoder's alphabet; what the decoder is told of it is the business of the
model's input module, an encoder (Prot2Token, arXiv:2505.20589, whose decoder reads the encoder by
cross-attention instead). Everything before the answer is given, without loss, and read in both
directions.

Tokens have two axes: the number of the residue that they are about (from 1; 0: none), and the step
of the answer (0: given). The residue that an answer is about is then at the same distance
everywhere, also in a sequence of another length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sciar.errors import RecordError, UsageError
from sciar.records import Annotation, Protein, Record
from sciar.tokenization.answers.base import NUMBER, SEP, SPECIALS
from sciar.tokenization.answers.indices import position_of
from sciar.tokenization.answers.registry import STANDARD, Tasks
from sciar.tokenization.answers.task import Task
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Request
from sciar.tokenization.esm_alphabet import TOKENS as LETTERS
from sciar.tokenization.esm_alphabet import residue_ids
from sciar.tokenization.layout import Layout, Segment, Slots, SlotSpec, Words
from sciar.tokenization.protein_cursor import AnswerCursor
from sciar.tokenization.protein_question import ProteinQuestion
from sciar.tokenization.sequence import TokenSequence
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

RESIDUE = "<residue>"
AXES = 2
_BASE = Vocabulary(SPECIALS, (SlotKind(RESIDUE, 1, geometry="symbol", role="given"),))


class ProteinTokenizer(LayoutTokenizer):
    """Annotation (protein, task, value) <-> tokens.

    Args:
        tasks: entries of tasks, or a YAML file of them; default: the tasks of the known data sets.
        only: names of the tasks to take, in this order; default: all.
        max_length: most residues of a protein, both chains of a pair together.
        extends: folder of a trained model whose tasks come first and keep their ids.
        vocabulary: stored vocabulary of a trained model.

    Raises:
        UsageError: unknown task, malformed entry, or a vocabulary that lacks a task's token.
    """

    conditions = ("protein", "sequence", "partner", "task")
    reads = "protein"

    def __init__(
        self,
        tasks: dict[str, Any] | str | None = None,
        only: list[str] | None = None,
        max_length: int = 1022,
        extends: str | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        made = Tasks(tasks) if isinstance(tasks, Mapping) else Tasks.from_yaml(tasks or STANDARD)
        self.tasks = made if only is None else made.only(only)
        old = _BASE
        if extends is not None:
            from sciar.tokenization.stored import stored_tokenizer

            options, old = stored_tokenizer(Path(extends))
            self.tasks = Tasks(options["tasks"]).plus(self.tasks)
        if not len(self.tasks):
            raise UsageError("a protein tokenizer needs at least one task")
        self.max_atoms = max_length
        self.vocabulary = vocabulary or self.tasks.vocabulary(old)
        missing = [
            name for task in self.tasks for name in task.names if name not in self.vocabulary
        ]
        if missing:
            raise UsageError(f"the stored vocabulary lacks the token {missing[0]}")
        self.layout = Layout(
            name="protein-answers",
            segments=(
                Segment("begin", role="forced", tokens=("<bos>",)),
                Segment("residues", "slot", role="given", slot=RESIDUE, unit="id of the residue"),
                Segment("question", role="given"),
                Segment("answer"),
                *(
                    (Segment("numbers", "slot", slot=NUMBER, unit="standard deviations"),)
                    if any(task.codec.slots for task in self.tasks)
                    else ()
                ),
                Segment("end", role="forced", tokens=("<eos>",)),
            ),
            axes=AXES,
        )

    def config(self) -> dict[str, Any]:
        return {"tasks": self.tasks.to_dict(), "max_length": self.max_atoms}

    # -- examples --------------------------------------------------------------------------------

    def encode(
        self, structure: Any, *, augment: np.random.Generator | None = None
    ) -> TokenSequence:
        """Annotation -> sequence; the loss weights of an answer sum to the weight of its task.

        A token that the grammar forces carries no loss: it is never sampled either.
        """
        note = _annotation(structure)
        task = self.tasks[note.task]
        protein = task.view(note.protein)
        prompt = self.prompt(protein, task)
        names = task.encode(note.value, protein)
        numbers = task.payload(note.value, protein)
        ids = self.vocabulary.ids((*names, "<eos>"))
        n = len(ids)
        weights = self._weights(task, protein, ids, note.mask)
        kinds = np.zeros(n, dtype=np.int8)
        values = np.zeros((n, self.vocabulary.width), dtype=np.float32)
        slots = [i for i, name in enumerate(names) if name == NUMBER]
        if slots:
            kinds[slots] = self.vocabulary.kind(NUMBER)
            values[slots, 0] = numbers
        answer = _plain(ids, places_of(task, names), kinds, values, weights)
        return _joined(prompt, answer)

    def example(self, record: Record) -> Annotation:
        """The first task that the record has a label of, with this label."""
        protein = record.structure
        if not isinstance(protein, Protein):
            raise RecordError("this model answers questions about proteins", record=record.id)
        for task in self.tasks:
            given = task.derive(protein) if task.derived else record.properties.get(task.field)
            if given is not None:
                return Annotation(protein, task.name, given)
        fields = ", ".join(dict.fromkeys(task.field for task in self.tasks))
        raise RecordError(f"no label of any task of this model; known: {fields}", record=record.id)

    def decode(self, sequence: TokenSequence) -> Any:
        """Sequence -> annotation.

        Raises:
            UsageError: no sequence of this layout.
            RecordError: the tokens are no complete answer.
        """
        names = [self.vocabulary.names[i] for i in sequence.ids]
        residue = self.vocabulary.kind(RESIDUE)
        rows = np.flatnonzero(sequence.kinds == residue)
        n = len(rows)
        task = next((t for t in self.tasks if n + 1 < len(names) and t.token == names[n + 1]), None)
        if not n or names[0] != "<bos>" or task is None or names[-1] != "<eos>":
            raise UsageError("a sequence is <bos>, residues, a task token, an answer and <eos>")
        letters = [LETTERS[int(v)] for v in sequence.values[rows, 0]]
        first = sequence.labels[rows] < 0
        chains = ["".join(x for x, own in zip(letters, first, strict=True) if own == side)
                  for side in (True, False)]  # fmt: skip
        protein = Protein(chains[0], chains[1] or None)
        start = 1 + n + len(task.prompt(protein))
        kept = slice(start, len(names) - 1)
        slots = sequence.kinds[kept] > 0
        payload = sequence.values[kept][slots, 0].tolist()
        return Annotation(protein, task.name, task.decode(names[kept], protein, payload))

    def prompt(self, protein: Protein, task: Task, id: str | None = None) -> TokenSequence:
        """Everything before the answer.

        Raises:
            RecordError: too long, or not what the task asks about.
        """
        self._check_length(protein, id)
        question = task.prompt(protein, id)
        n, m = len(protein), len(question)
        slot = self.vocabulary.id(RESIDUE)
        ids = np.concatenate(
            [self.vocabulary.ids(("<bos>",)), np.full(n, slot), self.vocabulary.ids(question)]
        ).astype(np.int32)
        inside = slice(1, n + 1)
        kinds = np.zeros(n + m + 1, dtype=np.int8)
        kinds[inside] = self.vocabulary.kind(RESIDUE)
        values = np.zeros((len(ids), self.vocabulary.width), dtype=np.float32)
        values[inside, 0] = np.concatenate([residue_ids(chain) for chain in protein.chains])
        place = np.zeros((len(ids), AXES), dtype=np.float32)
        number = np.concatenate([np.arange(len(chain)) for chain in protein.chains])
        place[inside, 0] = number + 1
        place[n + 1 :, 0] = [_number(name) for name in question]
        sequence = _plain(ids, place, kinds, values, np.zeros(len(ids), dtype=np.float32))
        sequence.anchors[inside] = number
        # The partner's residues are labelled, so that equal numbers of two chains differ.
        sequence.labels[1 + len(protein.sequence) : n + 1] = self.vocabulary.id(SEP)
        return replace(sequence, context=len(ids))

    def _check_length(self, protein: Protein, id: str | None) -> None:
        if len(protein) > self.max_atoms:
            raise RecordError(
                f"{len(protein)} residues; this model takes at most {self.max_atoms}",
                record=id,
                field="sequence",
            )

    def _weights(self, task: Task, protein: Protein, ids: np.ndarray, mask: str) -> np.ndarray:
        """(n,) loss weights of an answer and its end."""
        grammar = task.grammar(self.vocabulary, protein)
        weights = np.zeros(len(ids), dtype=np.float32)
        for i, token in enumerate(ids[:-1]):
            allowed, may_end = grammar.allowed()
            slot = self.vocabulary.names[token] == NUMBER
            weights[i] = slot or np.count_nonzero(allowed) + may_end > 1
            grammar.push(int(token))
        weights[-1] = grammar.allowed()[0].any()
        if mask:
            if len(mask) != len(protein.sequence):
                raise RecordError(
                    f"task {task.name}: {len(mask)} letters of the mask for "
                    f"{len(protein)} residues",
                    field=task.mask,
                )
            weights[: len(mask)] *= np.array([letter == "1" for letter in mask])
        if not weights.any():
            raise RecordError(f"task {task.name}: nothing of the answer is left to learn from")
        return weights * np.float32(task.weight / weights.sum())

    # -- the declared layout ---------------------------------------------------------------------

    def fields(
        self, structure: Any, augment: np.random.Generator | None = None
    ) -> dict[str, Words | Slots]:
        """Annotation -> the segments of the layout."""
        note = _annotation(structure)
        task = self.tasks[note.task]
        protein = task.view(note.protein)
        sequence = self.prompt(protein, task)
        names = tuple(n for n in task.encode(note.value, protein) if n != NUMBER)
        numbers = np.array(task.payload(note.value, protein), dtype=np.float64).reshape(-1, 1)
        residue = sequence.kinds > 0
        specs = tuple(
            SlotSpec(label=SEP if label >= 0 else "", anchor=int(anchor), position=tuple(place),
                     place=tuple(place))
            for label, anchor, place in zip(
                sequence.labels[residue], sequence.anchors[residue],
                sequence.positions[residue].tolist(), strict=True,
            )
        )  # fmt: skip
        return {
            "residues": Slots(specs, sequence.values[residue, :1].astype(np.float64)),
            "question": Words(task.prompt(protein)),
            "answer": Words(names),
            "numbers": Slots((SlotSpec(),) * len(numbers), numbers),
        }

    def structure(self, fields: Mapping[str, Words | Slots]) -> Any:
        """Segments -> annotation."""
        residues, question, answer = fields["residues"], fields["question"], fields["answer"]
        numbers = fields.get("numbers")
        assert isinstance(residues, Slots)
        assert isinstance(question, Words) and isinstance(answer, Words)
        chains = ["", ""]
        for spec, value in zip(residues.specs, residues.values[:, 0], strict=True):
            chains[bool(spec.label)] += LETTERS[int(value)]
        protein = Protein(chains[0], chains[1] or None)
        task = next(t for t in self.tasks if t.token == question.tokens[0])
        payload = numbers.values[:, 0].tolist() if isinstance(numbers, Slots) else []
        tokens = (*answer.tokens, *(NUMBER,) * len(payload))
        return Annotation(protein, task.name, task.decode(tokens, protein, payload))

    def plan(self, segment: Segment, fields: Mapping[str, Words | Slots]) -> tuple[SlotSpec, ...]:
        raise UsageError("the slots of an answer follow from its grammar")

    # -- generation ------------------------------------------------------------------------------

    def request(self, constraints: Mapping[str, Any], id: str = "") -> Request:
        """``protein`` (or ``sequence``, and ``partner`` for a pair) and ``task``.

        Raises:
            UsageError: unknown task (the message lists the known ones), or neither is given.
            RecordError: the task cannot be asked about this protein.
        """
        wanted = {k: v for k, v in constraints.items() if v is not None}
        unknown = sorted(set(wanted) - set(self.conditions))
        if unknown or "task" not in wanted:
            raise UsageError(
                "a question is a task about a protein: give task, and protein or sequence"
                + (f"; drop {', '.join(unknown)}" if unknown else "")
            )
        protein = wanted.get("protein")
        if protein is None:
            protein = Protein.from_text(wanted.get("sequence", ""), wanted.get("partner"))
        task = self.tasks[wanted["task"]]
        seen = task.view(protein)
        self._check_length(seen, id or None)
        task.max_tokens(seen, id or None)
        return Request({}, {"protein": seen, "task": task}, id)

    def cursor(self, request: Request) -> Any:
        """The walk along the answer's grammar."""
        return AnswerCursor(self, request)

    def question(self, request: Request) -> ProteinQuestion:
        """What is asked in a request."""
        return ProteinQuestion(self, request)

    def solved(self, example: Annotation) -> tuple[Request, TokenSequence]:
        """The question of a known answer, and the whole sequence, whatever part has loss.

        Raises:
            RecordError: the answer cannot be expressed.
        """
        request = self.request({"protein": example.protein, "task": example.task})
        return request, self.encode(replace(example, mask=""))

    def fit_statistics(self, structures: Iterable[Any]) -> None:
        """Nothing to measure: residues are only read, and tasks standardise their own numbers."""


def places_of(task: Task, names: Sequence[str]) -> np.ndarray:
    """(n + 1, 2) places of an answer's n tokens and of the end."""
    place = np.array([place_of(task, name, i) for i, name in enumerate(names)], dtype=np.float32)
    last = np.array([[0.0, len(names) + 1.0]], dtype=np.float32)
    return np.concatenate([place.reshape(-1, AXES), last])


def place_of(task: Task, name: str, step: int) -> tuple[float, float]:
    """Place of the token at ``step`` (from 0) of an answer: its residue, and the step.

    A token of an answer with one for each residue stands where its residue does, so that it can be
    read from there too.
    """
    if task.codec.parallel:
        return float(step + 1), 0.0
    return _number(name), float(step + 1)


def _number(name: str) -> float:
    return float(position_of(name) + 1) if name.startswith("idx:") else 0.0


def _annotation(structure: Any) -> Annotation:
    if not isinstance(structure, Annotation):
        raise RecordError(
            f"a protein tokenizer takes annotations (protein, task, value), not a "
            f"{type(structure).__name__.lower()}"
        )
    return structure


def _plain(
    ids: np.ndarray, place: np.ndarray, kinds: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> TokenSequence:
    n = len(ids)
    return TokenSequence(
        ids=ids.astype(np.int32),
        kinds=kinds,
        values=values,
        weights=weights.astype(np.float32),
        labels=np.full(n, -1, dtype=np.int32),
        anchors=np.full(n, -1, dtype=np.int16),
        references=np.zeros((n, 0), dtype=np.int16),
        relations=np.zeros((n, 0), dtype=np.int8),
        positions=place.astype(np.float32),
        places=place.astype(np.float32),
    )


def _joined(prompt: TokenSequence, answer: TokenSequence) -> TokenSequence:
    names = [name for name in vars(prompt) if name != "context"]
    both = {name: np.concatenate([getattr(prompt, name), getattr(answer, name)]) for name in names}
    return TokenSequence(**both, context=prompt.context)
