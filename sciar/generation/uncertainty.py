"""What the heads of a finished sequence say about its numbers: the ends of their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.numeric import NumericHead
from sciar.heads.scalar import ScalarHead
from sciar.model import AutoregressiveModel
from sciar.nn.inputs import Surroundings
from sciar.objectives.next_token import select
from sciar.objectives.sources import answering
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import TokenSequence


def interval_of(
    model: AutoregressiveModel, kind: int, hidden: Tensor, after: Surroundings, level: float
) -> Tensor:
    """(N, 2) float64 ends of the intervals of N numbers of a slot kind, from the states before
    them; otherwise as for :func:`intervals`.

    Raises:
        UsageError: the head has no distribution.
    """
    head, slot = model.head(kind), model.vocabulary.slots[kind - 1]
    if not isinstance(head, ScalarHead | NumericHead):
        raise UsageError(f"slot {slot.name}: a {type(head).__name__} has no intervals")
    ends = head.interval(model.condition(hidden, after), level).double()
    return ends if slot.geometry == "torus" else ends * slot.std[0] + slot.mean[0]


@torch.inference_mode()
def intervals(
    model: AutoregressiveModel, sequences: Sequence[TokenSequence], level: float
) -> list[np.ndarray]:
    """Central intervals of the numbers that were predicted, each under the numbers before it.

    Args:
        model: in evaluation mode.
        sequences: finished ones.
        level: probability inside an interval, below 1.

    Returns:
        (L, 2) ends of each sequence in the units of the payloads; NaN where there is no number, or
        its head has no distribution. On the torus they are unrolled: the upper end is never below
        the lower one.
    """
    if not sequences:
        return []
    device = next(model.parameters()).device
    batch = pack(sequences).to(device)
    hidden, inputs = model(batch)
    source = answering(model, batch)
    found = np.full((len(batch), 2), np.nan)
    for number, slot in enumerate(model.vocabulary.slots, start=1):
        head = model.heads[number - 1]
        if slot.role != "value" or not isinstance(head, ScalarHead | NumericHead):
            continue
        at = (batch.kinds == number).nonzero().squeeze(1)
        if not len(at):
            continue
        after = select(inputs.next, source[at])
        ends = interval_of(model, number, hidden[source[at]], after, level)
        found[at.cpu().numpy()] = ends.cpu().numpy()
    lengths = [len(sequence) for sequence in sequences]
    return np.split(found, np.cumsum(lengths)[:-1])
