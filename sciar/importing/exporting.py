"""A model as Hugging Face keeps models: ``model.safetensors``, ``config.json``, ``README.md``.

An imported UniGenX model goes out under the names that it came with, so its backbone is a Llama
that transformers can load. Other models keep SciAR's names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save as save_tensors
from torch import Tensor

from sciar.atomic import write_folder
from sciar.errors import UsageError
from sciar.folder import ModelFolder
from sciar.importing.unigenx import dtype_of, same_sizes
from sciar.importing.unigenx_names import to_theirs
from sciar.tokenization.build import entry_of

CONFIG = "config.json"


def export_folder(content: ModelFolder, out: str | Path, precision: str = "float32") -> list[str]:
    """Write a model in Hugging Face's conventions; returns the names of the files.

    Args:
        content: the model.
        out: folder; one that an export wrote before is replaced.
        precision: ``float32``, ``bfloat16`` or ``float16``.

    Raises:
        UsageError: the target is something else, cannot be written, or an unknown precision.
    """
    out = Path(out)
    if out.exists() and (out.is_file() or (any(out.iterdir()) and not (out / CONFIG).is_file())):
        raise UsageError(f"{out} exists and is no exported model; choose another name")
    dtype = dtype_of(precision)
    state = {k: v.detach().cpu() for k, v in content.model.state_dict().items()}
    config, tensors = _described(content, state)
    config["torch_dtype"] = precision
    tensors = {
        k: (v.to(dtype) if v.is_floating_point() else v).clone().contiguous()
        for k, v in tensors.items()
    }
    vocabulary = {name: i for i, name in enumerate(content.tokenizer.vocabulary.names)}
    files = {
        "model.safetensors": save_tensors(tensors, {"format": "pt"}),
        CONFIG: _json(config),
        "vocab.json": _json(vocabulary),
        "README.md": _card(content).encode(),
    }
    write_folder(out, files)
    return list(files)


def _described(
    content: ModelFolder, state: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors, by whatever names they go out."""
    vocabulary = content.tokenizer.vocabulary
    plain = content.model.config.to_dict()
    decoder = plain["decoder"]
    known = {"bos_token_id": "<bos>", "eos_token_id": "<eos>", "pad_token_id": "<pad>"}
    config: dict[str, Any] = {
        "architectures": ["SciarModel"],
        "model_type": "sciar",
        "vocab_size": len(vocabulary),
        "hidden_size": decoder["hidden"],
        "intermediate_size": content.model.config.decoder.ffn_width,
        "num_hidden_layers": decoder["layers"],
        "num_attention_heads": decoder["heads"],
        "num_key_value_heads": decoder["kv_heads"] or decoder["heads"],
        "rms_norm_eps": 1e-6,
        "rope_theta": decoder["base"],
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        **{k: vocabulary.id(name) for k, name in known.items() if name in vocabulary},
        "sciar": {
            "name": content.name,
            "model": plain,
            "tokenizer": {
                **entry_of(content.tokenizer), "fingerprint": content.tokenizer.fingerprint,
            },
            "slots": vocabulary.to_dict()["slots"],
            "sampling": content.sampling,
        },
    }  # fmt: skip
    layers = content.info.get("coordinate_layers")
    if content.info.get("origin") != "UniGenX" or not layers:
        return config, state
    config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    config["max_position_embeddings"] = 2048
    config["sciar"] |= {
        "target": content.info["target"],
        "settings": content.info["settings"],
        "coordinate_layers": layers,
    }
    sizes = same_sizes({**plain, "vocabulary": len(vocabulary)})
    return config, to_theirs(state, sizes, (layers[0], layers[1]))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _card(content: ModelFolder) -> str:
    """The model card, below the header that the hub reads."""
    head = "---\nlibrary_name: sciar\ntags:\n- sciar\n- chemistry\n- materials\n---\n"
    return head + (content.card or f"# {content.name}\n")
