"""A model that has learned a few crystals, so that sampling is not chaotic."""

from __future__ import annotations

import pytest
import torch
from tiny_models import (
    crystal_tokenizer,
    encoded,
    random_crystals,
    tiny_config,
    tiny_model,
    train,
)

from sciar.model import AutoregressiveModel
from sciar.tokenization.crystal import CrystalTokenizer

Trained = tuple[AutoregressiveModel, CrystalTokenizer]


def _trained(task: str) -> Trained:
    torch.set_num_threads(1)
    tokenizer = crystal_tokenizer(task)
    model = tiny_model(tokenizer, tiny_config(head_options={"steps": 6}))
    train(model, encoded(tokenizer, random_crystals(8)), 120)
    return model, tokenizer


@pytest.fixture(scope="session")
def csp() -> Trained:
    """Composition given."""
    return _trained("csp")


@pytest.fixture(scope="session")
def denovo() -> Trained:
    """Composition generated."""
    return _trained("denovo")
