"""Runs of the real trainer on random crystals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_models import crystal_tokenizer, random_crystals, tiny_config

from sciar.datasets.datamodule import StructureData
from sciar.datasets.writers import write
from sciar.records import Record
from sciar.tasks.autoregressive import AutoregressiveTask
from sciar.tasks.averaging import EMAWeightAveraging


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one order, whatever the machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def crystal_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty random crystals."""
    path = tmp_path_factory.mktemp("data") / "crystals.jsonl"
    write([Record(f"r{i}", c) for i, c in enumerate(random_crystals(40))], path)
    return path


class Watch(L.Callback):
    """Remembers the records of each batch."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def on_train_batch_start(self, trainer: L.Trainer, task: Any, batch: Any, index: int) -> None:
        self.seen.append(batch.keys.tolist())


class Run:
    """One training run of the trainer, small and repeatable.

    Attributes:
        trainer, task, data: its parts, after the run.
        seen: identity of the records of each batch.
    """

    def __init__(self, file: Path, folder: Path, steps: int, **options: Any) -> None:
        self.data = StructureData(
            [str(file)], crystal_tokenizer(), batch_tokens=options.pop("batch_tokens", 120)
        )
        self.task = AutoregressiveTask(
            self.data.fitted_tokenizer, tiny_config(), lr=3e-3, warmup=3, **options.pop("task", {})
        )
        watch = Watch()
        self.seen = watch.seen
        callbacks = [
            watch,
            EMAWeightAveraging(decay=0.8),
            ModelCheckpoint(folder, save_last=True, every_n_train_steps=1, save_top_k=-1),
            *options.pop("callbacks", []),
        ]
        self.trainer = L.Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            max_steps=steps,
            gradient_clip_val=1.0,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=options.pop("limit_val_batches", 0),
            **options,
        )

    def fit(self, checkpoint: Path | None = None) -> Run:
        """Train, from a checkpoint if given."""
        self.trainer.fit(self.task, self.data, ckpt_path=checkpoint, weights_only=True)
        return self

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """Averaged weights at the end."""
        return {k: v.clone() for k, v in self.task.model.state_dict().items()}


@pytest.fixture
def run(crystal_file: Path) -> Any:
    """Makes a :class:`Run` on the random crystals."""

    def make(folder: Path, steps: int, **options: Any) -> Run:
        return Run(crystal_file, folder, steps, **options)

    return make
