"""Masked next-token objective: a question before each word answers for it (arXiv:2503.16278)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.objectives.next_token import NextTokenObjective
from sciar.objectives.sources import answering
from sciar.tokenization.packing import Pack


@dataclass(frozen=True)
class MaskedNextTokenObjective(NextTokenObjective):
    """Cross-entropy of each word at its question, and the heads' own loss of slots.

    A question knows the label, anchor and place of the coming word where the layout announces them,
    and everything before it; the word itself follows it in the sequence that is fed. Slots are
    predicted from the position before them, as in the next-token objective. Options are the same.
    """

    def _source(self, model: AutoregressiveModel, pack: Pack) -> Tensor:
        if not model.config.questions:
            raise UsageError("masked next token asks a network for which model.questions is set")
        return answering(model, pack)
