"""The job of ``sciar annotate``: questions about the proteins of a file, answered by a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sciar.datasets.formats.protein_columns import Columns
from sciar.datasets.proteins import read_proteins
from sciar.datasets.readers import RecordFailure
from sciar.jobs.rows import Answer
from sciar.jobs.source import FileSource
from sciar.records import ProteinRecord
from sciar.tokenization.answers.base import AnswerCodec
from sciar.tokenization.answers.contacts import Contacts
from sciar.tokenization.answers.digits import Digits
from sciar.tokenization.answers.label_position import ClassAndPosition
from sciar.tokenization.answers.multi import MultiLabel
from sciar.tokenization.answers.number import Number
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.answers.sites import Sites
from sciar.tokenization.answers.structure_string import StructureString
from sciar.tokenization.answers.terms import Terms
from sciar.tokenization.answers.tree import Tree

_KINDS: tuple[tuple[tuple[type[AnswerCodec], ...], str], ...] = (
    ((Digits, Number), "number"),
    ((MultiLabel, Tree, Terms), "texts"),
    ((Sites,), "positions"),
    ((Contacts,), "pairs"),
    ((ClassAndPosition,), "placed"),
)


def kind_of(codec: AnswerCodec) -> str:
    """The kind of a codec's values, see :data:`sciar.jobs.rows.KINDS`."""
    if isinstance(codec, PerResidue):
        return "text" if codec.letters else "texts"
    if isinstance(codec, StructureString):
        return "text" if codec.alphabet == "3di" else "positions"
    return next((kind for types, kind in _KINDS if isinstance(codec, types)), "text")


class Annotate:
    """A worker that answers with a trained model; see :class:`sciar.jobs.worker.Worker`.

    Args:
        model: name or folder, here and on every node of a cluster.
        tasks: names of its tasks; none: all but the auxiliary ones.
        device: where it runs; ``auto`` takes a GPU if there is one.
        autoregressive: answers with one token a residue are written one by one.

    Raises:
        UsageError: no such model or task; the message lists those that there are.
        ModelError: the model folder is damaged.
    """

    def __init__(
        self,
        model: str,
        tasks: Sequence[str] = (),
        device: str = "auto",
        autoregressive: bool = False,
    ) -> None:
        from sciar import api
        from sciar.api.annotate import Annotator

        loaded = api.load(model, device_of(device))
        self._annotator = Annotator(
            loaded, list(tasks) or None, at_once=False if autoregressive else None
        )
        self.tasks = {task.name: kind_of(task.codec) for task in self._annotator.tasks}
        self._identity = {**model_identity(model, loaded), "at_once": self._annotator.at_once}

    def identity(self) -> dict[str, Any]:
        """Name and fingerprints of the model, and the way of reading answers."""
        return dict(self._identity)

    def tokens(self, record: ProteinRecord) -> int:
        """Residues, once for each task; questions and short answers are not counted."""
        return (len(record.protein) + 2) * len(self.tasks)

    def run(self, records: Sequence[ProteinRecord]) -> list[list[Answer]]:
        """One answer a task for each record."""
        return [
            [Answer(p.status, p.value, p.confidence, p.message) for p in row]
            for row in self._annotator.batch(records)
        ]


def model_identity(model: str, loaded: Any) -> dict[str, Any]:
    """Name and fingerprints of a model that was loaded by its name or folder."""
    from sciar import zoo

    # The configuration holds the checksum of the weights, which loading has verified.
    config = (zoo.find(model) / "config.yaml").read_bytes()
    return {
        "model": loaded.name,
        "sha256": hashlib.sha256(config).hexdigest(),
        "tokenizer": loaded.tokenizer.fingerprint,
    }


def device_of(name: str) -> str:
    """The device that a user's word means."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def protein_source(path: str | Path, **options: str) -> FileSource:
    """The proteins of a file; options as for :func:`read`."""
    return FileSource(Path(path), read, options)


def read(
    path: str | Path,
    format: str = "",
    sequence: str = "",
    partner: str = "",
    id: str = "",
    chain: str = "",
) -> Iterator[ProteinRecord | RecordFailure]:
    """:func:`~sciar.datasets.proteins.read_proteins` with plain options; empty: as usual.

    Args:
        path: file or folder.
        format: of the file.
        sequence: column of the sequence.
        partner: column of the second chain of a pair.
        id: column of the identifier.
        chain: of structure files.
    """
    columns = Columns(sequence, partner, id)
    return read_proteins(path, format=format or None, columns=columns, chain=chain)
