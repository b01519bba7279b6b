"""A tiny untrained model that answers questions about proteins, as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sciar.folder import ModelFolder, save_folder
from sciar.model import AutoregressiveModel, HeadConfig, InputConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.tokenization.protein import ProteinTokenizer

TASKS: dict[str, dict[str, Any]] = {
    "deeploc": {
        "type": "single",
        "labels": ["Nucleus", "Cytoplasm", "Membrane"],
        "field": "location",
    },
    "tm": {"type": "number", "mean": 60.0, "std": 10.0, "field": "tm"},
    "secondary_structure": {"type": "per_residue", "labels": "HEC", "field": "labels"},
    "binds": {"type": "single", "labels": ["yes", "no"], "field": "binds", "inputs": 2},
}


def make_protein_model(folder: Path, seed: int = 0) -> Path:
    """Save the model into ``folder``; another seed makes another model."""
    tokenizer = ProteinTokenizer(TASKS, max_length=254)
    config = ModelConfig(
        DecoderConfig(layers=2, hidden=32, heads=2, axes=2, unit=1.0),
        heads={"<number>": HeadConfig("sciar.heads.numeric.NumericHead", {"hidden": 16})},
        inputs={
            "<residue>": InputConfig(
                "sciar.nn.encoders.residues.ResidueEncoder",
                {"layers": 1, "width": 16, "heads": 2, "window": 254},
            )
        },
        max_anchors=256,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoregressiveModel(tokenizer.vocabulary, tokenizer.layout.references, config)
        for parameter in model.words.parameters():  # zero at first: all answers would be alike
            torch.nn.init.normal_(parameter)
    count = sum(p.numel() for p in model.parameters())
    info = {"parameters": count, "data": "none", "objective": {"readout": 1.0}}
    save_folder(folder, ModelFolder(folder.name, model.eval(), tokenizer, {}, info, "# tiny\n"))
    return folder
