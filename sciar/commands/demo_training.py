"""Tiny models trained on the spot, so that the demo works without an installed model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from sciar.api import Model
from sciar.errors import RecordError
from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel, HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.objectives.next_token import NextTokenObjective
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.packing import pack

if TYPE_CHECKING:
    from sciar.records import Structure
    from sciar.tokenization.base import LayoutTokenizer
    from sciar.tokenization.sequence import TokenSequence

STEPS = 200
_RATE = 3e-3
_TOKENS = 1000


def tiny_models(steps: int = STEPS) -> list[Model]:
    """One model of crystals and one of conformers, trained on the shipped sample."""
    return [
        tiny_model("tiny-crystals", CrystalTokenizer(max_atoms=12), "sample-crystals", steps),
        tiny_model("tiny-conformers", MoleculeTokenizer(max_atoms=24), "sample-molecules", steps),
    ]


def tiny_model(name: str, tokenizer: LayoutTokenizer, source: str, steps: int) -> Model:
    """Train a model of two layers on all splits of a sample.

    Args:
        name: of the model.
        tokenizer: unfitted.
        source: name of the sample.
        steps: of AdamW with a one-cycle learning rate.
    """
    structures = _structures(source)
    sequences, usable = _encoded(tokenizer, structures)
    tokenizer.fit_statistics(usable)
    torch.manual_seed(0)
    head = HeadConfig(options={"hidden": 96, "depth": 2})
    config = ModelConfig(DecoderConfig(layers=2, hidden=96, heads=4), {"default": head})
    model = AutoregressiveModel(
        tokenizer.vocabulary, tokenizer.layout.references, config, tokenizer.layout.relations
    )
    _fit(model, sequences, steps)
    card = f"# {name}\n\nTrained for {steps} steps on {len(usable)} structures of {source}.\n"
    info = {"data": source, "steps": steps, "recipe": "sciar demo"}
    return Model(ModelFolder(name, model.eval(), tokenizer, {"steps": 10}, info, card))


def _structures(source: str) -> list[Structure]:
    from sciar.datasets.readers import read_all
    from sciar.datasets.registry import resolve

    splits = ("train", "val", "test")
    return [r.structure for split in splits for r in read_all(resolve(source, split))[0]]


def _encoded(
    tokenizer: LayoutTokenizer, structures: Sequence[Structure]
) -> tuple[list[TokenSequence], list[Structure]]:
    """What the tokenizer takes; larger structures of the sample are left out."""
    sequences, usable = [], []
    for structure in structures:
        try:
            sequences.append(tokenizer.encode(structure))
        except RecordError:
            continue
        usable.append(structure)
    return sequences, usable


def _fit(model: AutoregressiveModel, sequences: Sequence[TokenSequence], steps: int) -> None:
    objective = NextTokenObjective(noise=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for step in range(steps):
        chosen, tokens = [], 0
        for i in torch.randperm(len(sequences), generator=generator).tolist():
            if tokens < _TOKENS:
                chosen.append(i)
                tokens += len(sequences[i])
        batch = pack([sequences[i] for i in chosen], chosen)
        loss = objective.total(objective.losses(model, batch, salt=step))[0]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
