"""Adapters: nothing changes at first, only they learn, and merging keeps what was learnt."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sciar.errors import UsageError
from sciar.nn.encoders.esm2 import Esm2, Esm2Config
from sciar.nn.encoders.lora import LoraLinear, add_lora, merge_lora, merged_state

IDS = torch.tensor([0, 5, 6, 7, 2, 0, 9, 10, 2])
LENGTHS = torch.tensor([5, 4])


def make_encoder() -> Esm2:
    torch.manual_seed(0)
    return Esm2(Esm2Config(layers=2, width=24, heads=3, feed_forward=40))


def trained(encoder: Esm2, steps: int = 3) -> Esm2:
    torch.manual_seed(1)
    parameters = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (encoder.packed(IDS, LENGTHS)[:, 0] - 1.0).square().mean().backward()
        optimizer.step()
    return encoder


def test_new_adapters_change_nothing() -> None:
    encoder = make_encoder().eval()
    before = encoder.packed(IDS, LENGTHS)
    names = add_lora(encoder, rank=3)
    assert len(names) == 12 and "layers.1.query" in names and "layers.0.down" in names
    assert torch.equal(encoder.packed(IDS, LENGTHS), before)


def test_only_adapters_learn() -> None:
    encoder = make_encoder()
    before = {name: p.clone() for name, p in encoder.state_dict().items()}
    add_lora(encoder, rank=2)
    trained(encoder)
    after = encoder.state_dict()
    moved = {n for n in after if n not in before or not torch.equal(after[n], before[n])}
    assert moved == {n for n in after if n not in before}
    expected = 2 * sum(a + b for a, b in [(24, 24)] * 4 * 2 + [(24, 40)] * 2 * 2)
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == expected


def test_merging_keeps_what_was_learnt() -> None:
    encoder = make_encoder()
    add_lora(encoder, rank=4, dropout=0.5)
    untouched = make_encoder().eval().packed(IDS, LENGTHS)
    trained(encoder).eval()
    learnt = encoder.packed(IDS, LENGTHS)
    assert (learnt - untouched).abs().max() > 0.01
    plain = make_encoder().eval()
    plain.load_state_dict(merged_state(encoder))
    merged = merge_lora(copy.deepcopy(encoder))
    assert not any(isinstance(part, LoraLinear) for part in merged.modules())
    for found in (plain, merged):
        torch.testing.assert_close(found.packed(IDS, LENGTHS), learnt, atol=1e-5, rtol=1e-5)


def test_the_formula() -> None:
    torch.manual_seed(0)
    base = nn.Linear(3, 2)
    layer = LoraLinear(base, rank=2, alpha=6.0, dropout=0.0)
    with torch.no_grad():
        layer.up.normal_()
    x = torch.randn(4, 3)
    expected = x @ base.weight.T + base.bias + 3.0 * (x @ layer.down.T) @ layer.up.T
    torch.testing.assert_close(layer(x), expected)


def test_wrong_use_is_refused() -> None:
    for rank, dropout in ((0, 0.0), (2, 1.0)):
        with pytest.raises(UsageError, match="rank"):
            LoraLinear(nn.Linear(2, 2), rank, dropout=dropout)
    with pytest.raises(UsageError, match="no linear"):
        add_lora(nn.LayerNorm(3))
    encoder = make_encoder()
    add_lora(encoder)
    with pytest.raises(UsageError, match="already"):
        add_lora(encoder)
