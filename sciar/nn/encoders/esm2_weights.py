"""Published ESM-2 weights in our encoder: a Hugging Face folder, or a fair-esm ``.pt`` file.

Every name is mapped; a missing, extra or misshapen one is refused by name. Nothing is unpickled.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sciar.errors import ModelError, UsageError
from sciar.nn.encoders.esm2 import Esm2, Esm2Config
from sciar.nn.encoders.folder import is_encoder_folder, load_encoder_folder

_HUGGING_FACE = {
    "attention.LayerNorm": "attention_norm", "attention.self.query": "query",
    "attention.self.key": "key", "attention.self.value": "value",
    "attention.output.dense": "output", "LayerNorm": "feed_norm", "intermediate.dense": "up",
    "output.dense": "down",
}  # fmt: skip
_FAIR = {
    "self_attn_layer_norm": "attention_norm", "self_attn.q_proj": "query",
    "self_attn.k_proj": "key", "self_attn.v_proj": "value", "self_attn.out_proj": "output",
    "final_layer_norm": "feed_norm", "fc1": "up", "fc2": "down",
}  # fmt: skip
# Heads that we do not have, and tables that follow from the sizes.
_UNUSED = re.compile(
    r"lm_head\.|contact_head\.|pooler\.|.*inv_freq$|embeddings\.position_(ids|embeddings)|embed_out"
)
_LAYER = re.compile(r"(?:encoder\.layer|layers)\.(\d+)\.(.+)\.(weight|bias)")


def find_encoder(name: str | Path) -> Path:
    """Path of an encoder: itself, or that of an encoder of the package's zoo by its name.

    Raises:
        ModelError: neither is there.
    """
    path = Path(name)
    if path.exists():
        return path
    shipped = Path(__file__).resolve().parents[2] / "zoo" / str(name)
    if "/" not in str(name) and shipped.is_dir():
        return shipped
    raise ModelError(
        f"{name}: no such file, folder, or encoder of the zoo; to pretrain one, see "
        "sciar fit --config encoder-nano"
    )


def load_esm2(path: str | Path) -> Esm2:
    """The encoder of a local folder or file, in evaluation mode, fp32.

    Args:
        path: a folder with ``config.json`` and ``model.safetensors``, a fair-esm ``.pt`` file, or
            an encoder of our own (:mod:`sciar.nn.encoders.folder`).

    Raises:
        ModelError: not such a model, or a parameter that is missing, extra or of another shape.
    """
    path = Path(path)
    if is_encoder_folder(path):
        return load_encoder_folder(path).model.encoder
    if path.is_dir():
        config, weights, names = *_hugging_face(path), _HUGGING_FACE
    elif path.is_file():
        config, weights, names = *_fair(path), _FAIR
    else:
        raise ModelError(f"{path}: no such file or folder; the encoder must be local")
    encoder = Esm2(config)
    mapped, origin = dict[str, Tensor](), dict[str, str]()
    for name, tensor in weights.items():
        own = _own_name(name, names)
        if own is not None:
            mapped[own], origin[own] = tensor, name
    _check(path, encoder.state_dict(), mapped, origin)
    encoder.load_state_dict({name: tensor.float() for name, tensor in mapped.items()})
    return encoder.eval()


def _own_name(name: str, names: Mapping[str, str]) -> str | None:
    """Our name of a parameter; ``None`` if it is not used; unknown ones stay as they are."""
    bare = name.removeprefix("esm.")
    if names is _FAIR:
        bare = bare.removeprefix("encoder.sentence_encoder.").removeprefix("encoder.")
    if _UNUSED.match(bare):
        return None
    found = _LAYER.fullmatch(bare)
    if found and found[2] in names:
        return f"layers.{found[1]}.{names[found[2]]}.{found[3]}"
    if bare in ("embeddings.word_embeddings.weight", "embed_tokens.weight"):
        return "embed.weight"
    if bare.removeprefix("encoder.").startswith("emb_layer_norm_after."):
        return f"norm.{bare.rpartition('.')[2]}"
    return f"(unmapped) {name}"


def _check(
    path: Path,
    wanted: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    origin: Mapping[str, str],
) -> None:
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{origin[name]} is unknown" for name in sorted(found) if name not in wanted]
    problems += [
        f"{origin[name]} has shape {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ModelError(
            f"{path}: not the weights of this encoder: {'; '.join(problems[:5])}{more}"
        )


def _hugging_face(path: Path) -> tuple[Esm2Config, dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        data = json.loads((path / "config.json").read_text(encoding="utf-8"))
        config = _config(data)
        weights = load_file(path / "model.safetensors")
    except (OSError, ValueError, KeyError, TypeError, UsageError, SafetensorError) as error:
        raise ModelError(
            f"{path}: no ESM-2 model with config.json and model.safetensors ({error!r})"
        ) from error
    return config, weights


def _config(data: dict[str, Any]) -> Esm2Config:
    """Sizes from Hugging Face's names; a model that is no ESM-2 is refused."""
    if data.get("position_embedding_type") != "rotary" or data.get("emb_layer_norm_before"):
        raise UsageError("an ESM-2 model has rotary positions and no LayerNorm before its blocks")
    return Esm2Config(
        layers=int(data["num_hidden_layers"]),
        width=int(data["hidden_size"]),
        heads=int(data["num_attention_heads"]),
        feed_forward=int(data["intermediate_size"]),
        vocabulary=int(data["vocab_size"]),
        pad=int(data.get("pad_token_id", 1)),
        mask=int(data.get("mask_token_id", 32)),
        token_dropout=bool(data.get("token_dropout", True)),
        eps=float(data.get("layer_norm_eps", 1e-5)),
    )


def _fair(path: Path) -> tuple[Esm2Config, dict[str, Tensor]]:
    """Sizes follow from the shapes; the width of a head from the table of frequencies."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            weights = torch.load(path, map_location="cpu", weights_only=True)["model"]
        named = {_own_name(name, _FAIR): tensor for name, tensor in weights.items()}
        blocks = {int(n.split(".")[1]) for n in named if n and n.startswith("layers.")}
        vocabulary, width = named["embed.weight"].shape
        frequencies = next(t for name, t in weights.items() if name.endswith("inv_freq"))
        config = Esm2Config(
            layers=max(blocks) + 1,
            width=width,
            heads=width // (2 * len(frequencies)),
            feed_forward=len(named["layers.0.up.weight"]),
            vocabulary=vocabulary,
        )
    except StopIteration:
        raise ModelError(f"{path}: no table of rotary frequencies; is it an ESM-2 model?") from None
    except Exception as error:  # a damaged or foreign file makes torch raise whatever it likes
        raise ModelError(f"{path}: no fair-esm checkpoint of an ESM-2 model ({error!r})") from error
    return config, weights
