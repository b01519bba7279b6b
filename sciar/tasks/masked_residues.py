"""Pretraining of an encoder of proteins: guess hidden residues."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from sciar.nn.encoders.esm2 import Esm2Config
from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.objectives.masked_residues import MaskedResidueObjective, Scores
from sciar.tasks.schedule import warmup_cosine
from sciar.tokenization.residues import ResiduePack


class MaskedResidueTask(L.LightningModule):
    """Trains a :class:`~sciar.nn.encoders.masked_lm.MaskedLM` on packs of residues.

    Validation logs cross-entropy (nats), perplexity and accuracy over the hidden residues, and
    beside them those of guessing by the background frequencies (``val/unigram_*``).

    Args:
        encoder: sizes.
        background: frequency of each token id in the training data.
        objective: which residues are hidden.
        lr: peak learning rate.
        weight_decay: of matrices; vectors and the embedding have none.
        betas: of AdamW.
        warmup: steps of linear warm-up.
        final_lr: end of the cosine, as a share of the peak.
        matmul_precision: ``highest``, ``high`` or ``medium``.
        seed: of initial weights and of what is hidden.
    """

    def __init__(
        self,
        encoder: Esm2Config,
        background: list[float],
        objective: MaskedResidueObjective | None = None,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.98),
        warmup: int = 300,
        final_lr: float = 0.01,
        matmul_precision: str = "highest",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.objective = objective or MaskedResidueObjective()
        self.lr, self.weight_decay, self.betas = lr, weight_decay, betas
        self.warmup, self.final_lr = warmup, final_lr
        self.matmul_precision, self.seed = matmul_precision, seed
        self.sums: dict[str, Tensor] = {}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = MaskedLM(encoder, background)

    def setup(self, stage: str) -> None:
        torch.set_float32_matmul_precision(self.matmul_precision)

    def training_step(self, batch: ResiduePack, batch_idx: int) -> Tensor:
        # The step salts what is hidden: an exact resume then needs no generator state.
        scores = self.objective.scores(
            self.model, batch, salt=self.seed * 1_000_003 + self.global_step
        )
        loss = self._mean(scores)
        size = len(batch.lengths)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=size)
        accuracy = scores.right / scores.count.clamp_min(1)
        self.log("train/accuracy", accuracy, prog_bar=True, batch_size=size)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.sums = {}

    def validation_step(self, batch: ResiduePack, batch_idx: int) -> None:
        scores = self.objective.scores(self.model, batch, salt=-1 - self.seed)
        for name, value in vars(scores).items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()

    def on_validation_epoch_end(self) -> None:
        """Means over all hidden residues of all batches and processes."""
        self._log_sums("val")

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """As after validation."""
        self._log_sums("test")

    def _log_sums(self, stage: str) -> None:
        if not self.sums:
            return
        sums = self.sums
        if dist.is_available() and dist.is_initialized():
            stacked = torch.stack([v.double() for v in sums.values()])
            dist.all_reduce(stacked)
            sums = dict(zip(sums, stacked, strict=True))
        count = sums["count"].clamp_min(1)
        loss, background = sums["loss"] / count, sums["background"] / count
        self.log(f"{stage}/loss", loss, prog_bar=True)
        self.log(f"{stage}/perplexity", loss.exp())
        self.log(f"{stage}/accuracy", sums["right"] / count, prog_bar=True)
        self.log(f"{stage}/unigram_loss", background)
        self.log(f"{stage}/unigram_perplexity", background.exp())
        self.log(f"{stage}/unigram_accuracy", sums["frequent"] / count)
        self.log(f"{stage}/hidden_residues", sums["count"])

    def _mean(self, scores: Scores) -> Tensor:
        """The mean over the hidden residues of the global batch."""
        count, world = scores.count, 1
        if dist.is_available() and dist.is_initialized():
            world = dist.get_world_size()
            count = count.clone()
            dist.all_reduce(count)
        # DDP averages gradients over processes; times world gives the sum.
        return scores.loss * world / count.clamp_min(1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with decay on matrices only, warm-up, then a cosine to ``final_lr``."""
        groups: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, parameter in self.model.named_parameters():
            groups[parameter.ndim >= 2 and "embed" not in name].append(parameter)
        decays: list[dict[str, Any]] = [
            {"params": groups[True], "weight_decay": self.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(decays, lr=self.lr, betas=self.betas, fused=True)
        steps = self.trainer.estimated_stepping_batches
        return warmup_cosine(optimizer, steps, self.warmup, self.final_lr)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning refuses to clip for fused optimizers, because of loss scaling; bf16 and fp32
        # have none.
        if gradient_clip_val:
            norm = torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
            self.log("train/gradient_norm", norm.detach())
