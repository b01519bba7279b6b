"""Every type of answer can be learnt by heart: 32 random labels, given back exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from answer_models import LETTERS, PAIRS, TASKS, network, protein, tokenizer

from sciar.generation.answered import answer
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.objectives.grouped import GroupedObjective
from sciar.records import Annotation
from sciar.tokenization.cursor import Choice, End
from sciar.tokenization.packing import pack
from sciar.tokenization.protein import ProteinTokenizer

STEPS = 1200
SETTINGS = GenerationSettings(
    temperature=0.0, threshold=0.5, payload=SamplerSettings(temperature=0.0)
)


def random_notes(tokens: ProteinTokenizer, name: str) -> list[Annotation]:
    """Random answers of short proteins, each from a walk of the grammar with a choice in it."""
    rng = np.random.default_rng(7)
    # Of a protein without a candidate there is nothing to learn.
    candidates = set("STY" if name in ("phospho", "marks") else LETTERS)
    notes: list[Annotation] = []
    for seed in range(100):
        seen = protein(8, seed, name in PAIRS)
        if len(notes) == 32 or not set(seen.sequence) & candidates:
            continue
        cursor = tokens.cursor(tokens.request({"protein": seen, "task": name}))
        while not isinstance(expected := cursor.expect(), End):
            if isinstance(expected, Choice):
                choices = np.flatnonzero(expected.mask)
                late = len(cursor) - cursor.start > 5 and expected.mask[cursor.end]
                cursor.push_token(cursor.end if late else int(rng.choice(choices)))
            else:
                cursor.push_value(rng.normal(size=1).astype(np.float32))
        notes.append(tokens.decode(cursor.sequence()))
    return notes


def wrong(model: Any, tokens: ProteinTokenizer, notes: list[Annotation], at_once: bool) -> int:
    """How many answers are not those that were taught."""
    requests = [tokens.request({"protein": n.protein, "task": n.task}) for n in notes]
    made = answer(model.eval(), tokens, requests, SETTINGS, at_once=at_once)
    found = [
        tokens.tasks[n.task].decode(m.tokens, n.protein, m.payload)
        for n, m in zip(notes, made, strict=True)
    ]
    if isinstance(notes[0].value, float):
        near = 0.2 if tokens.tasks[notes[0].task].codec.slots else 1e-9
        return sum(abs(a - n.value) > near for a, n in zip(found, notes, strict=True))
    return sum(a != n.value for a, n in zip(found, notes, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in TASKS if n not in ("point", "copy", "string")])
def test_thirty_two_answers_are_learnt_by_heart(name: str) -> None:
    tokens = tokenizer(name)
    notes = random_notes(tokens, name)
    assert len(notes) == 32
    model = network(tokens, layers=1, train="all").train()
    torch.nn.init.zeros_(model.words.out.weight)
    batch = pack([tokens.encode(note) for note in notes])
    objective = GroupedObjective(readout=1.0)
    ways = (False, True) if tokens.tasks[name].codec.parallel else (False,)
    optimiser = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=0.0)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 6e-3 * (1 - step / STEPS)
        loss, _ = objective.total(objective.losses(model.train(), batch, step))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 60 == 59 and not any(wrong(model, tokens, notes, at_once=way) for way in ways):
            break
    # A Gaussian likelihood learns outliers last: their wide spread makes them cheap.
    left = 3 if tokens.tasks[name].codec.slots else 0
    assert wrong(model, tokens, notes, at_once=False) <= left
    if True in ways:
        assert wrong(model, tokens, notes, at_once=True) == 0
