"""The one training task: next token, whatever the domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from jsonargparse import set_parsing_settings
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.distributed.tensor import DTensor

from sciar.errors import ModelError, UsageError
from sciar.folder import load_folder
from sciar.inheritance import inherit, train_only_new
from sciar.model import AutoregressiveModel, ModelConfig
from sciar.objectives.next_token import NextTokenObjective
from sciar.tasks.schedule import warmup_cosine
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.packing import Pack

# Objectives are dataclasses, of which a recipe could otherwise name no other by its class path.
set_parsing_settings(subclasses_enabled=[NextTokenObjective])

_SHOWN = 12
"""Most parts of the loss on the progress bar."""
FORMAT = 1
"""Of checkpoints; counted up when older versions cannot go on from them."""


class AutoregressiveTask(L.LightningModule):
    """Trains an :class:`~sciar.model.AutoregressiveModel` on packed token sequences.

    Args:
        tokenizer: fitted tokenizer; decides vocabulary and layout.
        model: sizes and heads.
        objective: loss weights and input noise.
        lr: peak learning rate.
        head_lr: peak learning rate of the payload heads and extras (default: ``lr``).
        input_lr: that of pretrained encoders among the input modules (default: a tenth of ``lr``).
        weight_decay: of matrices; vectors and embeddings have none.
        betas: of AdamW.
        warmup: steps of linear warm-up.
        final_lr: end of the cosine, as a share of the peak.
        matmul_precision: ``highest``, ``high`` or ``medium``; the last lets fp32 products run in
            bf16.
        seed: of initial weights and training noise.
        init_from: model folder to start from (fine-tuning); its sizes must be the same. Symbols
            and slots are matched by name; where only symbols are new, they begin like the old ones
            of their family (:mod:`sciar.inheritance`); statistics may differ.
        new_only: train only what new symbols have brought
            (:func:`sciar.inheritance.train_only_new`); the old vocabulary must be the beginning of
            the new one.

    Attributes:
        facts: of the model to start from that stay true of this one: with ``new_only`` how its
            answers are calibrated, without which the same weights would answer otherwise.
    """

    def __init__(
        self,
        tokenizer: LayoutTokenizer,
        model: ModelConfig,
        objective: NextTokenObjective | None = None,
        lr: float = 1e-3,
        head_lr: float | None = None,
        input_lr: float | None = None,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.98),
        warmup: int = 200,
        final_lr: float = 0.02,
        matmul_precision: str = "highest",
        seed: int = 0,
        init_from: str | None = None,
        new_only: bool = False,
    ) -> None:
        super().__init__()
        self.tokenizer, self.objective = tokenizer, objective or NextTokenObjective()
        self.lr, self.head_lr, self.weight_decay = lr, head_lr or lr, weight_decay
        self.input_lr = lr / 10 if input_lr is None else input_lr
        self.betas, self.warmup, self.final_lr = betas, warmup, final_lr
        self.matmul_precision, self.seed = matmul_precision, seed
        self.facts: dict[str, Any] = {}
        self._steps = 1
        self._sums: Tensor | None = None  # (parts, 2) losses and weights of a pass so far
        self._parts: list[str] = []
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = AutoregressiveModel(
                tokenizer.vocabulary,
                tokenizer.layout.references,
                model,
                tokenizer.layout.relations,
            )
        if new_only and not init_from:
            raise UsageError("new_only trains what is new beside a model: name it with init_from")
        if init_from:
            source = load_folder(Path(init_from))
            inherit(source, self.model)
            if new_only:
                # Decay would move old rows that have no gradient.
                self.weight_decay = 0.0
                train_only_new(source.model.vocabulary, self.model)
                self.facts = {k: v for k, v in source.info.items() if k == "calibration"}

    def setup(self, stage: str) -> None:
        torch.set_float32_matmul_precision(self.matmul_precision)

    def training_step(self, batch: Pack, batch_idx: int) -> Tensor:
        objective = self.objective.at(self.global_step, self._steps)
        # The step salts the noise: an exact resume then needs no generator state.
        losses = objective.losses(self.model, batch, salt=self.seed * 1_000_003 + self.global_step)
        loss = self._combine(losses)
        self._log("train", losses, loss, len(batch.lengths))
        return loss

    def validation_step(self, batch: Pack, batch_idx: int) -> Tensor:
        losses = self.objective.losses(self.model, batch, salt=-1 - self.seed)
        loss = self._combine(losses)
        self._log("val", losses, loss, len(batch.lengths))
        return loss

    def test_step(self, batch: Pack, batch_idx: int) -> Tensor:
        losses = self.objective.losses(self.model, batch, salt=-1 - self.seed)
        loss = self._combine(losses)
        self._log("test", losses, loss, len(batch.lengths))
        return loss

    def predict_step(self, batch: Pack, batch_idx: int) -> dict[str, float]:
        """Losses of a pack of one record: total, and by part.

        Returns:
            ``record``, its number in the data; ``loss``; and the loss of each part that it has.
        """
        losses = self.objective.losses(self.model, batch, salt=-1 - self.seed)
        total = float(self._combine(losses))
        row: dict[str, float] = {"record": int(batch.keys[0]), "loss": total}
        return row | {k.strip("<>"): float(s / w) for k, (s, w) in losses.items() if w > 0}

    def _combine(self, losses: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Weighted means over the global batch, so that processes together equal one."""
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            world = dist.get_world_size()
            weights = torch.stack([w.detach() for _, w in losses.values()])
            dist.all_reduce(weights)
            # DDP and FSDP average gradients over processes; times world gives the sum.
            losses = {
                k: (s * world, w) for (k, (s, _)), w in zip(losses.items(), weights, strict=True)
            }
            # A process may hold no slot of some kind, but the others wait for its gradients. What
            # is a shard at this moment belongs to a layer, and layers are always used.
            whole = [p.sum() for p in self.parameters() if not isinstance(p, DTensor)]
            return self.objective.total(losses)[0] + 0.0 * torch.stack(whole).sum()
        return self.objective.total(losses)[0]

    def _log(
        self, stage: str, losses: dict[str, tuple[Tensor, Tensor]], loss: Tensor, n: int
    ) -> None:
        on_step = stage == "train"
        self.log(f"{stage}/loss", loss.detach(), prog_bar=True, batch_size=n, sync_dist=not on_step)
        if not on_step:
            self._add(losses)
            return
        for part, (value, weight) in losses.items():
            if weight > 0:
                name, mean = f"{stage}/{part.strip('<>')}", (value / weight).detach()
                self.log(name, mean, prog_bar=len(losses) <= _SHOWN, batch_size=n)

    def _add(self, losses: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Sums of losses and weights of each part, until the end of the pass."""
        sums = torch.stack([torch.stack(pair).detach().double() for pair in losses.values()])
        self._parts = list(losses)
        self._sums = sums if self._sums is None else self._sums + sums

    def on_validation_epoch_start(self) -> None:
        self._sums = None

    def on_test_epoch_start(self) -> None:
        self._sums = None

    def on_validation_epoch_end(self) -> None:
        self._log_sums("val")

    def on_test_epoch_end(self) -> None:
        self._log_sums("test")

    def _log_sums(self, stage: str) -> None:
        """Means over the whole pass and all processes, which thereby log the same parts.

        A process that meets no example of a task would else not take part in its mean, for which
        the others wait.
        """
        if self._sums is None:
            return
        sums = self._sums
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
        for part, (value, weight) in zip(self._parts, sums, strict=True):
            if weight > 0:
                self.log(f"{stage}/{part.strip('<>')}", (value / weight).float())

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with decay on matrices only, warm-up, then a cosine to ``final_lr``."""
        optimizer = torch.optim.AdamW(
            self._groups(), lr=self.lr, betas=self.betas, fused=self._can_fuse()
        )
        steps = self.trainer.estimated_stepping_batches
        self._steps = int(min(steps, 2**31))
        return warmup_cosine(optimizer, steps, self.warmup, self.final_lr)

    def _groups(self) -> list[dict[str, Any]]:
        groups: dict[tuple[bool, str], list[Tensor]] = {}
        rates = {"": self.lr, "head": self.head_lr, "encoder": self.input_lr}
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            encoder = ".encoder." in name
            decays = parameter.ndim >= 2 and (encoder or "embedding" not in name)
            beside = name.startswith(("heads.", "extras."))
            part = "head" if beside else "encoder" if encoder else ""
            groups.setdefault((decays, part), []).append(parameter)
        return [
            {
                "params": parameters,
                "weight_decay": self.weight_decay if decays else 0.0,
                "lr": rates[part],
            }
            for (decays, part), parameters in groups.items()
        ]

    def _can_fuse(self) -> bool:
        # Shards are DTensors, which the fused kernel of the CPU does not take.
        return not isinstance(self.trainer.strategy, ModelParallelStrategy)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning refuses to clip for fused optimizers, because of loss scaling; bf16 and fp32
        # have none.
        if gradient_clip_val and self._can_fuse() and gradient_clip_algorithm in (None, "norm"):
            norm = torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
            self.log("train/gradient_norm", norm.detach())
        else:
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["sciar"] = {"format": FORMAT, "tokenizer": self.tokenizer.fingerprint}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        found = checkpoint.get("sciar", {})
        if found.get("format", FORMAT) > FORMAT:
            raise ModelError(
                f"the checkpoint was written by a newer SciAR (format {found['format']}, this one "
                f"reads up to {FORMAT}): upgrade with pip install -U sciar"
            )
        stored = found.get("tokenizer")
        if stored != self.tokenizer.fingerprint:
            raise ModelError(
                f"the checkpoint was written with tokenizer {stored}, this run has "
                f"{self.tokenizer.fingerprint}: use the data and options of the first run"
            )
