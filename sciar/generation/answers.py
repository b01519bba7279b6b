"""Answers about given structures: one pass of the network, no sampling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sciar.errors import UsageError
from sciar.heads.base import Head
from sciar.heads.classes import ClassHead
from sciar.heads.numeric import NumericHead
from sciar.model import AutoregressiveModel
from sciar.nn.questions import feed
from sciar.objectives.next_token import select
from sciar.objectives.sources import answering
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import TokenSequence

Answers = dict[str, np.ndarray]
"""Slot -> (n, A) float64: mean and standard deviation of numbers, probabilities of classes."""


@torch.inference_mode()
def answers(
    model: AutoregressiveModel, sequences: Sequence[TokenSequence], budget: int = 8192
) -> list[Answers]:
    """Answers of each sequence, in order; numbers in their own units.

    Args:
        model: in evaluation mode.
        sequences: of a tokenizer whose layout asks something; what they hold as answers is not
            read.
        budget: tokens in one pass.

    Raises:
        UsageError: a head that gives no answers.
    """
    found: list[Answers] = [{} for _ in sequences]
    for group in _groups([len(s) for s in sequences], budget):
        for place, slot, values in _pass(model, [sequences[i] for i in group]):
            found[group[place]][slot] = values
    return found


def _groups(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Sequences of about equal length together, within the budget."""
    group: list[int] = []
    total = 0
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if group and total + lengths[i] > budget:
            yield group
            group, total = [], 0
        group.append(i)
        total += lengths[i]
    if group:
        yield group


def _pass(
    model: AutoregressiveModel, sequences: Sequence[TokenSequence]
) -> Iterator[tuple[int, str, np.ndarray]]:
    device = next(model.parameters()).device
    batch = pack(sequences).to(device)
    hidden, inputs = model(batch)
    source = answering(model, batch)
    before = feed(batch, model.config.questions).source
    owner = torch.arange(len(sequences), device=device).repeat_interleave(batch.lengths)
    for number, slot in enumerate(model.vocabulary.slots, start=1):
        if slot.role != "answer":
            continue
        at = (batch.kinds == number).nonzero().squeeze(1)
        condition = model.condition(hidden[source[at]], select(inputs.next, before[at]))
        values = _answer(model.head(number), condition).double()
        if not slot.classes:
            mean, std = slot.mean[0], slot.std[0]
            values = torch.stack([values[:, 0] * std + mean, values[:, 1] * std], dim=1)
        rows = values.cpu().numpy()
        places = owner[at].cpu().numpy()
        for place in range(len(sequences)):
            yield place, slot.name, rows[places == place]


def _answer(head: Head, condition: Tensor) -> Tensor:
    if not isinstance(head, ClassHead | NumericHead):
        raise UsageError(
            f"slot {head.slot.name}: a {type(head).__name__} draws payloads; answers need a class "
            "or numeric head"
        )
    return head.answer(condition)
