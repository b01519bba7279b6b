"""An encoder on disk: ``config.yaml``, ``model.safetensors``, ``card.md``. Nothing is unpickled."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from sciar.atomic import write_folder
from sciar.errors import ModelError, UsageError
from sciar.nn.encoders.esm2 import Esm2Config
from sciar.nn.encoders.masked_lm import MaskedLM
from sciar.tokenization.esm_alphabet import TOKENS

FORMAT = 1
"""Version of the folder; a newer one is refused."""


@dataclass(frozen=True, eq=False)
class EncoderFolder:
    """What a folder holds.

    Attributes:
        name: name of the encoder.
        model: encoder and head, in evaluation mode, fp32.
        info: free facts (data, recipe, hardware, steps).
        card: text of the card.
    """

    name: str
    model: MaskedLM
    info: dict[str, Any]
    card: str


def is_encoder_folder(folder: str | Path) -> bool:
    """Whether a folder holds an encoder of our own form."""
    path = Path(folder) / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(config, dict) and "encoder" in config and "tokenizer" not in config


def save_encoder(folder: str | Path, content: EncoderFolder) -> None:
    """Write an encoder under a temporary name, then rename it.

    Raises:
        UsageError: the target exists and is no encoder, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not is_encoder_folder(folder) and any(folder.iterdir()):
        raise UsageError(f"{folder} exists and is no encoder; choose another name")
    state = {k: v.detach().cpu().contiguous() for k, v in content.model.state_dict().items()}
    weights = save_tensors(state)
    config = {
        "format": FORMAT,
        "name": content.name,
        "encoder": asdict(content.model.encoder.config),
        "alphabet": list(TOKENS),
        "weights": {"sha256": hashlib.sha256(weights).hexdigest()},
        "info": content.info,
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    write_folder(
        folder,
        {
            "model.safetensors": weights,
            "config.yaml": text.encode(),
            "card.md": content.card.encode(),
        },
    )


def load_encoder_folder(folder: str | Path) -> EncoderFolder:
    """Read an encoder of our own form.

    Raises:
        ModelError: a file is missing or damaged, the format is newer than this SciAR, or the
            alphabet is not the one that the encoder was trained with.
    """
    folder = Path(folder)
    config = _read_config(folder)
    path = folder / "model.safetensors"
    if not path.exists():
        raise ModelError(f"{folder}: model.safetensors is missing; fetch the encoder again")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != config["weights"]["sha256"]:
        raise ModelError(f"{path}: damaged (its checksum differs from config.yaml); fetch it again")
    try:
        model = MaskedLM(Esm2Config(**config["encoder"]))
        model.load_state_dict({k: _full(v) for k, v in load_tensors(data).items()})
    except (SafetensorError, TypeError, RuntimeError, UsageError) as error:
        raise ModelError(f"{folder}: weights and config.yaml do not fit together ({error})") from (
            error
        )
    card = folder / "card.md"
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    name, info = config.get("name", folder.name), config.get("info") or {}
    return EncoderFolder(name, model.eval(), info, text)


def _full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path}: missing or damaged ({error}); fetch the encoder again"
        ) from error
    needed = ("format", "encoder", "alphabet", "weights")
    missing = [k for k in needed if not isinstance(config, dict) or k not in config]
    if missing:
        raise ModelError(f"{path}: no encoder of SciAR, {', '.join(missing)} missing")
    if config["format"] > FORMAT:
        raise ModelError(
            f"{path}: written by a newer SciAR (format {config['format']}, this one reads up to "
            f"{FORMAT}): upgrade with pip install -U sciar"
        )
    if config["alphabet"] != list(TOKENS):
        raise ModelError(f"{path}: trained with another alphabet; its output would be meaningless")
    return config
