"""The encoder against a slow version in NumPy, and its weights from files of others."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from sciar.errors import ModelError, UsageError
from sciar.nn.encoders.esm2 import Esm2, Esm2Config, buckets, embed_all
from sciar.nn.encoders.esm2_weights import load_esm2
from sciar.records import Protein
from sciar.tokenization.esm_alphabet import EOS, MASK, TOKENS, encoder_ids, residue_rows

CONFIG = Esm2Config(layers=2, width=24, heads=3, feed_forward=40)


def make_encoder() -> Esm2:
    torch.manual_seed(0)
    encoder = Esm2(CONFIG).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return encoder


def brute_force(encoder: Esm2, ids: list[int]) -> np.ndarray:
    """One sequence, token by token and head by head, in float64."""
    w = {n: p.detach().double().numpy() for n, p in encoder.named_parameters()}
    c = encoder.config
    n, head = len(ids), c.width // c.heads
    share = ids.count(c.mask) / n
    x = np.stack([w["embed.weight"][i] * (i != c.mask) for i in ids]) * (1 - 0.12) / (1 - share)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + c.eps)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def turned(vector: np.ndarray, place: int) -> np.ndarray:
        """Pairs (i, i + head / 2) as complex numbers, turned by place * 10000^(-2 i / head)."""
        half = head // 2
        turns = np.exp(1j * place * 10000.0 ** (-2 * np.arange(half) / head))
        z = (vector[:half] + 1j * vector[half:]) * turns
        return np.concatenate([z.real, z.imag])

    erf = np.vectorize(math.erf)
    for i in range(c.layers):
        y = norm(x, f"layers.{i}.attention_norm")
        q, k, v = (linear(y, f"layers.{i}.{name}") for name in ("query", "key", "value"))
        mixed = np.zeros_like(x)
        for h in range(c.heads):
            part = slice(h * head, (h + 1) * head)
            for a in range(n):
                scores = np.array(
                    [turned(q[a, part], a) @ turned(k[b, part], b) for b in range(n)]
                ) / math.sqrt(head)
                weights = np.exp(scores - scores.max())
                mixed[a, part] = weights / weights.sum() @ v[:, part]
        x = x + linear(mixed, f"layers.{i}.output")
        up = linear(norm(x, f"layers.{i}.feed_norm"), f"layers.{i}.up")
        x = x + linear(0.5 * up * (1 + erf(up / math.sqrt(2))), f"layers.{i}.down")
    return norm(x, "norm")


@pytest.mark.parametrize("text", ["MKVLAG", "M", "ACDEFGHIKLMNPQRSTVWYBXUZO"])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_brute_force(text: str, masked: bool) -> None:
    encoder = make_encoder()
    ids = encoder_ids(Protein(text)).tolist()
    if masked:
        ids[1] = MASK
    found = encoder(torch.tensor([ids]))[0].detach().numpy()
    np.testing.assert_allclose(found, brute_force(encoder, ids), atol=2e-4, rtol=1e-4)


def test_batches_do_not_depend_on_padding() -> None:
    encoder = make_encoder()
    rng = np.random.default_rng(0)
    sequences = [torch.tensor([0, *rng.integers(4, 30, n), 2]) for n in (1, 50, 3, 17, 17, 8)]
    sequences[3][4] = MASK
    alone = [encoder(s[None])[0].detach() for s in sequences]
    for budget in (1, 60, 10_000):
        for found, expected in zip(embed_all(encoder, sequences, budget), alone, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    wide = torch.full((1, 128), CONFIG.pad)
    wide[0, : len(sequences[1])] = sequences[1]
    torch.testing.assert_close(
        encoder(wide)[0, : len(sequences[1])].detach(), alone[1], atol=1e-4, rtol=1e-4
    )


@given(st.lists(st.integers(1, 90), max_size=30), st.integers(1, 200))
def test_buckets_hold_each_sequence_once(lengths: list[int], budget: int) -> None:
    found = list(buckets(lengths, budget))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget


def test_wrong_sizes_are_refused() -> None:
    for width, heads in ((25, 5), (24, 5)):
        with pytest.raises(UsageError, match="even width"):
            Esm2Config(1, width, heads, 8)
    with pytest.raises(UsageError, match="budget"):
        list(buckets([1], 0))


def test_the_alphabet() -> None:
    assert len(TOKENS) == 33 and TOKENS[4] == "L" and TOKENS[24] == "X" and TOKENS[28] == "O"
    assert TOKENS[32] == "<mask>" and TOKENS[1] == "<pad>"
    pair = Protein("LA", "GV")
    assert encoder_ids(pair).tolist() == [0, 4, 5, EOS, 6, 7, EOS]
    assert residue_rows(pair).tolist() == [1, 2, 4, 5]


HUGGING_FACE = {
    "attention_norm": "attention.LayerNorm", "query": "attention.self.query",
    "key": "attention.self.key", "value": "attention.self.value",
    "output": "attention.output.dense", "feed_norm": "LayerNorm", "up": "intermediate.dense",
    "down": "output.dense",
}  # fmt: skip
FAIR = {
    "attention_norm": "self_attn_layer_norm", "query": "self_attn.q_proj",
    "key": "self_attn.k_proj", "value": "self_attn.v_proj", "output": "self_attn.out_proj",
    "feed_norm": "final_layer_norm", "up": "fc1", "down": "fc2",
}  # fmt: skip


def renamed(encoder: Esm2, names: dict[str, str], layer: str, embed: str, norm: str):
    found = {}
    for name, tensor in encoder.state_dict().items():
        if name.startswith("layers."):
            _, number, part, kind = name.split(".")
            found[f"{layer}.{number}.{names[part]}.{kind}"] = tensor.clone()
        else:
            found[(embed if name.startswith("embed") else norm + name[4:])] = tensor.clone()
    return found


def hugging_face(folder: Path, **changes) -> Path:
    weights = renamed(
        make_encoder(), HUGGING_FACE, "esm.encoder.layer",
        "esm.embeddings.word_embeddings.weight", "esm.encoder.emb_layer_norm_after",
    )  # fmt: skip
    weights["lm_head.bias"] = torch.zeros(33)
    weights["esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq"] = torch.zeros(4)
    for name, tensor in changes.pop("weights", {}).items():
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    config = {
        "num_hidden_layers": 2, "hidden_size": 24, "num_attention_heads": 3, "vocab_size": 33,
        "intermediate_size": 40, "position_embedding_type": "rotary", "token_dropout": True,
        "emb_layer_norm_before": False, "layer_norm_eps": 1e-5, **changes,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder


def assert_equal(first: Esm2, second: Esm2) -> None:
    ids = torch.tensor(encoder_ids(Protein("MKVLAGX")))[None]
    assert first.config == second.config and not first.training
    torch.testing.assert_close(first(ids), second(ids), atol=0, rtol=0)


def test_a_hugging_face_folder(tmp_path: Path) -> None:
    assert_equal(load_esm2(hugging_face(tmp_path / "esm2")), make_encoder())


def test_a_fair_esm_file(tmp_path: Path) -> None:
    prefix = "encoder.sentence_encoder."
    weights = renamed(
        make_encoder(), FAIR, f"{prefix}layers", f"{prefix}embed_tokens.weight",
        f"{prefix}emb_layer_norm_after",
    )  # fmt: skip
    weights[f"{prefix}layers.0.self_attn.rot_emb.inv_freq"] = torch.zeros(4)
    weights["encoder.lm_head.bias"] = torch.zeros(33)
    path = tmp_path / "esm2_t2.pt"
    torch.save({"cfg": {"model": argparse.Namespace(arch="esm2")}, "model": weights}, path)
    assert_equal(load_esm2(path), make_encoder())
    del weights[f"{prefix}layers.1.fc2.bias"]
    torch.save({"model": weights}, path)
    with pytest.raises(ModelError, match=r"layers\.1\.down\.bias is missing"):
        load_esm2(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"esm.encoder.layer.1.LayerNorm.bias": None}}, "feed_norm.bias is missing"),
        ({"weights": {"esm.adapter.weight": torch.zeros(3)}}, "esm.adapter.weight is unknown"),
        ({"num_hidden_layers": 1}, r"layer\.1\.attention\.LayerNorm\.bias is unknown"),
        (
            {"intermediate_size": 80},
            r"dense.weight has shape \(40, 24\), not \(80, 24\)",
        ),
        ({"position_embedding_type": "absolute"}, "rotary"),
        ({"hidden_size": "wide"}, "no ESM-2 model"),
    ],
)
def test_other_weights_are_refused_by_name(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_esm2(hugging_face(tmp_path / "esm2", **changes))


def test_files_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_esm2(tmp_path / "absent")
    with pytest.raises(ModelError, match="no ESM-2 model"):
        load_esm2(tmp_path)
    (tmp_path / "x.pt").write_bytes(b"text")
    with pytest.raises(ModelError, match="no fair-esm checkpoint"):
        load_esm2(tmp_path / "x.pt")


def test_agrees_with_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.EsmConfig(
        vocab_size=33, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, position_embedding_type="rotary", token_dropout=True,
        mask_token_id=32, pad_token_id=1, emb_layer_norm_before=False,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    theirs = transformers.EsmModel(config, add_pooling_layer=False).eval()
    ours = make_encoder()
    weights = renamed(
        ours, HUGGING_FACE, "encoder.layer", "embeddings.word_embeddings.weight",
        "encoder.emb_layer_norm_after",
    )  # fmt: skip
    theirs.load_state_dict(weights, strict=False)
    ids = torch.tensor([[0, 5, 32, 7, 9, 2], [0, 5, 2, 1, 1, 1]])
    expected = theirs(ids, attention_mask=ids != 1).last_hidden_state
    known = ids != 1
    torch.testing.assert_close(ours(ids)[known], expected[known], atol=1e-5, rtol=1e-4)
