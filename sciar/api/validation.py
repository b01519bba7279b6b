"""Figures of answers while a model is trained: a callback for recipes with ``task: answers``."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.strategies import ModelParallelStrategy

from sciar.api.model import Model
from sciar.api.scoring import score
from sciar.errors import UsageError
from sciar.folder import ModelFolder
from sciar.records import Annotation, ProteinRecord, Record

_HEADLINES = ("spearman", "accuracy", "residues", "f1", "f1_micro")


class ScoreAnswers(L.Callback):
    """Answers a fixed part of the validation examples and logs one figure a task.

    The figure is Spearman's correlation for numbers, the share of right answers for classes and of
    right residues for answers with one token a residue, F1 for sites, and micro F1 for sets; it is
    called ``val/TASK/FIGURE``, such as ``val/meltome/spearman``, and checkpoints can be chosen by
    it. Validation examples alone are read. It sees the weights that validation sees, averaged ones
    if there are some.

    Args:
        records: of each task, spread evenly over its validation examples.
        every: score at every n-th validation.
        tasks: names of tasks; default: all that have validation examples.

    Raises:
        UsageError: the data are no questions about proteins, a task has no validation example, or
            the model is sharded.
    """

    def __init__(self, records: int = 50, every: int = 1, tasks: list[str] | None = None) -> None:
        if records < 1 or every < 1:
            raise UsageError(f"records and every are at least 1, not {records} and {every}")
        self.records, self.every, self.tasks = records, every, tasks
        self._chosen: dict[str, list[ProteinRecord]] | None = None
        self._passes = 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, ModelParallelStrategy):
            raise UsageError("ScoreAnswers needs the whole model in each process: not with fsdp")

    def on_validation_batch_start(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # With the first batch, not before it: averaged weights are in place then, whatever the
        # order of the callbacks.
        if batch_idx or trainer.sanity_checking:
            return
        self._passes += 1
        if (self._passes - 1) % self.every:
            return
        if self._chosen is None:
            self._chosen = self._choose(trainer)
        for name, value in figures(pl_module, self._chosen).items():
            pl_module.log(f"val/{name}", value, on_step=False, on_epoch=True, batch_size=1)

    def _choose(self, trainer: L.Trainer) -> dict[str, list[ProteinRecord]]:
        data: Any = getattr(trainer, "datamodule", None)
        if not hasattr(data, "tasks"):
            raise UsageError("ScoreAnswers goes with data of questions about proteins")
        found: dict[str, list[ProteinRecord]] = {}
        for record in data.records("val"):
            note: Any = record.structure
            found.setdefault(note.task, []).append(_labelled(record, note, data.tasks[note.task]))
        missing = [name for name in self.tasks or () if name not in found]
        if missing:
            raise UsageError(f"task {missing[0]} has no validation example to score")
        return {
            name: [every[i] for i in _spread(len(every), self.records)]
            for name, every in found.items()
            if self.tasks is None or name in self.tasks
        }


def figures(task: Any, records: dict[str, list[ProteinRecord]]) -> dict[str, float]:
    """``TASK/FIGURE`` -> value, of a training task's model.

    A figure that is not defined, such as the correlation of equal predictions, is 0, so that a
    checkpoint can be chosen by it from the first validation on.

    Args:
        task: an :class:`~sciar.tasks.autoregressive.AutoregressiveTask` of answers.
        records: name of a task -> labelled proteins.
    """
    model = Model(ModelFolder("in training", task.model, task.tokenizer, {}, {}, ""))
    at_once = float(getattr(task.objective, "readout", 0.0)) > 0
    found = {}
    for name, some in records.items():
        whole = score(model, name, some, at_once=at_once)
        headline = next((h for h in _HEADLINES if h in whole), None)
        if headline is not None:
            value = whole[headline]
            value = value["rate"] if isinstance(value, dict) else value  # a rate with its counts
            found[f"{name}/{headline}"] = float(value or 0.0)
    return found


def _labelled(record: Record, note: Annotation, task: Any) -> ProteinRecord:
    labels = {task.field: note.value} | ({task.mask: note.mask} if task.mask else {})
    return ProteinRecord(record.id, note.protein, labels)


def _spread(count: int, most: int) -> list[int]:
    """Up to ``most`` indices, evenly over ``count``."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))
