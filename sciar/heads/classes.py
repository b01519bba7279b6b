"""Class head: one of a few classes, as an answer about what is given."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.heads.base import Head, SamplerSettings
from sciar.nn.streams import uniform
from sciar.tokenization.vocabulary import SlotKind


class ClassHead(Head):
    """Logits of the classes of an answer; its payload is the index of the class.

    Args:
        slot: an answer with classes.
        condition: width of the condition.
        hidden: width of the one hidden layer.
    """

    def __init__(self, slot: SlotKind, condition: int, hidden: int = 128) -> None:
        super().__init__(slot, condition)
        if not slot.classes:
            raise UsageError(f"slot {slot.name} has no classes; a class head predicts one of them")
        enter, out = nn.Linear(condition, hidden), nn.Linear(hidden, slot.classes)
        nn.init.zeros_(out.weight)
        nn.init.zeros_(out.bias)
        self.net = nn.Sequential(enter, nn.SiLU(), out)

    def forward(self, condition_NC: Tensor) -> Tensor:
        """(N, K) fp32 logits."""
        with torch.autocast(condition_NC.device.type, enabled=False):
            return self.net(condition_NC.float())

    def answer(self, condition_NC: Tensor) -> Tensor:
        """(N, K) probabilities."""
        return self(condition_NC).softmax(-1)

    def log_prob(self, condition_NC: Tensor, target_NW: Tensor, steps: int = 0) -> Tensor:
        return -self.loss(condition_NC, target_NW, target_NW[:, 0])

    def loss(self, condition_NC: Tensor, target_NW: Tensor, keys_N: Tensor) -> Tensor:
        """(N,) cross-entropy in nats."""
        logits = self(condition_NC)
        return F.cross_entropy(logits, target_NW[:, 0].round().long(), reduction="none")

    @torch.no_grad()
    def sample(
        self, condition_NC: Tensor, keys_N: Tensor, settings: SamplerSettings | None = None
    ) -> Tensor:
        """(N, 1) classes; temperature 0 gives the most likely."""
        logits = self(condition_NC)
        temperature = (settings or SamplerSettings()).temperature
        if temperature <= 0:
            return logits.argmax(-1, keepdim=True).float()
        cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
        below = (cumulative < uniform(keys_N, 1) * cumulative[:, -1:]).sum(-1, keepdim=True)
        return below.clamp_max(logits.shape[-1] - 1).float()
