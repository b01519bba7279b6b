"""UniGenX's released checkpoints as model folders, with the numbers of the original (spec 2, 4)."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sciar.errors import ModelError, UsageError
from sciar.folder import ModelFolder, save_folder
from sciar.importing.unigenx_names import Sizes, plain_names, sizes_of, to_ours
from sciar.importing.unpickling import Checkpoint, read_checkpoint
from sciar.model import AutoregressiveModel, HeadConfig, InputConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.tokenization.base import LayoutTokenizer
from sciar.tokenization.compat import UniGenXTokenizer
from sciar.tokenization.compat_conditional import (
    UniGenXConditionalTokenizer,
    UniGenXDockingTokenizer,
    UniGenXEnzymeTokenizer,
    UniGenXTraceTokenizer,
)
from sciar.tokenization.compat_dictionaries import SLOT, dictionary_lines

PACKAGES = ("unigenx",)
HEAD_WIDTH = 64
"""Of an attention head of the backbone, unless the settings say how many there are."""
KNOWN = {
    "mat": "dd4646b9c072a54e",
    "cond_mat": "50fdc52006fff239",
    "qm9": "18eae666a205461f",
    "drugs": "5b67426706bfa9eb",
    "cond_mol": "585c1650cea7b644",
    "uni": "ce4a1c7b8413ffcd",
    "prot": "dd512198cad38d51",
    "dock": "016aed521c292c63",
    "ecnum": "58886b7d829f8e36",
}
"""Released dictionary -> fingerprint of its tokens in order (:func:`fingerprint_of`)."""
TARGETS = {
    "material": ("mat",),
    "cond_mat": ("cond_mat",),
    "mol": ("qm9", "drugs"),
    "cond_mol": ("cond_mol",),
    "uni_mat": ("uni",),
    "uni_mol": ("uni",),
    "prot": ("prot",),
    "misato": ("dock",),
    "dock": ("dock",),
    "ecnum": ("ecnum",),
}
"""Target -> dictionaries that it was released with."""


def fingerprint_of(lines: list[str]) -> str:
    """16 hex digits of the SHA-256 of the tokens, one a line."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def import_unigenx(
    checkpoint: str | Path,
    dictionary: str | Path,
    out: str | Path,
    *,
    target: str | None = None,
    heads: int | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Write a model folder of a checkpoint; returns its facts.

    Args:
        checkpoint: ``.pt`` of the release, or the folder of ``sciar export`` of an imported model.
        dictionary: the dictionary that the checkpoint was trained with.
        out: folder of the model.
        target: layout (see :data:`TARGETS`), if the settings do not say, or to choose another of
            the same dictionary, as ``uni_mol`` beside ``uni_mat``.
        heads: attention heads; default: as the settings say, else one for each 64 of the width.
        name: of the model; default: that of the folder.

    Raises:
        UsageError: no such file, an unknown target, or none known; or a dictionary of another size
            or of another target.
        ModelError: the checkpoint is damaged, names an unexpected class, or is none of UniGenX.
    """
    found = _read(Path(checkpoint))
    tensors = plain_names(found.tensors)
    sizes = sizes_of(tensors)
    lines = dictionary_lines(_file(dictionary))
    chosen = _target(target or found.fields.get("target"), lines)
    reorder = _matched(chosen, lines, sizes, dictionary)
    state, layers = to_ours(tensors, sizes)
    scale = float(found.fields.get("scale_coords") or 1.0)
    tokenizer = _tokenizer(chosen, lines, reorder, scale)
    count = heads or int(found.fields.get("num_attention_heads") or sizes.hidden // HEAD_WIDTH)
    model = AutoregressiveModel(
        tokenizer.vocabulary, tokenizer.layout.references, _config(sizes, count),
        tokenizer.layout.relations,
    )  # fmt: skip
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{checkpoint}: tensors do not fit together ({error})") from error
    facts = {
        "origin": "UniGenX",
        "target": chosen,
        "dictionary": fingerprint_of(lines),
        "coordinate_layers": list(layers),
        "settings": found.fields,
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": "not known; the weights are those of the checkpoint",
    }
    title = name or Path(out).resolve().name
    card = (
        f"# {title}\n\nImported from a UniGenX checkpoint (target {chosen}, {sizes.layers} layers "
        f"of width {sizes.hidden}, head of {sizes.head_depth} blocks). Licence and training data "
        "are those of the checkpoint.\n"
    )
    content = ModelFolder(title, model.eval(), tokenizer, {}, facts, card)
    save_folder(Path(out), content)
    return facts


def _file(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such dictionary")
    return Path(path)


def _read(path: Path) -> Checkpoint:
    """A checkpoint, or an exported folder."""
    if not path.is_dir():
        return read_checkpoint(path, PACKAGES)
    try:
        tensors = load_file(path / "model.safetensors")
        fields = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: no exported model ({error})") from error
    kept = fields.get("sciar", {})
    return Checkpoint(tensors, {**kept.get("settings", {}), "target": kept.get("target")}
                      | {"num_attention_heads": fields.get("num_attention_heads")})  # fmt: skip


def _target(given: Any, lines: list[str]) -> str:
    """The layout; a released dictionary of one target tells it too."""
    if given is None:
        known = {v: k for k, v in KNOWN.items()}.get(fingerprint_of(lines), "")
        fitting = [t for t, names in TARGETS.items() if known in names]
        if len(fitting) != 1:
            raise UsageError(
                f"the checkpoint does not say its target: give one of {', '.join(TARGETS)}"
            )
        return fitting[0]
    if given not in TARGETS:
        raise UsageError(f"target {given!r} is none of {', '.join(TARGETS)}")
    return str(given)


def _matched(target: str, lines: list[str], sizes: Sizes, path: str | Path) -> bool:
    """Whether the vocabulary has the words of reordering.

    Raises:
        UsageError: another size, or a released dictionary of another target.
    """
    extra = sizes.vocabulary - (len(lines) + 7)
    if extra not in (0, 6):
        raise UsageError(
            f"{path}: {len(lines)} tokens make a vocabulary of {len(lines) + 7}, but the "
            f"checkpoint has {sizes.vocabulary}; give the dictionary that it was trained with"
        )
    print_ = fingerprint_of(lines)
    known = next((name for name, value in KNOWN.items() if value == print_), None)
    if known is None:
        warnings.warn(
            f"{path}: none of the released dictionaries (fingerprint {print_}); of the right size "
            "but another order, it would make every symbol another one",
            stacklevel=3,
        )
    elif known not in TARGETS[target]:
        raise UsageError(
            f"{path}: this is the dictionary {known}, but a checkpoint of the target {target} "
            f"belongs to {' or '.join(TARGETS[target])}; every symbol would be another one"
        )
    return extra == 6


def _tokenizer(target: str, lines: list[str], reorder: bool, scale: float) -> LayoutTokenizer:
    match target:
        case "cond_mat" | "cond_mol":
            return UniGenXConditionalTokenizer(target, lines, scale=scale)
        case "prot":
            return UniGenXTraceTokenizer(lines, 2000)
        case "ecnum":
            return UniGenXEnzymeTokenizer(lines)
        case "misato" | "dock":
            return UniGenXDockingTokenizer(lines)
    return UniGenXTokenizer(target, lines, reorder=reorder, scale=scale)


def _config(sizes: Sizes, heads: int) -> ModelConfig:
    """The network of the original; its slots know nothing but their numbers."""
    options = {
        "hidden": sizes.head_hidden,
        "depth": sizes.head_depth,
        "learned_variance": sizes.learned_variance,
        "whole_schedule": True,
        "steps": 200,
    }
    return ModelConfig(
        decoder=DecoderConfig(layers=sizes.layers, hidden=sizes.hidden, heads=heads, ffn=sizes.ffn),
        heads={"default": HeadConfig("sciar.heads.diffusion.DiffusionHead", options)},
        inputs={SLOT: InputConfig("sciar.nn.plain_input.PlainInput")},
        identity=False,
    )


def same_sizes(config: Mapping[str, Any]) -> Sizes:
    """Sizes of an imported network, from the plain form of its configuration.

    Raises:
        KeyError: it is none of :func:`import_unigenx`.
    """
    decoder, head = config["decoder"], config["heads"]["default"]["options"]
    return Sizes(
        config["vocabulary"], decoder["hidden"], decoder["layers"], decoder["ffn"], head["hidden"],
        head["depth"], head["learned_variance"],
    )  # fmt: skip


def dtype_of(name: str) -> torch.dtype:
    """``float32``, ``bfloat16`` or ``float16``.

    Raises:
        UsageError: another name.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise UsageError(f"precision {name!r} is none of {', '.join(known)}")
    return known[name]
