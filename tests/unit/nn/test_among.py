"""Attention among references: order and absence do not matter, turning neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from octrees import octree_config, octree_tokenizer, random_molecules

from sciar.model import AutoregressiveModel
from sciar.nn.among import Among, distances
from sciar.tokenization.octree_grid import random_rotation
from sciar.tokenization.packing import pack


def read(layer: Among, x: torch.Tensor, points: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    apart = distances(points)
    return layer(x, torch.cat([apart, apart.sin(), apart.cos()], dim=-1), valid)


def test_what_is_absent_is_not_seen_and_order_does_not_matter() -> None:
    torch.manual_seed(0)
    layer = Among(8, 3)
    x, points = torch.randn(5, 4, 8), torch.randn(5, 4, 3)
    valid = torch.ones(5, 4, dtype=torch.bool)
    valid[:, 3] = False
    whole = read(layer, x, points, valid)
    alone = read(layer, x[:, :3], points[:, :3], valid[:, :3])
    torch.testing.assert_close(whole[:, :3], alone, atol=1e-5, rtol=1e-5)
    turn = torch.tensor([2, 0, 1])
    swapped = read(layer, x[:, turn], points[:, turn], valid[:, :3])
    torch.testing.assert_close(swapped, alone[:, turn], atol=1e-5, rtol=1e-5)
    rotation = torch.from_numpy(random_rotation(np.random.default_rng(0))).float()
    turned = read(layer, x, points @ rotation.T, valid)
    torch.testing.assert_close(turned, whole, atol=1e-4, rtol=1e-4)
    assert (read(layer, x, 2 * points, valid) - whole).abs().max() > 1e-3
    nothing = read(layer, x, points, torch.zeros_like(valid))
    assert torch.isfinite(nothing).all()


def test_new_rounds_change_nothing_until_they_are_trained() -> None:
    tokenizer = octree_tokenizer(context="before", offsets="local")
    batch = pack([tokenizer.encode(m) for m in random_molecules(4)])
    config = octree_config("one-stream")
    layout = tokenizer.layout
    plain, deeper = (
        AutoregressiveModel(tokenizer.vocabulary, layout.references, c, layout.relations)
        for c in (config, replace(config, reference_rounds=2))
    )
    missing = deeper.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(k.startswith("embedding.reference.") for k in missing.missing_keys)
    with torch.no_grad():
        torch.testing.assert_close(deeper(batch)[0], plain(batch)[0])
    hidden, _ = deeper(batch)
    hidden.square().sum().backward()
    more = deeper.embedding.reference.more
    assert more.weight.grad.abs().max() > 0
