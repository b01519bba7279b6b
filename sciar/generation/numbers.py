"""Questions whose answer is one number: one pass over the prompts gives it with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sciar.generation.questions import Asking
from sciar.generation.uncertainty import interval_of
from sciar.heads.base import SamplerSettings
from sciar.heads.numeric import NumericHead
from sciar.heads.scalar import ScalarHead
from sciar.model import AutoregressiveModel
from sciar.objectives.next_token import select
from sciar.objectives.sources import answering
from sciar.tokenization.cursor import End, Request, SlotQuery
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import TokenSequence

LEVEL = 0.9
"""Probability inside the interval of a number."""


@dataclass(frozen=True)
class Estimate:
    """A number as a head gives it, in the units of the payload.

    Attributes:
        value: what the head answers at temperature 0.
        low: lower end of the central interval that holds :data:`LEVEL` of the probability.
        high: its upper end.
    """

    value: float
    low: float
    high: float

    def widened(self, factor: float) -> Estimate:
        """Both ends so many times as far from the value."""
        low, high = (self.value + factor * (end - self.value) for end in (self.low, self.high))
        return Estimate(self.value, low, high)


def blank(tokenizer: Asking, request: Request) -> TokenSequence | None:
    """The sequence of a question that asks for one number and no more, with nothing in its slot."""
    cursor = tokenizer.cursor(request)
    if not isinstance(cursor.expect(), SlotQuery):
        return None
    cursor.push_value(np.zeros(1, dtype=np.float32))
    return cursor.sequence() if isinstance(cursor.expect(), End) else None


@torch.inference_mode()
def estimates(
    model: AutoregressiveModel, sequences: Sequence[TokenSequence]
) -> list[Estimate] | None:
    """Numbers of questions with one slot each, or ``None`` if its head gives no intervals.

    Args:
        model: in evaluation mode.
        sequences: made by :func:`blank`.
    """
    kind = int(sequences[0].kinds[-2])
    head = model.heads[kind - 1]
    if not isinstance(head, NumericHead | ScalarHead):
        return None
    batch = pack(sequences).to(next(model.parameters()).device)
    hidden, inputs = model(batch)
    at = batch.lengths.cumsum(0) - 2
    source = answering(model, batch)[at]
    after = select(inputs.next, source)
    keys = torch.zeros(len(at), dtype=torch.int64, device=at.device)  # nothing is drawn
    cold = SamplerSettings(temperature=0.0)
    value = model.sample_payload(kind, hidden[source], after, keys, cold)[:, :1]
    ends = interval_of(model, kind, hidden[source], after, LEVEL)
    return [Estimate(*row) for row in torch.cat([value.double(), ends], 1).tolist()]
