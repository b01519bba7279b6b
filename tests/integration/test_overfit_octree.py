"""Spec of Uni-3DAR, acceptance: 32 molecules are learnt by heart, and said again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from octrees import octree_config

from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.generation.engine import Engine, Job
from sciar.generation.settings import GenerationSettings
from sciar.heads.base import SamplerSettings
from sciar.model import AutoregressiveModel
from sciar.nn.questions import feed
from sciar.objectives.next_token import NextTokenObjective
from sciar.records import Molecule
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.cursor import Request
from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer
from sciar.tokenization.packing import Pack, pack
from sciar.tokenization.sequence import TokenSequence

pytestmark = pytest.mark.slow
MOLECULES, GROUP, LONGEST, AIM = 32, 8, 1600, 0.05


def nats_per_node(model: AutoregressiveModel, packs: list[Pack], masks: torch.Tensor) -> float:
    """Mean cost of the words that say which children of a node there are."""
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for batch in packs:
            hidden, _ = model(batch)
            source = feed(batch, model.config.questions).source
            nodes = torch.isin(batch.ids, masks) & (batch.kinds == 0) & (batch.weights > 0)
            chances = model.words(hidden[source[nodes]]).log_softmax(-1)
            total -= float(chances.gather(1, batch.ids[nodes][:, None]).sum())
            count += int(nodes.sum())
    model.train()
    return total / count


def molecules(count: int) -> list[Molecule]:
    found = [r.structure for r in read_all(resolve("sample-molecules", "train"))[0]]
    small = [m for m in found if isinstance(m, Molecule) and 3 <= len(m) <= 10][:count]
    assert len(small) == count
    return small


def learnt(tokenizer: LayoutTokenizer, packs: list[Pack], steps: int) -> AutoregressiveModel:
    """A network of width 64 after some steps over the packs."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = {"hidden": 64, "depth": 2, "copies": 8}
    config = octree_config("one-stream", hidden=64, head_options=head)
    layout = tokenizer.layout
    model = AutoregressiveModel(tokenizer.vocabulary, layout.references, config, layout.relations)
    objective = NextTokenObjective()
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 2e-4)
    for step in range(steps):
        optimiser.zero_grad()
        losses = objective.losses(model.train(), packs[step % len(packs)], salt=step)
        objective.total(losses)[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model


def said(
    model: AutoregressiveModel, tokenizer: LayoutTokenizer, request: Request
) -> tuple[TokenSequence, Molecule]:
    """The likeliest words, and numbers near their mode."""
    settings = GenerationSettings(
        temperature=0.0, payload=SamplerSettings(steps=40, temperature=0.2), batch_size=4
    )
    (drawn,) = Engine(model.eval(), tokenizer, settings).run([Job(request, 0)])
    assert not drawn.failure
    made = tokenizer.decode(drawn.sequence)
    assert isinstance(made, Molecule)
    return drawn.sequence, made


def test_thirty_two_molecules_are_learnt_by_heart() -> None:
    tokenizer, small = OctreeMoleculeTokenizer(levels=5, edge=0.48), molecules(MOLECULES)
    tokenizer.fit_statistics(small)
    sequences = [tokenizer.encode(m) for m in small]
    packs = [pack(sequences[i : i + GROUP]) for i in range(0, MOLECULES, GROUP)]
    model = learnt(tokenizer, packs, LONGEST)
    masks = torch.tensor(tokenizer.vocabulary.ids(f"<octant-{i}>" for i in range(1, 256)))
    assert nats_per_node(model, packs, masks) < AIM
    sequence, made = said(model, tokenizer, tokenizer.request({}))
    same = [x for x in sequences if np.array_equal(x.ids, sequence.ids)]
    assert len(same) == 1, "formula, masks and labels are those of one of the molecules"
    truth = tokenizer.decode(same[0])
    assert isinstance(truth, Molecule)
    away = np.linalg.norm(made.positions - truth.positions, axis=1)
    assert away.max() < 0.24, "and each atom is within half a cell of its place"
