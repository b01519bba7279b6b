"""A model on disk: ``config.yaml``, ``model.safetensors``, ``card.md``. Nothing is unpickled.

A tokenizer may have belongings beside them, such as known structures.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from sciar.atomic import write_folder
from sciar.errors import ModelError, UsageError
from sciar.model import AutoregressiveModel, ModelConfig
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.build import build_tokenizer, entry_of
from sciar.tokenization.vocabulary import Vocabulary

FORMAT = 1
"""Version of the folder; a newer one is refused."""


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """What a folder holds.

    Attributes:
        name: name of the model.
        model: the network, in evaluation mode.
        tokenizer: the tokenizer it was trained with.
        sampling: default settings of generation.
        info: free facts (data, recipe, hardware, steps).
        card: text of the model card.
    """

    name: str
    model: AutoregressiveModel
    tokenizer: LayoutTokenizer
    sampling: dict[str, Any]
    info: dict[str, Any]
    card: str


def save_folder(folder: Path, content: ModelFolder, *, half: bool = False) -> None:
    """Write a model folder under a temporary name, then rename it.

    Args:
        folder: target; an existing model folder is replaced, any other existing path refused.
        content: what to write.
        half: store bf16 weights (half the size, three significant digits).

    Raises:
        UsageError: if the target exists and is no model folder, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / "config.yaml").exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} exists and is no model folder; choose another name")
    state = {k: v.detach().cpu().contiguous() for k, v in content.model.state_dict().items()}
    if half:
        state = {k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}
    weights = save_tensors(state)
    tokenizer = content.tokenizer
    belongings = tokenizer.belongings()
    config = {
        "format": FORMAT,
        "name": content.name,
        "tokenizer": {**entry_of(tokenizer), "fingerprint": tokenizer.fingerprint},
        "vocabulary": tokenizer.vocabulary.to_dict(),
        "model": content.model.config.to_dict(),
        "weights": {"sha256": hashlib.sha256(weights).hexdigest()},
        "sampling": content.sampling,
        "info": content.info,
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    write_folder(
        folder,
        {
            "model.safetensors": weights,
            "config.yaml": text.encode(),
            "card.md": content.card.encode(),
            **belongings,
        },
    )


def load_folder(folder: Path) -> ModelFolder:
    """Read a model folder.

    Raises:
        ModelError: a file is missing or damaged, the format is newer than this SciAR, or the
            tokenizer is not the one that the model was trained with.
    """
    folder = Path(folder)
    config = _read_config(folder)
    tokenizer = _tokenizer(folder, config)
    model = AutoregressiveModel(
        tokenizer.vocabulary,
        tokenizer.layout.references,
        ModelConfig.from_dict(config["model"]),
        tokenizer.layout.relations,
    )
    tokenizer.find_belongings(str(folder))
    state = _read_weights(folder, config["weights"]["sha256"])
    try:
        model.load_state_dict({k: v.float() for k, v in state.items()})
    except RuntimeError as error:
        raise ModelError(
            f"{folder}: weights and config.yaml do not fit together ({error})"
        ) from error
    card = folder / "card.md"
    return ModelFolder(
        name=config.get("name", folder.name),
        model=model.eval(),
        tokenizer=tokenizer,
        sampling=config.get("sampling") or {},
        info=config.get("info") or {},
        card=card.read_text(encoding="utf-8") if card.exists() else "",
    )


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    if not path.exists():
        raise ModelError(f"{folder}: no config.yaml; a model folder holds config.yaml and weights")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: damaged, not readable as YAML; fetch the model again") from error
    if not isinstance(config, dict) or "format" not in config:
        raise ModelError(f"{path}: not a SciAR model configuration")
    if config["format"] > FORMAT:
        raise ModelError(
            f"{path}: written by a newer SciAR (format {config['format']}, this one reads up to "
            f"{FORMAT}): upgrade with pip install -U sciar"
        )
    if "encoder" in config and "tokenizer" not in config:
        raise ModelError(
            f"{folder}: an encoder of proteins, which answers nothing by itself; models read "
            "proteins through it (weights of an input module)"
        )
    missing = [k for k in ("tokenizer", "vocabulary", "model", "weights") if k not in config]
    if missing:
        raise ModelError(f"{path}: damaged, {', '.join(missing)} missing; fetch the model again")
    return config


def _read_weights(folder: Path, expected: str) -> dict[str, torch.Tensor]:
    path = folder / "model.safetensors"
    if not path.exists():
        raise ModelError(f"{folder}: model.safetensors is missing; fetch the model again")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise ModelError(f"{path}: damaged (its checksum differs from config.yaml); fetch it again")
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file ({error})") from error


def _tokenizer(folder: Path, config: dict[str, Any]) -> LayoutTokenizer:
    """Rebuild the tokenizer; only classes of ``LayoutTokenizer`` are ever constructed."""
    entry = config["tokenizer"]
    try:
        vocabulary = Vocabulary.from_dict(config["vocabulary"])
        tokenizer = build_tokenizer(entry, vocabulary=vocabulary)
    except (TypeError, KeyError, UsageError) as error:
        raise ModelError(f"{folder}: damaged tokenizer configuration ({error})") from error
    if tokenizer.fingerprint != entry["fingerprint"]:
        raise ModelError(
            f"{folder}: the tokenizer (fingerprint {tokenizer.fingerprint}) is not the one that "
            f"the model was trained with ({entry['fingerprint']}); its output would be meaningless"
        )
    return tokenizer
