"""The condition of a slot is projected once, whatever the noisy copies and the solver's steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sciar.heads.base import Head, SamplerSettings
from sciar.heads.diffusion import DiffusionHead
from sciar.heads.flow import FlowHead
from sciar.nn.streams import sample_keys
from sciar.tokenization.vocabulary import SlotKind

SLOTS = 5


@pytest.mark.parametrize("kind", [FlowHead, DiffusionHead])
@pytest.mark.parametrize("geometry", ["euclidean", "torus"])
def test_one_projection_a_slot(kind: type[Head], geometry: str) -> None:
    options: dict[str, Any] = {"hidden": 8, "depth": 1, "copies": 7}
    head = kind(SlotKind("<x>", 3, geometry), 4, **options)
    rows: list[int] = []
    layer = head.net.condition
    assert isinstance(layer, nn.Linear)
    layer.register_forward_hook(lambda module, given, out: rows.append(len(out)))
    condition, keys = torch.randn(SLOTS, 4), sample_keys(0, torch.arange(SLOTS))
    head.loss(condition, torch.rand(SLOTS, 3), keys)
    assert rows == [SLOTS]
    head.sample(condition, keys, SamplerSettings(steps=12))
    assert rows == [SLOTS, SLOTS]


@pytest.mark.parametrize("kind", [FlowHead, DiffusionHead])
def test_coordinates_are_fp32_whatever_the_decoder_is(kind: type[Head]) -> None:
    options: dict[str, Any] = {"hidden": 8, "depth": 1}
    head = kind(SlotKind("<x>", 3), 4, **options)
    seen: set[torch.dtype] = set()

    def look(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        seen.add(out.dtype)

    for module in head.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(look)
    keys = sample_keys(0, torch.arange(SLOTS))
    with torch.autocast("cpu", torch.bfloat16):  # entered by the decoder; the head leaves it
        half = torch.randn(SLOTS, 4).bfloat16()
        loss = head.loss(half, torch.rand(SLOTS, 3), keys)
        drawn = head.sample(half, keys, SamplerSettings(steps=4))
    assert seen == {torch.float32}
    assert loss.dtype == drawn.dtype == torch.float32
