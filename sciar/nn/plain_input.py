"""Payloads read as UniGenX reads them (spec 2.2): a perceptron of the bare numbers."""

from __future__ import annotations

from torch import Tensor, nn

from sciar.nn.embedding import PayloadEncoder
from sciar.tokenization.vocabulary import SlotKind


class PlainInput(PayloadEncoder):
    """(N, width) payload -> linear, GELU, linear -> (N, hidden); no waves, no standardisation.

    Args:
        slot: slot kind.
        hidden: width of the decoder.
    """

    def __init__(self, slot: SlotKind, hidden: int) -> None:
        super().__init__(slot, hidden)
        self.net = nn.Sequential(
            nn.Linear(slot.width, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )

    def forward(self, value: Tensor) -> Tensor:
        return self.net(value[:, : self.slot.width].float())
