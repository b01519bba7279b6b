"""Which state answers for which position."""

from __future__ import annotations

import torch
from torch import Tensor

from sciar.model import AutoregressiveModel
from sciar.nn.questions import feed
from sciar.tokenization.packing import Pack


def answering(model: AutoregressiveModel, pack: Pack) -> Tensor:
    """(T,) fed position whose state predicts each position of a pack; -1: none does.

    That is the question about a word, or the position before. An answer that refers to something
    in the sequence (a property of an atom) is read off where that stands.
    """
    fed = feed(pack, model.config.questions)
    roles = [slot.role == "answer" for slot in model.vocabulary.slots]
    if not any(roles) or not pack.references.shape[1]:
        return fed.source
    answers = torch.tensor([False, *roles], device=pack.kinds.device)[pack.kinds]
    about = pack.references[:, 0]
    content = (~fed.asks).nonzero().squeeze(1)
    there = content[about.clamp_min(0)]
    return torch.where(answers & (about >= 0), there, fed.source)
