"""The decisions behind known answers: what calibration and likelihoods are taken from.

One pass over whole sequences, answer included, gives at each decision the distribution over what
the grammar allows there, as generation would have had it after the true tokens before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sciar.generation.engine import Step
from sciar.generation.questions import Asking
from sciar.generation.ranked import hazards
from sciar.model import AutoregressiveModel
from sciar.objectives.grouped import slots_of_prompt
from sciar.tokenization.cursor import Choice, Request, SlotQuery
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import TokenSequence


@torch.inference_mode()
def decisions(
    model: AutoregressiveModel,
    tokenizer: Asking,
    examples: Sequence[Any],
    *,
    at_once: bool = False,
    budget: int = 8192,
) -> list[list[Step]]:
    """Steps of each answer, with its true tokens; decisions about numbers in slots are left out.

    Args:
        model: in evaluation mode.
        tokenizer: of the model.
        examples: subjects with their answers, as the tokenizer takes them.
        at_once: of answers with one word for each slot of the prompt, the decisions at the slots.
        budget: tokens in one pass.

    Raises:
        RecordError: an answer that the tokenizer cannot express.
    """
    found: list[list[Step]] = []
    batch: list[tuple[Request, TokenSequence]] = []
    total = 0
    for example in examples:
        request, sequence = tokenizer.solved(example)
        if batch and total + len(sequence) > budget:
            found += _batch(model, tokenizer, batch, at_once)
            batch, total = [], 0
        batch.append((request, sequence))
        total += len(sequence)
    return found + (_batch(model, tokenizer, batch, at_once) if batch else [])


def _batch(
    model: AutoregressiveModel,
    tokenizer: Asking,
    batch: list[tuple[Request, TokenSequence]],
    at_once: bool,
) -> list[list[Step]]:
    device = next(model.parameters()).device
    packed = pack([sequence for _, sequence in batch]).to(device)
    hidden, _ = model(packed)
    ends = packed.lengths.cumsum(0).tolist()
    made = []
    for (request, sequence), end in zip(batch, ends, strict=True):
        start = end - len(sequence)
        cursor = tokenizer.cursor(request)
        slots = None
        if at_once and tokenizer.question(request).parallel:
            slots = slots_of_prompt(packed, slice(start, end)).tolist()
        steps = []
        while isinstance(expected := cursor.expect(), Choice | SlotQuery):
            at = cursor.known
            if isinstance(expected, SlotQuery):
                cursor.push_value(sequence.values[at, :1])
                continue
            source = start + at - 1 if slots is None else slots[at - sequence.context]
            allowed = torch.from_numpy(expected.mask)[None].to(device)
            log_p = model.words.log_probs(hidden[source : source + 1], allowed)[0].cpu().numpy()
            token = int(sequence.ids[at])
            steps.append(_true_step(expected, log_p, token))
            cursor.push_token(token)
        made.append(steps)
    return made


def _true_step(choice: Choice, log_p: np.ndarray, token: int) -> Step:
    """The decision with its true outcome; in a ranked list, of all members up to the true one."""
    ids = np.flatnonzero(choice.mask)
    decided, chances = np.zeros(0, dtype=np.int64), np.zeros(0)
    if choice.order is not None:
        p = np.exp(log_p.astype(np.float64))
        ends = p.copy()
        ends[choice.order] = 0.0
        chances = hazards(p[choice.order], float(ends.sum()))
        place = np.flatnonzero(choice.order == token)
        stop = int(place[0]) + 1 if len(place) else len(choice.order)
        decided, chances = choice.order[:stop], chances[:stop]
    return Step(token, ids, log_p[ids], decided, chances)
