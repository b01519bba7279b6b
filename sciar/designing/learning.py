"""How a model is turned towards what was scored well: fine-tuning, and policy gradient.

Policy gradient is that of REINVENT (Olivecrona et al., arXiv:1704.04555): the log-probability of
the words of a sample is drawn to that under a frozen reference plus ``strength`` times its score.
The numbers of the sample (coordinates) are fitted beside, weighted by the score, so that they keep
up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.objectives.next_token import NextTokenObjective
from sciar.objectives.sources import answering
from sciar.tokenization.packing import Pack, pack
from sciar.tokenization.sequence import TokenSequence


@dataclass(frozen=True)
class LearningSettings:
    """How much is learnt in one round.

    Attributes:
        steps: of the optimiser.
        batch_size: sequences a step.
        lr: learning rate.
        strength: of the scores against the reference (``sigma`` of REINVENT).
    """

    steps: int = 50
    batch_size: int = 16
    lr: float = 1e-4
    strength: float = 60.0

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch_size < 1 or not self.lr > 0:
            raise UsageError("learning takes steps >= 0, batch_size >= 1 and lr > 0")


def fine_tune(
    model: AutoregressiveModel,
    sequences: Sequence[TokenSequence],
    settings: LearningSettings,
    seed: int,
) -> float | None:
    """Train on sequences as on any data; returns the mean loss, ``None`` if there is none."""
    if not sequences or not settings.steps:
        return None
    objective, rng = NextTokenObjective(), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.0)
    losses = []
    model.train()
    for step in range(settings.steps):
        some = rng.choice(len(sequences), min(settings.batch_size, len(sequences)), replace=False)
        batch = pack([sequences[i] for i in some])
        loss, _ = objective.total(objective.losses(model, batch, salt=seed * 1009 + step))
        losses.append(_step(model, optimiser, loss))
    model.eval()
    return float(np.mean(losses))


def policy_gradient(
    model: AutoregressiveModel,
    reference: AutoregressiveModel,
    sequences: Sequence[TokenSequence],
    scores: Sequence[float],
    settings: LearningSettings,
    seed: int,
) -> float | None:
    """Draw log-probabilities to those of the reference plus the scaled scores.

    Args:
        model: what learns.
        reference: frozen.
        sequences: drawn from the model.
        scores: of each, about 0 to 1; 0 for a failed sample.
        settings: how much.
        seed: of the order.

    Raises:
        UsageError: no word of the sequences was drawn, so there is no policy.
    """
    if not sequences or not settings.steps:
        return None
    whole = pack(list(sequences))
    if not bool(_words(model, whole)[1].any()):
        raise UsageError("this model draws no symbols: policy gradient has nothing to turn")
    objective, rng = NextTokenObjective(), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.0)
    losses = []
    for step in range(settings.steps):
        some = rng.choice(len(sequences), min(settings.batch_size, len(sequences)), replace=False)
        batch = pack([sequences[i] for i in some])
        value = torch.tensor([scores[i] for i in some], dtype=torch.float32)
        with torch.no_grad():
            wanted = word_log_probability(reference, batch) + settings.strength * value
        model.train()
        policy = (wanted - word_log_probability(model, batch)).square().mean()
        kept = [sequences[i] for i in some if scores[i] > 0]
        loss = policy / max(settings.strength, 1.0)
        if kept:
            parts = objective.losses(model, pack(kept), salt=seed * 1009 + step)
            slots = {k: v for k, v in parts.items() if k != "word"}
            if slots:
                loss = loss + float(value.mean()) * objective.total(slots)[0]
        losses.append(_step(model, optimiser, loss))
        model.eval()
    return float(np.mean(losses))


def _step(model: AutoregressiveModel, optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def _words(model: AutoregressiveModel, batch: Pack) -> tuple[Tensor, Tensor]:
    """(T,) fed position that answers for each position, and (T,) whether it is a drawn word."""
    source = answering(model, batch)
    return source, (batch.kinds == 0) & (batch.weights > 0) & (source >= 0)


def word_log_probability(model: AutoregressiveModel, batch: Pack) -> Tensor:
    """(B,) log-probability, in nats, of the drawn words of each sequence, without a grammar."""
    hidden, _ = model(batch)
    source, drawn = _words(model, batch)
    at = drawn.nonzero().squeeze(1)
    log_p = model.words(hidden[source[at]]).log_softmax(-1)
    own = log_p.gather(1, batch.ids[at].long()[:, None])[:, 0]
    owner = torch.arange(len(batch.lengths)).repeat_interleave(batch.lengths)[at]
    return hidden.new_zeros(len(batch.lengths)).index_add(0, owner, own)
