"""Small labelled crystals and molecules, and property models of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tiny_models import random_crystals, tiny_config, tiny_model

from sciar.folder import ModelFolder
from sciar.model import AutoregressiveModel
from sciar.records import Record
from sciar.tokenization.property import PropertyTokenizer

CRYSTALS = {
    "class_path": "sciar.tokenization.crystal.CrystalTokenizer",
    "init_args": {"max_atoms": 8, "cell": "as-given"},
}
MOLECULES = {
    "class_path": "sciar.tokenization.molecule.MoleculeTokenizer",
    "init_args": {"max_atoms": 40},
}
TARGETS: list[Any] = [
    {"name": "volume", "unit": "cubic angstrom"},
    {"name": "metal", "classes": ["no", "yes"]},
    {"name": "site", "classes": ["0", "1"], "each": "atom"},
    {"name": "charge", "each": "atom"},
]


def labelled_crystals(count: int, seed: int = 0, missing: Sequence[str] = ()) -> list[Record]:
    """Crystals whose labels follow from the structure; some of them may be missing."""
    rng = np.random.default_rng(seed)
    records = []
    for i, crystal in enumerate(random_crystals(count, seed)):
        labels: dict[str, Any] = {
            "volume": crystal.volume,
            "metal": "yes" if {"Na", "Ti", "Sr"} & set(crystal.species) else "no",
            "site": [int(s == "O") for s in crystal.species],
            "charge": [float(len(s)) for s in crystal.species],
        }
        dropped = {name for name in missing if rng.random() < 0.5}
        properties = {k: v for k, v in labels.items() if k not in dropped}
        records.append(Record(f"c{i}", crystal, properties, "crystals.jsonl", i))
    return records


def crystal_properties(
    targets: list[Any] = TARGETS, records: Sequence[Record] = ()
) -> PropertyTokenizer:
    """A tokenizer with statistics of labelled crystals."""
    tokenizer = PropertyTokenizer(CRYSTALS, targets)
    known = records or labelled_crystals(20)
    tokenizer.fit_statistics([tokenizer.subject(r) for r in known])
    return tokenizer


def property_model(
    tokenizer: PropertyTokenizer, shake: float = 0.1, **decoder: Any
) -> AutoregressiveModel:
    """An untrained model that says different things of different structures."""
    return tiny_model(tokenizer, tiny_config(**decoder), shake=shake)


def property_folder(tokenizer: PropertyTokenizer, **decoder: Any) -> ModelFolder:
    """Likewise, as a folder holds it."""
    return ModelFolder("properties", property_model(tokenizer, **decoder), tokenizer, {}, {}, "")
