"""Questions about proteins, answered batch by batch: what ``Model.predict`` and jobs use.

``Annotator(model, tasks).batch(records)`` answers the records of one batch, one list of predictions
for each record. A bad record costs its own rows. Rows do not depend on what else is in the batch,
up to the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sciar.api.answers import Answer, failed, judge
from sciar.api.windows import join, windows
from sciar.datasets.readers import RecordFailure
from sciar.errors import RecordError, UsageError
from sciar.generation.answered import answer
from sciar.generation.settings import GenerationSettings
from sciar.records import Protein, ProteinRecord
from sciar.tokenization.answers.task import Task
from sciar.tokenization.cursor import Request
from sciar.tokenization.protein import ProteinTokenizer

if TYPE_CHECKING:
    from sciar.api.model import Model

Asked = Protein | ProteinRecord | RecordFailure | str
"""What can be asked about: a protein, a record of one, a sequence as text, or a record that could
not be read, which gives failed rows."""


class Annotator:
    """Answers questions about proteins.

    Args:
        model: a model of answers.
        tasks: names of its tasks; default: all that are not derived from the sequence.
        at_once: read answers with one token a residue in one pass; default: if the model was
            trained for it.
        scores: also give the details of each answer (:class:`~sciar.api.answers.Answer`).
        threshold: least chance of a member of a set or list; default: that of the model's
            calibration, else 0.5.
        rows: most answers in the making at once.

    Raises:
        UsageError: the model is none of answers, or has not such a task (the message lists them).
    """

    def __init__(
        self,
        model: Model,
        tasks: Sequence[str] | None = None,
        *,
        at_once: bool | None = None,
        scores: bool = False,
        threshold: float | None = None,
        rows: int = 64,
    ) -> None:
        tokenizer = model.tokenizer
        if not isinstance(tokenizer, ProteinTokenizer):
            raise UsageError(
                f"{model.name} makes structures and answers no questions about proteins"
            )
        self.tokenizer, self.network = tokenizer, model.network
        names = [t.name for t in tokenizer.tasks if not t.derived] if tasks is None else list(tasks)
        unknown = [name for name in names if name not in tokenizer.tasks]
        if unknown or not names:
            known = ", ".join(t.name for t in tokenizer.tasks)
            what = f"has no task {unknown[0]!r}" if unknown else "is asked nothing"
            raise UsageError(f"{model.name} {what}; it knows: {known}")
        self.tasks = [tokenizer.tasks[name] for name in dict.fromkeys(names)]
        self.calibration: dict[str, dict[str, Any]] = model.info.get("calibration") or {}
        trained = float((model.info.get("objective") or {}).get("readout", 0.0)) > 0
        self.at_once = trained if at_once is None else at_once
        self.scores, self.threshold, self.rows = scores, threshold, rows

    def batch(self, records: Sequence[Asked]) -> list[list[Answer]]:
        """Predictions of each record, one a task, in the order of records and tasks."""
        pieces: list[tuple[int, Task, list[int]]] = []
        requests: list[Request] = []
        starts: list[int] = []
        rows: list[list[Answer | None]] = []
        proteins: list[Protein | None] = []
        for i, record in enumerate(records):
            id, protein, error = _identity(record, i)
            proteins.append(protein)
            made: list[Answer | None] = []
            for task in self.tasks:
                if protein is None:
                    made.append(failed(id, task.name, error))
                    continue
                try:
                    parts = self._requests(task, protein, id)
                except RecordError as problem:
                    made.append(failed(id, task.name, problem))
                    continue
                pieces.append((i, task, list(range(len(requests), len(requests) + len(parts)))))
                requests += [request for _, request in parts]
                starts += [start for start, _ in parts]
                made.append(None)
            rows.append(made)
        answers = self._answer(requests)
        for i, task, numbers in pieces:
            id, protein, _ = _identity(records[i], i)
            assert protein is not None
            found = [
                judge(
                    id, task, requests[n].constraints["protein"], answers[n],
                    self.tokenizer.vocabulary, self._calibrated(task, "temperature", 1.0),
                    self.scores or len(numbers) > 1, self._calibrated(task, "spread", 1.0),
                )
                for n in numbers
            ]  # fmt: skip
            whole = found[0]
            if len(numbers) > 1:
                read = [(starts[n], requests[n].constraints["protein"], answers[n], p)
                        for n, p in zip(numbers, found, strict=True)]  # fmt: skip
                whole = join(id, task, task.view(protein), read, self.tokenizer.vocabulary,
                             self.scores, self._calibrated(task, "temperature", 1.0),
                             self._offsets(task))  # fmt: skip
            rows[i][rows[i].index(None)] = whole
        return [[p for p in made if p is not None] for made in rows]

    def _requests(self, task: Task, protein: Protein, id: str) -> list[tuple[int, Request]]:
        """One request, or one for each window of a protein that is too long for the task."""
        limit = min(self.tokenizer.max_atoms, task.codec.max_length)
        seen = task.view(protein)
        if len(seen) <= limit:
            asked = {"protein": protein, "task": task.name}
            return [(0, self.tokenizer.request(asked, id))]
        return [
            (start, self.tokenizer.request({"protein": piece, "task": task.name}, id))
            for start, piece in windows(task, seen, limit)
        ]

    def _answer(self, requests: list[Request]) -> list[Any]:
        """Answers in the order of the requests; tasks that decide in their own way run apart."""
        if not requests:
            return []
        groups: dict[tuple[float, tuple[tuple[str, float], ...]], list[int]] = {}
        for n, request in enumerate(requests):
            task = request.constraints["task"]
            least = self.threshold
            if least is None:
                least = self._calibrated(task, "threshold", 0.5)
            offsets = tuple(sorted(self._offsets(task).items()))
            groups.setdefault((least, offsets), []).append(n)
        found: dict[int, Any] = {}
        for (least, offsets), numbers in groups.items():
            settings = GenerationSettings(
                batch_size=self.rows, temperature=0.0, threshold=least, max_tokens=1 << 20,
                offsets=dict(offsets),
            )  # fmt: skip
            chosen = [requests[n] for n in numbers]
            made = answer(
                self.network, self.tokenizer, chosen, _cold(settings), at_once=self.at_once
            )
            found |= dict(zip(numbers, made, strict=True))
        return [found[n] for n in range(len(requests))]

    def _calibrated(self, task: Task, what: str, default: float) -> float:
        return float(self.calibration.get(task.name, {}).get(what, default))

    def _offsets(self, task: Task) -> dict[str, float]:
        return dict(self.calibration.get(task.name, {}).get("offsets", {}))

    def stream(self, records: Iterable[Asked], batch_residues: int = 8192) -> Iterator[Answer]:
        """Predictions in the order of the records, in batches of about this many residues."""
        batch: list[Asked] = []
        total = 0
        for record in records:
            size = _size(record)
            if batch and total + size > batch_residues:
                yield from (p for row in self.batch(batch) for p in row)
                batch, total = [], 0
            batch.append(record)
            total += size
        if batch:
            yield from (p for row in self.batch(batch) for p in row)


def _cold(settings: GenerationSettings) -> GenerationSettings:
    """With payloads at their mean."""
    from dataclasses import replace

    return replace(settings, payload=replace(settings.payload, temperature=0.0))


def _size(record: Asked) -> int:
    if isinstance(record, ProteinRecord):
        return len(record.protein)
    return 0 if isinstance(record, RecordFailure) else len(record)


def _identity(record: Asked, index: int) -> tuple[str, Protein | None, object]:
    """Id, protein, or what is wrong with it."""
    if isinstance(record, RecordFailure):
        return record.id, None, record.error
    if isinstance(record, ProteinRecord):
        return record.id, record.protein, ""
    if isinstance(record, Protein):
        return f"protein_{index}", record, ""
    try:
        return f"protein_{index}", Protein.from_text(record), ""
    except RecordError as error:
        return f"protein_{index}", None, error
