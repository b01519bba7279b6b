"""From labelled proteins to packs of questions with answers: the data of Prot2Token models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sciar.datasets.batching import PackedLoader
from sciar.datasets.datamodule import StructureData
from sciar.datasets.mixture import Mixture
from sciar.datasets.protein_sets import protein_file, protein_set, readable, split_of
from sciar.datasets.proteins import read_proteins
from sciar.datasets.tokens import TokenCache
from sciar.errors import UsageError
from sciar.records import Annotation, Protein, ProteinRecord, Record
from sciar.tokenization.answers.task import Task
from sciar.tokenization.protein import ProteinTokenizer


@dataclass(frozen=True)
class Source:
    """Labelled proteins, and the tasks that they are labels of.

    Attributes:
        data: name of a set (:mod:`sciar.datasets.protein_sets`) or a file.
        tasks: names of tasks; a record without a task's label is no example of it.
        split: label that names the split of a record, such as ``splits.sampled``; default: that of
            the set, ``split`` for files. Records of a file without such a label are for training.
        limit: use only so many records of a split, spread over the file.
    """

    data: str
    tasks: list[str]
    split: str = ""
    limit: int | None = None


class AnswerData(StructureData):
    """Questions about proteins from several sources, tokenized, mixed by task and packed.

    Of a protein that is too long for the tokenizer, a task that names no residues is learnt from
    the first residues; answers that name some cannot be, and are left out with a warning.

    Args:
        sources: labelled proteins with their tasks.
        tokenizer: of the tasks.
        auxiliary: questions drawn for each protein of the sources, out of the tokenizer's tasks
            whose labels follow from the sequence; 0: none.
        batch_tokens: tokens a training batch, over all processes.
        mixing: exponent of the tasks' shares (:class:`~sciar.datasets.mixture.Mixture`).
        limit: use only the first examples of each task and split (for trials).
        val_limit: most validation examples of each task.
        cache: folder for token caches; ``None`` keeps them in memory.
        seed: of shuffling, mixing and the choice of auxiliary questions.

    Raises:
        UsageError: a source names a task that the tokenizer has not.
    """

    def __init__(
        self,
        sources: list[Source],
        tokenizer: ProteinTokenizer,
        auxiliary: int = 0,
        batch_tokens: int = 4096,
        mixing: float = 0.5,
        limit: int | None = None,
        val_limit: int | None = 200,
        cache: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            [], tokenizer, batch_tokens=batch_tokens, limit=limit, cache=cache, seed=seed
        )
        self.answer_sources, self.tasks = sources, tokenizer.tasks
        self.auxiliary, self.mixing, self.val_limit = auxiliary, mixing, val_limit
        self._names: list[str] = []
        self.derived = [task for task in self.tasks if task.derived]
        for source in sources:
            for name in source.tasks:
                self.tasks[name]
        if auxiliary and not self.derived:
            raise UsageError("auxiliary questions need tasks whose labels follow from the sequence")

    @property
    def fitted_tokenizer(self) -> Any:
        """The tokenizer; there is nothing to fit."""
        return self.tokenizer

    def records(self, split: str) -> list[Record]:
        """Examples of a split: a question with its answer each.

        Raises:
            UsageError: no example, or a set that is not on this machine.
        """
        found: list[Record] = []
        counts: dict[str, int] = {}
        most = self.limit if split == "train" else self.val_limit if split == "val" else None
        most = self.limit if most is None else most
        for source in self.answer_sources:
            proteins = list(self.proteins(source, split))
            if source.limit is not None and len(proteins) > source.limit:
                spread = np.linspace(0, len(proteins) - 1, source.limit).round().astype(int)
                proteins = [proteins[i] for i in spread]
            for record in proteins:
                for task, value in self._questions(source, record):
                    if most is not None and counts.get(task.name, 0) >= most:
                        continue
                    counts[task.name] = counts.get(task.name, 0) + 1
                    most_residues = self.tokenizer.max_atoms
                    found.append(_example(source, record, task, value, len(found), most_residues))
        if not found:
            names = ", ".join(source.data for source in self.answer_sources)
            raise UsageError(f"{split}: no example in {names}; are the labels' fields right?")
        return found

    def proteins(self, source: Source, split: str) -> Iterator[ProteinRecord]:
        """The readable proteins of one source in a split, with all their labels.

        Others, such as variants with a stop codon inside, are counted in a warning.
        """
        path = Path(source.data)
        if path.exists():
            label = source.split or "split"
        else:
            entry = protein_set(source.data)
            path, label = protein_file(entry), source.split or entry.split
        for record in readable(source.data, read_proteins(path)):
            if (split_of(record, label) or "train") == split:
                yield record

    def _questions(self, source: Source, record: ProteinRecord) -> Iterator[tuple[Task, Any]]:
        for name in source.tasks:
            task = self.tasks[name]
            given = task.derive(record.protein) if task.derived else record.labels.get(task.field)
            if given is not None:
                yield task, given
        if self.auxiliary:
            # By the id alone, so that a protein is asked the same in every run and process.
            digest = hashlib.sha256(f"{self.seed} {record.id}".encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            for task in (
                self.derived[i] for i in rng.permutation(len(self.derived))[: self.auxiliary]
            ):
                limit = getattr(task.codec, "max_length", len(record.protein))
                if len(record.protein) <= limit and (given := task.derive(record.protein)):
                    yield task, given

    def encoded(self, split: str, records: Sequence[Record]) -> TokenCache:
        """Token cache of a split; remembers the names of its examples, which end with the task."""
        cache = super().encoded(split, records)
        self._names = cache.ids
        return cache

    def _make(self, split: str, shuffle: bool, budget: int | None = None) -> PackedLoader:
        loader = super()._make(split, shuffle, budget)
        if shuffle:
            names = [task.name for task in self.tasks]
            number = {name: i for i, name in enumerate(names)}
            groups = np.array([number[id.rpartition(":")[2]] for id in self._names])
            weights = np.array([self.tasks[name].sampling_weight for name in names])
            loader.mix(Mixture(groups, weights, self.mixing))
        return loader


def _example(
    source: Source, record: ProteinRecord, task: Task, value: Any, index: int, most: int
) -> Record:
    protein = record.protein
    if len(protein) > most and protein.partner is None and not task.codec.positional:
        protein = Protein(protein.sequence[:most])
    mask = str(record.labels.get(task.mask, "")) if task.mask else ""
    note: Any = Annotation(protein, task.name, value, mask)
    name = f"{Path(source.data).name}/{record.id}:{task.name}"
    return Record(name, note, {}, record.source, index)
