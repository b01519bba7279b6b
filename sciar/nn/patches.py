"""Blocks of voxels in and out of a decoder: linear maps, as in vision transformers.

Shape letters: N slots, V voxels of a patch, H width of the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sciar.nn.decoder import DecoderConfig
from sciar.nn.embedding import PayloadEncoder
from sciar.tokenization.vocabulary import SlotKind, Vocabulary


class PatchInput(PayloadEncoder):
    """(N, V) payloads -> (N, H), by one linear map of the standardised numbers.

    The usual encoder of payloads has waves of every number, which is too much for a thousand.

    Args:
        slot: kind of the slots.
        hidden: H.
    """

    def __init__(self, slot: SlotKind, hidden: int) -> None:
        nn.Module.__init__(self)
        self.slot = slot
        self.register_buffer("mean", torch.tensor(slot.mean), persistent=False)
        self.register_buffer("std", torch.tensor(slot.std), persistent=False)
        self.net = nn.Sequential(nn.Linear(slot.width, hidden))

    def forward(self, value: Tensor) -> Tensor:
        return self.net((value[:, : self.slot.width].float() - self.mean) / self.std)


class PatchReadout(nn.Module):
    """(N, H) states -> (N, V) standardised payloads; an extra of a model.

    Args:
        vocabulary: of the model; its first slot is what is read out.
        decoder: of the model.
    """

    def __init__(self, vocabulary: Vocabulary, decoder: DecoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(decoder.hidden)
        self.out = nn.Linear(decoder.hidden, vocabulary.slots[0].width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, state: Tensor) -> Tensor:
        return self.out(self.norm(state))
