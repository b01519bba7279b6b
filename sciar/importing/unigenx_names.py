"""Names of UniGenX's parameters and ours, both ways.

The backbone is a Llama in the names of Hugging Face transformers, the head is that of MAR
(LTH14/mar) below ``diffloss.net``. The perceptron that reads coordinates is known by its shape, not
by a name: it is what is left over, two linear layers 3 -> h -> h.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sciar.errors import ModelError

EMBEDDING = "model.embed_tokens.weight"
HEAD = "diffloss.net."
IGNORED = ("rotary_emb.inv_freq",)
"""Tables that follow from the sizes."""


@dataclass(frozen=True)
class Sizes:
    """What the shapes of the tensors tell.

    Attributes:
        vocabulary: symbols.
        hidden: width of the backbone.
        layers: of the backbone.
        ffn: width of its feed-forward networks.
        head_hidden: width of the head.
        head_depth: blocks of the head.
        learned_variance: whether the head has six outputs, not three.
    """

    vocabulary: int
    hidden: int
    layers: int
    ffn: int
    head_hidden: int
    head_depth: int
    learned_variance: bool


def plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefix of the object that held the network.

    Raises:
        ModelError: there is no embedding of symbols, so this is no such network.
    """
    found = [name for name in tensors if name.endswith(EMBEDDING)]
    if len(found) != 1:
        raise ModelError(f"no UniGenX checkpoint: {len(found)} tensors end in {EMBEDDING}")
    prefix = found[0].removesuffix(EMBEDDING)
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if not name.endswith(IGNORED)
    }


def sizes_of(tensors: Mapping[str, Tensor]) -> Sizes:
    """Sizes of a network, from its plain names.

    Raises:
        ModelError: a tensor is missing.
    """
    vocabulary, hidden = _need(tensors, EMBEDDING).shape
    layers = 1 + max(
        (int(n.split(".")[2]) for n in tensors if n.startswith("model.layers.")), default=-1
    )
    depth = 1 + max(
        (int(n.split(".")[3]) for n in tensors if n.startswith(f"{HEAD}res_blocks.")), default=-1
    )
    if not layers or not depth:
        raise ModelError(f"the network has {layers} layers and a head of {depth} blocks")
    out = _need(tensors, f"{HEAD}final_layer.linear.weight")
    if out.shape[0] not in (3, 6):
        raise ModelError(f"a head of {out.shape[0]} outputs; known are 3 and 6")
    ffn = _need(tensors, "model.layers.0.mlp.gate_proj.weight").shape[0]
    return Sizes(vocabulary, hidden, layers, ffn, out.shape[1], depth, out.shape[0] == 6)


def _need(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise ModelError(f"no UniGenX checkpoint: the tensor {name} is missing")
    return tensors[name]


def _one_to_one(sizes: Sizes) -> Iterator[tuple[str, str]]:
    """(our name, their name) of tensors that are the same."""
    yield "embedding.token.weight", EMBEDDING
    yield "words.out.weight", "lm_head.weight"
    yield "decoder.norm.weight", "model.norm.weight"
    for i in range(sizes.layers):
        ours, theirs = f"decoder.layers.{i}", f"model.layers.{i}"
        yield f"{ours}.mixer_norm.weight", f"{theirs}.input_layernorm.weight"
        yield f"{ours}.ffn_norm.weight", f"{theirs}.post_attention_layernorm.weight"
        yield f"{ours}.mixer.out.weight", f"{theirs}.self_attn.o_proj.weight"
        yield f"{ours}.ffn.down.weight", f"{theirs}.mlp.down_proj.weight"
    linear = [("time.0", "time_embed.mlp.0"), ("time.2", "time_embed.mlp.2"),
              ("condition", "cond_embed"), ("enter", "input_proj"),
              ("final", "final_layer.adaLN_modulation.1"),
              ("out", "final_layer.linear")]  # fmt: skip
    for i in range(sizes.head_depth):
        block = f"res_blocks.{i}"
        linear += [(f"norms.{i}", f"{block}.in_ln"), (f"blocks.{i}.0", f"{block}.mlp.0"),
                   (f"blocks.{i}.2", f"{block}.mlp.2"),
                   (f"modulations.{i}", f"{block}.adaLN_modulation.1")]  # fmt: skip
    for mine, other in linear:
        for part in ("weight", "bias"):
            yield f"heads.0.net.{mine}.{part}", f"{HEAD}{other}.{part}"


def _joined(sizes: Sizes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(our name, their names) of tensors that are stacked here."""
    for i in range(sizes.layers):
        theirs = f"model.layers.{i}"
        attention = tuple(f"{theirs}.self_attn.{x}_proj.weight" for x in "qkv")
        yield f"decoder.layers.{i}.mixer.qkv.weight", attention
        gates = tuple(f"{theirs}.mlp.{x}_proj.weight" for x in ("gate", "up"))
        yield f"decoder.layers.{i}.ffn.up.weight", gates


def coordinate_layers(left: Mapping[str, Tensor], hidden: int) -> tuple[str, str]:
    """Names of the two linear layers that read coordinates, among the tensors left over.

    Raises:
        ModelError: there is something else, or not just these.
    """
    wanted: dict[tuple[int, ...], str] = {(hidden, 3): "", (hidden, hidden): ""}
    for name, tensor in left.items():
        module, _, part = name.rpartition(".")
        shape = tuple(tensor.shape)
        if part == "bias" and shape == (hidden,):
            continue
        if part != "weight" or wanted.get(shape) != "":
            raise ModelError(f"unexpected tensor {name} of shape {shape}")
        wanted[shape] = module
    first, second = wanted[hidden, 3], wanted[hidden, hidden]
    needed = {f"{m}.{part}" for m in (first, second) for part in ("weight", "bias")}
    if set(left) != needed:
        raise ModelError(
            "the layers that read coordinates are incomplete: found "
            f"{', '.join(sorted(left)) or 'none'}"
        )
    return first, second


def to_ours(
    tensors: Mapping[str, Tensor], sizes: Sizes
) -> tuple[dict[str, Tensor], tuple[str, str]]:
    """Their tensors by our names, and the names of the layers that read coordinates.

    Raises:
        ModelError: a tensor is missing, or one is not known.
    """
    left = dict(tensors)
    state: dict[str, Tensor] = {}
    for ours, theirs in _one_to_one(sizes):
        state[ours] = _need(tensors, theirs)
        del left[theirs]
    for ours, parts in _joined(sizes):
        state[ours] = torch.cat([_need(tensors, name) for name in parts])
        for name in parts:
            del left[name]
    layers = coordinate_layers(left, sizes.hidden)
    for layer, theirs in zip(("0", "2"), layers, strict=True):
        for part in ("weight", "bias"):
            state[f"embedding.payload.0.net.{layer}.{part}"] = tensors[f"{theirs}.{part}"]
    return {name: tensor.float() for name, tensor in state.items()}, layers


def to_theirs(
    state: Mapping[str, Tensor], sizes: Sizes, layers: tuple[str, str]
) -> dict[str, Tensor]:
    """Inverse of :func:`to_ours`."""
    found = {theirs: state[ours] for ours, theirs in _one_to_one(sizes)}
    for ours, parts in _joined(sizes):
        found |= dict(zip(parts, state[ours].chunk(len(parts)), strict=True))
    for layer, theirs in zip(("0", "2"), layers, strict=True):
        for part in ("weight", "bias"):
            found[f"{theirs}.{part}"] = state[f"embedding.payload.0.net.{layer}.{part}"]
    return {name: tensor.contiguous() for name, tensor in found.items()}
