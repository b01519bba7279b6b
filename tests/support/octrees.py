"""Small octree tokenizers, models and molecules for tests of the network and the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tiny_models import tiny_config, tiny_model

from sciar.model import AutoregressiveModel, ModelConfig
from sciar.records import Molecule
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.octree_molecule import OctreeMoleculeTokenizer

LABELS = ("H", "C", "O")
STREAMS: dict[str, dict[str, bool]] = {
    "one-stream": {},
    "questions": {"questions": True},
    "private-questions": {"questions": True, "private": True},
}


def random_molecules(count: int, seed: int = 0, most: int = 7) -> list[Molecule]:
    """Random points; some share a cell."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        n = int(rng.integers(2, most + 1))
        made.append(Molecule(tuple(rng.choice(LABELS, n)), rng.normal(0, 0.9, (n, 3))))
    return made


def octree_tokenizer(task: str = "denovo", **options: Any) -> OctreeMoleculeTokenizer:
    """Few labels, large cells, statistics of random molecules."""
    chosen = {"labels": LABELS, "levels": 3, "edge": 0.96, "max_atoms": 10, **options}
    tokenizer = OctreeMoleculeTokenizer(task, **chosen)
    tokenizer.fit_statistics(random_molecules(20))
    return tokenizer


def octree_config(stream: str, **decoder: Any) -> ModelConfig:
    """Two layers of width 32 that know places."""
    config = tiny_config(**{"axes": 3, "unit": 0.2, "base": 100.0, "ahead": True, **decoder})
    return replace(config, places=True, max_anchors=24, **STREAMS[stream])


def octree_model(tokenizer: LayoutTokenizer, stream: str) -> AutoregressiveModel:
    """A shaken model."""
    return tiny_model(tokenizer, octree_config(stream), shake=0.05)
