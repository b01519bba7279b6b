"""Masked next-token objective: a question before each word answers for it (arXiv:2503.16278)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sciar.errors import UsageError
from sciar.model import AutoregressiveModel
from sciar.nn.streams import derive, uniform
from sciar.objectives.next_token import NextTokenObjective
from sciar.objectives.sources import answering
from sciar.tokenization.packing import Pack


@dataclass(frozen=True)
class MaskedNextTokenObjective(NextTokenObjective):
    """Cross-entropy of each word at its question, and the heads' own loss of slots.

    A question knows the label, anchor and place of the coming word where the layout announces them,
    and everything before it; the word itself follows it in the sequence that is fed. Slots are
    predicted from the position before them, as in the next-token objective.

    Attributes:
        at_once: share of the sequences whose questions do not see the answers of the same level, so
            that the network can also draw a level in one pass; needs private questions.
        word_weight, slot_weight, noise: as in the next-token objective.
    """

    at_once: float = 0.0

    def _blind(self, model: AutoregressiveModel, pack: Pack, salt: int) -> Tensor | None:
        if not self.at_once:
            return None
        if not model.config.private:
            raise UsageError("questions that are put at once must be private: set model.private")
        return uniform(derive(pack.keys, salt + 13), 1)[:, 0] < self.at_once

    def _source(self, model: AutoregressiveModel, pack: Pack) -> Tensor:
        if not model.config.questions:
            raise UsageError("masked next token asks a network for which model.questions is set")
        return answering(model, pack)
