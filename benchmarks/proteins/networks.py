"""Baselines that are trained: a small CNN, and heads on an encoder, frozen or with its last blocks.

Shapes: B proteins of L residues, padded; D width of what is read; C outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.proteins.linear import LETTERS, read_labels
from benchmarks.proteins.sets import Example, Experiment, headline, scores
from sciar.nn.encoders.esm2 import Esm2, buckets
from sciar.records import Protein
from sciar.tokenization.esm_alphabet import encoder_ids

PER_RESIDUE = ("residues", "sites")


@dataclass(frozen=True)
class Training:
    """How a baseline is trained.

    Attributes:
        epochs: most passes over the training data.
        patience: passes without a better validation figure after which training ends.
        lr: learning rate of the head; the encoder's blocks take a tenth of it.
        budget: residues in a batch, padding included.
        seed: of weights and order.
    """

    epochs: int = 12
    patience: int = 3
    lr: float = 2e-3
    budget: int = 6000
    seed: int = 0


class OneHot(nn.Module):
    """Letters -> (B, L, 21), no parameters."""

    width = 21

    def prepare(self, sequences: Sequence[str]) -> list[Tensor]:
        """(L,) letter numbers of each sequence; 20 for rare letters."""
        table = {a: i for i, a in enumerate(LETTERS)}
        return [torch.tensor([table.get(a, 20) for a in s]) for s in sequences]

    def forward(self, items: list[Tensor]) -> list[Tensor]:
        """(L, 21) of each protein."""
        return [F.one_hot(item, 21).float() for item in items]


class Encoded(nn.Module):
    """An encoder whose last blocks are trained, or none; what is frozen is computed once.

    Args:
        encoder: pretrained.
        blocks: how many of its last blocks are trained, with the final norm.
    """

    def __init__(self, encoder: Esm2, blocks: int = 0) -> None:
        super().__init__()
        self.encoder, self.blocks, self.width = copy.deepcopy(encoder), blocks, encoder.config.width
        self.encoder.requires_grad_(False)
        if blocks:
            for part in (*self.encoder.layers[-blocks:], self.encoder.norm):
                part.requires_grad_(True)

    @torch.no_grad()
    def prepare(self, sequences: Sequence[str]) -> list[Tensor]:
        """(L + 2, D) of each sequence after the frozen part, in half precision."""
        ids = [torch.from_numpy(encoder_ids(Protein(s))) for s in sequences]
        found: dict[int, Tensor] = {}
        depth = self.encoder.config.layers - self.blocks
        for batch in buckets([len(i) for i in ids], 8192):
            sizes = [len(ids[i]) for i in batch]
            flat, lengths = torch.cat([ids[i] for i in batch]), torch.tensor(sizes)
            x = self.encoder.lower(flat, lengths, depth)
            x = x if self.blocks else self.encoder.norm(x)
            found |= dict(zip(batch, (v.half() for v in x.split(sizes)), strict=True))
        return [found[i] for i in range(len(ids))]

    def forward(self, items: list[Tensor]) -> list[Tensor]:
        """(L, D) of each protein, without the marks at both ends."""
        rows = [item.float() for item in items]
        if self.blocks:
            sizes = [len(r) for r in rows]
            flat = self.encoder.upper(torch.cat(rows), torch.tensor(sizes), self.blocks)
            rows = list(flat.split(sizes))
        return [row[1:-1] for row in rows]


class Convolutions(nn.Module):
    """Two convolutions, then a linear layer on each residue, or on the largest values."""

    def __init__(self, width: int, outputs: int, per_residue: bool, hidden: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, hidden, 9, padding=4)
        self.second = nn.Conv1d(hidden, hidden, 9, padding=4)
        self.out, self.per_residue = nn.Linear(hidden, outputs), per_residue

    def forward(self, x_BLD: Tensor, known_BL: Tensor) -> Tensor:
        """(B, L, C) or (B, C)."""
        mask = known_BL[:, None].float()
        y = F.relu(self.first(x_BLD.transpose(1, 2))) * mask
        y = F.relu(self.second(y)) * mask
        return self.out(y.transpose(1, 2) if self.per_residue else y.amax(2))


class LinearHead(nn.Module):
    """One linear layer on each residue, or on their mean."""

    def __init__(self, width: int, outputs: int, per_residue: bool) -> None:
        super().__init__()
        self.out, self.per_residue = nn.Linear(width, outputs), per_residue

    def forward(self, x_BLD: Tensor, known_BL: Tensor) -> Tensor:
        """(B, L, C) or (B, C)."""
        if self.per_residue:
            return self.out(x_BLD)
        weight = known_BL[..., None].float()
        return self.out((x_BLD * weight).sum(1) / weight.sum(1))


class AttentionPool(nn.Module):
    """Learned weights over the residues, then a hidden layer; per residue a window of 7."""

    def __init__(self, width: int, outputs: int, per_residue: bool, hidden: int = 128) -> None:
        super().__init__()
        self.score, self.per_residue = nn.Linear(width, 4), per_residue
        inside = width if per_residue else 4 * width
        self.window = nn.Conv1d(width, hidden, 7, padding=3) if per_residue else None
        self.hidden, self.out = nn.Linear(inside, hidden), nn.Linear(hidden, outputs)

    def forward(self, x_BLD: Tensor, known_BL: Tensor) -> Tensor:
        """(B, L, C) or (B, C)."""
        if self.window is not None:
            near = self.window(x_BLD.transpose(1, 2)).transpose(1, 2)
            return self.out(F.gelu(near + self.hidden(x_BLD)))
        weight = self.score(x_BLD).masked_fill(~known_BL[..., None], float("-inf")).softmax(1)
        pooled = torch.einsum("blh,bld->bhd", weight, x_BLD).flatten(1)
        return self.out(F.gelu(self.hidden(pooled)))


HEADS = {"cnn": Convolutions, "linear": LinearHead, "attention": AttentionPool}


class Baseline:
    """A reader with a head, trained for an experiment.

    Args:
        experiment: what is asked.
        parts: examples by split; ``train`` and ``val`` are needed.
        reader: :class:`OneHot` or :class:`Encoded`.
        head: key of ``HEADS``.
        training: how.
    """

    def __init__(
        self,
        experiment: Experiment,
        parts: dict[str, list[Example]],
        reader: OneHot | Encoded,
        head: str,
        training: Training,
    ) -> None:
        self.experiment, self.parts, self.training = experiment, parts, training
        self.reader, self.names = reader, self._names()
        self.per_residue = experiment.kind in PER_RESIDUE
        torch.manual_seed(training.seed)
        outputs = max(1, len(self.names))
        self.head = HEADS[head](reader.width, outputs, self.per_residue)
        numbers = [e.label for e in parts["train"]] if experiment.kind == "number" else [0.0]
        self.mean, self.std = float(np.mean(numbers)), float(np.std(numbers)) or 1.0
        self.threshold = 0.5
        self.items = {n: reader.prepare([e.sequence for e in p]) for n, p in parts.items()}

    def _names(self) -> list[str]:
        labels = [e.label for e in self.parts["train"]]
        match self.experiment.kind:
            case "number":
                return []
            case "sites":
                return ["0", "1"]
            case "class":
                return sorted(set(labels))
        return sorted(set().union(*map(set, labels)))

    def fit(self) -> dict[str, Any]:
        """Train; the weights of the best pass by validation are kept. Returns the settings."""
        modules = nn.ModuleList([self.reader, self.head])
        groups = [{"params": list(self.head.parameters()), "lr": self.training.lr}]
        trained = [p for p in self.reader.parameters() if p.requires_grad]
        if trained:
            groups.append({"params": trained, "lr": self.training.lr / 10})
        optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
        rng = np.random.default_rng(self.training.seed)
        best, since, epoch = (-2.0, 0, copy.deepcopy(modules.state_dict())), 0, 0
        for epoch in range(1, self.training.epochs + 1):
            modules.train()
            batches = list(self._batches("train"))
            for place in rng.permutation(len(batches)):
                optimizer.zero_grad()
                self._loss(batches[place]).backward()
                nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
                optimizer.step()
            value = self._validate()
            if value > best[0]:
                best, since = (value, epoch, copy.deepcopy(modules.state_dict())), 0
            else:
                since += 1
            if since >= self.training.patience:
                break
        modules.load_state_dict(best[2])
        self._validate()
        parameters = sum(p.numel() for p in modules.parameters() if p.requires_grad)
        return {
            "epochs": epoch, "best_epoch": best[1], "val": best[0], "trained": parameters,
            "threshold": self.threshold,
        }  # fmt: skip

    def _batches(self, part: str) -> list[list[int]]:
        return list(buckets([len(e.sequence) for e in self.parts[part]], self.training.budget))

    def _outputs(self, part: str, batch: list[int]) -> Tensor:
        rows = self.reader([self.items[part][i] for i in batch])
        x = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        sizes = torch.tensor([len(r) for r in rows])
        return self.head(x, torch.arange(x.shape[1]) < sizes[:, None])

    def _loss(self, batch: list[int]) -> Tensor:
        out, examples = self._outputs("train", batch), [self.parts["train"][i] for i in batch]
        place = {name: i for i, name in enumerate(self.names)}
        match self.experiment.kind:
            case "number":
                y = torch.tensor([(e.label - self.mean) / self.std for e in examples])
                return F.mse_loss(out[:, 0], y.float())
            case "class":
                return F.cross_entropy(out, torch.tensor([place[e.label] for e in examples]))
            case "terms":
                wanted = torch.zeros_like(out)
                for row, e in zip(wanted, examples, strict=True):
                    row[[place[t] for t in e.label]] = 1.0
                return F.binary_cross_entropy_with_logits(out, wanted)
        target = torch.full(out.shape[:2], -100)
        for row, e in zip(target, examples, strict=True):
            counted = np.flatnonzero(e.counted)
            if self.experiment.kind == "residues":
                row[counted] = torch.tensor([place[e.label[i]] for i in counted])
            else:
                row[counted] = 0
                inside = [i for i in e.label if i < len(e.sequence) and e.counted[i]]
                row[inside] = 1
        if bool((target >= 0).any()):
            return F.cross_entropy(out.flatten(0, 1), target.flatten())
        return 0.0 * out.sum()

    @torch.no_grad()
    def raw(self, part: str) -> list[np.ndarray]:
        """Outputs of a part: (C,) a protein, or (L, C)."""
        self.reader.eval(), self.head.eval()
        found: dict[int, np.ndarray] = {}
        for batch in self._batches(part):
            for index, row in zip(batch, self._outputs(part, batch), strict=True):
                length = len(self.parts[part][index].sequence)
                found[index] = row[:length].numpy() if self.per_residue else row.numpy()
        return [found[i] for i in range(len(self.parts[part]))]

    def _validate(self) -> float:
        """The figure on validation data, at the best threshold where one is needed."""
        raw = self.raw("val")
        rare = self.experiment.kind == "sites" or self.experiment.name == "bind"
        tries = np.arange(0.05, 0.65, 0.05).round(2) if rare else [0.5]
        values = {
            float(t): headline(
                self.experiment,
                scores(self.experiment, self.parts["val"], [self._read(r, t) for r in raw]),
            )
            for t in tries
        }
        self.threshold = max(values, key=lambda t: values[t])
        return values[self.threshold]

    def _read(self, raw: np.ndarray, threshold: float) -> Any:
        match self.experiment.kind:
            case "number":
                return float(raw[0]) * self.std + self.mean
            case "class":
                return self.names[int(raw.argmax())]
            case "terms":
                return dict(zip(self.names, (1 / (1 + np.exp(-raw))).tolist(), strict=True))
        shares = np.exp(raw - raw.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        return read_labels(self.experiment, shares, self.names, threshold)

    def predict(self, part: str) -> list[Any]:
        """Predictions of a part, as :func:`benchmarks.proteins.sets.scores` takes them."""
        return [self._read(row, self.threshold) for row in self.raw(part)]
