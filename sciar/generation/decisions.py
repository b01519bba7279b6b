"""The decisions behind known answers: what calibration and likelihoods are taken from.

One pass over whole sequences, answer included, gives at each decision the distribution over what
the grammar allows there, as generation would have had it after the true tokens before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from sciar.generation.engine import Step
from sciar.generation.ranked import hazards
from sciar.model import AutoregressiveModel
from sciar.objectives.grouped import slots_of_prompt
from sciar.records import Annotation
from sciar.tokenization.cursor import Choice, SlotQuery
from sciar.tokenization.packing import pack
from sciar.tokenization.protein import ProteinTokenizer


@torch.inference_mode()
def decisions(
    model: AutoregressiveModel,
    tokenizer: ProteinTokenizer,
    notes: Sequence[Annotation],
    *,
    at_once: bool = False,
    budget: int = 8192,
) -> list[list[Step]]:
    """Steps of each answer, with its true tokens; decisions about numbers in slots are left out.

    Args:
        model: in evaluation mode.
        tokenizer: of the model.
        notes: proteins with their answers.
        at_once: of answers with one token a residue, the decisions at the residues.
        budget: tokens in one pass.

    Raises:
        RecordError: an answer that the tokenizer cannot express.
    """
    found: list[list[Step]] = []
    batch: list[Annotation] = []
    total = 0
    for note in notes:
        size = 2 * len(note.protein) + 16
        if batch and total + size > budget:
            found += _batch(model, tokenizer, batch, at_once)
            batch, total = [], 0
        batch.append(note)
        total += size
    return found + (_batch(model, tokenizer, batch, at_once) if batch else [])


def _batch(
    model: AutoregressiveModel, tokenizer: ProteinTokenizer, notes: list[Annotation], at_once: bool
) -> list[list[Step]]:
    device = next(model.parameters()).device
    sequences = [tokenizer.encode(replace(note, mask="")) for note in notes]
    packed = pack(sequences).to(device)
    hidden, _ = model(packed)
    ends = packed.lengths.cumsum(0).tolist()
    made = []
    for note, sequence, end in zip(notes, sequences, ends, strict=True):
        start = end - len(sequence)
        question = {"protein": note.protein, "task": note.task}
        cursor = tokenizer.cursor(tokenizer.request(question))
        slots = None
        if at_once and cursor.task.codec.parallel:
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
