"""A task: a codec with a name, the label it reads, and how it is weighted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.cursor import WordGrammar
from sciar.tokenization.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Task:
    """One question that can be asked about a protein, or about a pair.

    All methods locate their errors: the message names the task, the record and the field.

    Attributes:
        name: name of the task.
        codec: type of the answer.
        inputs: number of sequences, 1 or 2.
        field: property of a record that holds the label.
        metric: name of the metric that the best checkpoint is chosen by; empty: the loss.
        weight: factor of the task's loss.
        sampling_weight: factor of the task's share of the batches.
        mask: property of a record with one letter a residue, ``1`` where its label counts; only
            for answers with one token a residue.
        crop: how many leading residues of each sequence the question is about; 0: all. For
            constructs whose end never varies.
        skip: how many residues before these are left out, for constructs whose beginning never
            varies.
    """

    name: str
    codec: AnswerCodec
    inputs: int
    field: str
    metric: str = ""
    weight: float = 1.0
    sampling_weight: float = 1.0
    mask: str = ""
    crop: int = 0
    skip: int = 0

    def view(self, protein: Protein) -> Protein:
        """The part of a protein that the question is about; what all other methods take.

        Raises:
            RecordError: the protein ends before this part begins.
        """
        if not self.crop and not self.skip:
            return protein
        if any(len(chain) <= self.skip for chain in protein.chains):
            raise RecordError(
                f"task {self.name} is about residues after number {self.skip}, but the sequence "
                f"has {min(map(len, protein.chains))}",
                field="sequence",
            )
        return Protein(*(chain[self.skip : self.crop or None] for chain in protein.chains))

    def canonical(self, value: Any, protein: Protein, id: str | None = None) -> Any:
        """A label as an answer would give it, however long the protein is.

        Raises:
            RecordError: no label of this task, or not of this protein.
        """
        task = replace(self, codec=self.codec.reaching(max(map(len, protein.chains))))
        names = task.encode(value, protein, id)
        return task.decode(names, protein, task.payload(value, protein, id), id)

    def derive(self, protein: Protein) -> Any:
        """The label where it follows from the sequence; ``None`` if it does not, or is empty."""
        found = getattr(self.codec, "derive", None)
        return None if found is None else found(protein)

    @property
    def derived(self) -> bool:
        """Whether labels follow from the sequence, so that no record needs to give them."""
        return hasattr(self.codec, "derive")

    @property
    def token(self) -> str:
        """The token that asks the question."""
        return f"<task_{self.name}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The tokens that a vocabulary needs for this task."""
        return (self.token, *self.codec.names)

    def prompt(self, protein: Protein, id: str | None = None) -> tuple[str, ...]:
        """The task token and what the input forces after it."""
        with self._located(protein, id, "sequence"):
            return (self.token, *self.codec.prompt(protein))

    def encode(self, value: Any, protein: Protein, id: str | None = None) -> tuple[str, ...]:
        """Label -> token names of the answer."""
        with self._located(protein, id, self.field):
            if value is None:
                raise RecordError("the label is missing")
            return self.codec.encode(value, protein)

    def payload(self, value: Any, protein: Protein, id: str | None = None) -> tuple[float, ...]:
        """Numbers of the answer's slots."""
        with self._located(protein, id, self.field):
            return self.codec.payload(value)

    def decode(
        self,
        tokens: Sequence[str],
        protein: Protein,
        payload: Sequence[float] = (),
        id: str | None = None,
    ) -> Any:
        """Token names of the answer -> typed value."""
        with self._located(protein, id, "answer"):
            return self.codec.decode(tokens, protein, payload)

    def grammar(
        self, vocabulary: Vocabulary, protein: Protein, id: str | None = None
    ) -> WordGrammar:
        """Automaton of the answers.

        Raises:
            UsageError: the vocabulary, hence the model, does not know the task.
        """
        if self.token not in vocabulary:
            known = [n[6:-1] for n in vocabulary.names if n.startswith("<task_")]
            raise UsageError(
                f"this model has no task {self.name!r}; it knows: {', '.join(known) or 'none'}"
            )
        with self._located(protein, id, "sequence"):
            return self.codec.grammar(vocabulary, protein)

    def max_tokens(self, protein: Protein, id: str | None = None) -> int:
        """Length of the longest answer, without prompt and end."""
        with self._located(protein, id, "sequence"):
            return self.codec.max_tokens(protein)

    @contextmanager
    def _located(self, protein: Protein, id: str | None, field: str) -> Iterator[None]:
        try:
            if len(protein.chains) != self.inputs:
                given = len(protein.chains)
                raise RecordError(
                    f"{self.inputs} sequence(s) are needed and {given} given", field="sequence"
                )
            yield
        except RecordError as error:
            raise RecordError(
                f"task {self.name}: {error.reason}",
                source=error.source,
                record=error.record or id,
                field=error.field or field,
            ) from error
