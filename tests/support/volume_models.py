"""A folder of a small model that segments, whose weights are random."""

from __future__ import annotations

from pathlib import Path

from tiny_volumes import volume_config, volume_model, volume_tokenizer

from sciar.folder import ModelFolder, save_folder
from sciar.model import InputConfig


def segmenter_folder(folder: Path, seed: int = 0) -> Path:
    tokenizer = volume_tokenizer((4, 8, 8), (2, 4, 4))
    options = {"patch": [2, 4, 4], "channels": 4}
    extras = {"affinities": InputConfig("sciar.nn.affinities.AffinityDecoder", options)}
    model = volume_model(tokenizer, volume_config(extras=extras), seed)
    content = ModelFolder("made", model, tokenizer, {"threshold": 0.4}, {}, "made for tests")
    save_folder(folder, content)
    return folder
