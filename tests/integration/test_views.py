"""Spread over views: a model that was trained on many encodings varies less between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from property_models import MOLECULES
from tiny_models import tiny_config, tiny_model

from sciar.api.model import Model
from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.folder import ModelFolder
from sciar.objectives.next_token import NextTokenObjective
from sciar.records import Record
from sciar.tokenization.packing import pack
from sciar.tokenization.property import PropertyTokenizer

pytestmark = pytest.mark.slow
COPIES, STEPS = 8, 160


def labelled() -> list[Record]:
    """Molecules that can be written in several orders, with labels that follow from nothing."""
    found = [r for r in read_all(resolve("sample-molecules"))[0] if 10 <= len(r.structure) <= 16]
    values = np.random.default_rng(0).standard_normal(len(found))
    return [replace(r, properties={"y": float(v)}) for r, v in zip(found, values, strict=True)][:8]


def spread(records: list[Record], copies: int) -> tuple[float, float]:
    """Mean spread over views of a trained model, and its error on the plain encodings."""
    tokenizer = PropertyTokenizer(MOLECULES, ["y"])
    subjects = [tokenizer.subject(r) for r in records]
    tokenizer.fit_statistics(subjects)
    model = tiny_model(tokenizer, tiny_config(), shake=0.0).train()
    packs = []
    for copy in range(copies):
        generators = [np.random.default_rng((1, i, copy)) for i in range(len(records))]
        packs.append(
            pack(
                [
                    tokenizer.encode(s, augment=g if copies > 1 else None)
                    for s, g in zip(subjects, generators, strict=True)
                ]
            )
        )
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    objective = NextTokenObjective()
    for step in range(STEPS):
        losses = objective.losses(model, packs[step % copies], salt=step)
        loss, _ = objective.total(losses)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    trained = Model(ModelFolder("trained", model.eval(), tokenizer, {}, {}, ""))
    views = list(trained.predict(records, views=10, seed=5))
    plain = list(trained.predict(records))
    errors = [abs(p.values["y"] - r.properties["y"]) for p, r in zip(plain, records, strict=True)]
    return float(np.mean([p.spread["y"] for p in views])), float(np.mean(errors))


def test_training_on_many_encodings_shrinks_the_spread() -> None:
    records = labelled()
    assert len(records) == 8
    one, learnt = spread(records, 1)
    many, _ = spread(records, COPIES)
    assert learnt < 0.3, "the model without augmentation has learnt its labels"
    assert 0 < many < 0.6 * one, (one, many)
