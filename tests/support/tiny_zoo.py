"""Tiny untrained models as folders, for tests of the interface and the command line."""

from __future__ import annotations

from pathlib import Path

import torch

from sciar.datasets.readers import read_all
from sciar.datasets.registry import resolve
from sciar.folder import ModelFolder, save_folder
from sciar.model import AutoregressiveModel, HeadConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.crystal import CrystalTokenizer
from sciar.tokenization.molecule import MoleculeTokenizer
from sciar.tokenization.unified import UnifiedTokenizer


def make_model(tokenizer: LayoutTokenizer, source: str, name: str) -> ModelFolder:
    """An untrained model, its outputs as initialised (zero): well-behaved, fast."""
    structures = [r.structure for r in read_all(resolve(source))[0]]
    tokenizer.fit_statistics(structures[:20])
    config = ModelConfig(
        DecoderConfig(layers=2, hidden=16, heads=2),
        {"default": HeadConfig(options={"hidden": 16, "depth": 1})},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoregressiveModel(
            tokenizer.vocabulary, tokenizer.layout.references, config, tokenizer.layout.relations
        )
    info = {"parameters": sum(p.numel() for p in model.parameters()), "data": source}
    return ModelFolder(name, model.eval(), tokenizer, {"steps": 4}, info, f"# {name}\n")


def _unified() -> UnifiedTokenizer:
    parts = {"task": "denovo", "max_atoms": 6}
    return UnifiedTokenizer(crystals=parts, molecules=parts)


def make_zoo(folder: Path) -> Path:
    """Models ``csp``, ``denovo``, ``conformer`` and ``unified`` (from nothing) in a folder."""
    contents = (
        make_model(CrystalTokenizer("csp", max_atoms=20), "sample-crystals", "csp"),
        make_model(CrystalTokenizer("denovo", max_atoms=8), "sample-crystals", "denovo"),
        make_model(MoleculeTokenizer(max_atoms=30), "sample-molecules", "conformer"),
        make_model(_unified(), "sample-crystals", "unified"),
    )
    for content in contents:
        save_folder(folder / content.name, content)
    return folder
