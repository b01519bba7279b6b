"""Small crystals, packs and models for tests of the network, the engine and the training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from sciar.model import AutoregressiveModel, HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.objectives.next_token import NextTokenObjective
from sciar.records import Crystal, Structure
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.crystal import CrystalTokenizer, crystal_vocabulary
from sciar.tokenization.packing import Pack, pack

ELEMENTS = ("H", "O", "Na", "Cl", "Ti", "Sr")


def random_crystals(count: int, seed: int = 0, most: int = 6) -> list[Crystal]:
    """Crystals of 1 to ``most`` atoms with random cells and sites."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        n = int(rng.integers(1, most + 1))
        lattice = np.diag(rng.uniform(3, 6, 3)) + rng.uniform(-0.4, 0.4, (3, 3))
        made.append(Crystal(lattice, tuple(rng.choice(ELEMENTS, n)), rng.random((n, 3))))
    return made


def crystal_tokenizer(task: str = "csp", **options: Any) -> CrystalTokenizer:
    """A tokenizer of few elements, with statistics of random crystals."""
    options = {"cell": "as-given", "max_atoms": 8, **options}
    tokenizer = CrystalTokenizer(task=task, vocabulary=crystal_vocabulary(ELEMENTS), **options)
    tokenizer.fit_statistics(random_crystals(20))
    return tokenizer


def tiny_config(
    head: str = "flow", head_options: dict[str, Any] | None = None, **decoder: Any
) -> ModelConfig:
    """Two layers of width 32."""
    kind = {"flow": "flow.FlowHead", "diffusion": "diffusion.DiffusionHead"}[head]
    options = {"hidden": 32, "depth": 2, **(head_options or {})}
    return ModelConfig(
        decoder=DecoderConfig(**{"layers": 2, "hidden": 32, "heads": 4, **decoder}),
        heads={"default": HeadConfig(f"sciar.heads.{kind}", options)},
        max_anchors=24,
    )


def tiny_model(
    tokenizer: LayoutTokenizer, config: ModelConfig | None = None, *, shake: float = 0.1
) -> AutoregressiveModel:
    """A model in evaluation mode whose zero-initialised outputs are shaken awake."""
    torch.manual_seed(0)
    model = AutoregressiveModel(
        tokenizer.vocabulary,
        tokenizer.layout.references,
        config or tiny_config(),
        tokenizer.layout.relations,
    )
    return shaken(model, shake).eval()


def shaken(model: AutoregressiveModel, scale: float) -> AutoregressiveModel:
    """The same model with noise on every parameter: no output is zero, no norm is one."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def encoded(tokenizer: LayoutTokenizer, structures: Iterable[Structure]) -> Pack:
    """Structures as one pack."""
    return pack([tokenizer.encode(s) for s in structures])


def train(
    model: AutoregressiveModel,
    batch: Pack,
    steps: int,
    lr: float = 3e-3,
    warmup: int = 20,
    objective: NextTokenObjective | None = None,
) -> float:
    """Fit one batch by Adam with a linear decay; returns the last loss."""
    objective = objective or NextTokenObjective()
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.98))
    model.train()
    loss = torch.zeros(())
    for step in range(steps):
        rate = min((step + 1) / warmup, 1.0) * (1 - step / steps) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = lr * rate
        optimiser.zero_grad()
        loss, _ = objective.total(objective.losses(model, batch, salt=step))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval()
    return float(loss.detach())
