"""Crops drawn patch by patch by the engine, with its caches, as by feeding the whole crop again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_volumes import VOXEL, volume_config, volume_model, volume_pack, volume_tokenizer

from sciar.api.model import Model
from sciar.folder import ModelFolder


@torch.no_grad()
@pytest.mark.parametrize("pattern", ["a", "m", "ma"])
def test_a_roll_out_is_what_the_decoder_says(pattern: str) -> None:
    tokenizer = volume_tokenizer()
    net = volume_model(tokenizer, volume_config(pattern))
    made = Model(ModelFolder("made", net, tokenizer, {}, {}, "")).generate(n=2, seed=3)
    crops: list[Any] = [sample.record for sample in made]
    assert len(crops) == 2 and crops[0].voxel == VOXEL
    # Nothing is drawn by chance.
    np.testing.assert_allclose(crops[0].voxels, crops[1].voxels, atol=1e-6)
    batch = volume_pack(tokenizer, 1)
    values = torch.zeros_like(batch.values)
    for k in range(1, 13):
        hidden, inputs = net(replace(batch, values=values))
        condition = net.condition(hidden, inputs.next)[k - 1 : k]
        drawn = net.head(1).sample(condition, torch.zeros(1, dtype=torch.long))
        encoder = net.embedding.encoder(1)
        values[k] = drawn[0] * encoder.std + encoder.mean
    expected = tokenizer.grid.join(values[1:].numpy())
    np.testing.assert_allclose(crops[0].voxels, expected, atol=2e-4)
