"""Affinities: targets by brute force, widened borders, weights, and a network that learns them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_volumes import EXTRAS, volume_config, volume_data, volume_model, volume_pack
from tiny_volumes import volume_tokenizer as tokenizer_of

from sciar.errors import UsageError
from sciar.folder import ModelFolder
from sciar.inheritance import inherit
from sciar.model import AutoregressiveModel, InputConfig
from sciar.nn.affinities import NEAREST, AffinityDecoder
from sciar.objectives.affinities import (
    AffinityObjective,
    affinities,
    affinity_logits,
    balanced,
    widened,
)
from sciar.tokenization.volume import VolumeTokenizer

OFFSETS = (*NEAREST, (0, -3, 0), (-2, 1, -1))


def segmenter(tokenizer: VolumeTokenizer | None = None, **options: object) -> AutoregressiveModel:
    decoder = {"patch": [4, 4, 4], "offsets": [list(o) for o in OFFSETS], "channels": 4, **options}
    extras = {"affinities": InputConfig("sciar.nn.affinities.AffinityDecoder", decoder), **EXTRAS}
    return volume_model(tokenizer or tokenizer_of(), volume_config(extras=extras))


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    offset=st.tuples(*[st.integers(-4, 4)] * 3),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_targets_by_brute_force(
    seed: int, offset: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (2, *shape))
    target, valid = affinities(torch.from_numpy(labels), [offset])
    for b, z, y, x in np.ndindex(labels.shape):
        other = np.add((z, y, x), offset)
        inside = bool(((other >= 0) & (other < shape)).all())
        same = inside and labels[b, z, y, x] == labels[b, *other] and labels[b, z, y, x] > 0
        assert (bool(valid[b, 0, z, y, x]), bool(target[b, 0, z, y, x])) == (inside, same)


def test_borders_are_widened_within_sections() -> None:
    labels = torch.zeros(1, 2, 4, 6, dtype=torch.long)
    labels[0, 0, :, :3], labels[0, 0, :, 3:] = 1, 2
    labels[0, 1] = 5
    labels[0, 1, 0, 0] = 0
    found = widened(labels)
    assert found[0, 0, 0].tolist() == [1, 1, 0, 0, 2, 2]
    # Zeros next to one object, and other sections, take nothing away.
    torch.testing.assert_close(found[0, 1], labels[0, 1])


@given(share=st.floats(0, 1))
def test_weights_are_bounded_and_balance(share: float) -> None:
    target = (torch.rand(1, 3, 5, 5, 5, generator=torch.Generator().manual_seed(0)) < share).float()
    valid = torch.ones_like(target)
    valid[:, :, 0] = 0
    weight = balanced(target, valid)
    assert not weight[:, :, 0].any()
    inside = weight[valid > 0]
    assert inside.min() >= 1 and inside.max() <= 99.001
    ones = (target * valid).sum() / valid.sum()
    if 0.05 < ones < 0.99:
        torch.testing.assert_close(
            (weight * target).sum(), (weight * (1 - target)).sum(), rtol=1e-3, atol=0
        )


@torch.no_grad()
def test_a_patch_reaches_its_own_voxels() -> None:
    """States are unfolded to where their patches are."""
    model = segmenter()
    decoder = model.extra("affinities", AffinityDecoder, "test")
    states, voxels = torch.zeros(1, 12, 32), torch.rand(1, 8, 8, 12)
    assert decoder.spread is not None
    wide = 2 * decoder.channels
    features = torch.zeros(1, 12, wide * 8)
    features[0, 5] = 1  # z 0, y 1, x 2 of 2 x 2 x 3
    found = decoder._unfolded(features, torch.zeros(1, wide, 4, 4, 6))[0]
    assert found[:, :2, 2:, 4:].min() == 1 and found.sum() == wide * 8
    assert decoder(states, voxels).shape == (1, 5, 8, 8, 12)


def test_sizes_are_checked() -> None:
    for options, message in (
        ({"patch": [4, 4, 8]}, "do not fit slots of 64"),
        ({"stride": [3, 2, 2]}, "stride"),
        ({"offsets": [[0, 0, -1]]}, "first three offsets"),
    ):
        with pytest.raises(UsageError, match=message):
            segmenter(**options)
    with pytest.raises(UsageError, match=r"data\.labelled"):
        AffinityObjective().losses(segmenter(), volume_pack(tokenizer_of()), 0)
    with pytest.raises(UsageError, match="bce, mse"):
        AffinityObjective(loss="hinge")


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_it_learns(loss: str) -> None:
    module = volume_data(labelled=True, batch=4, steps=25)
    model = segmenter(module.fitted_tokenizer)
    objective = AffinityObjective(loss=loss)
    batch = next(iter(module.train_dataloader()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = []
    for _ in range(25):
        parts = objective.losses(model, batch, 0)
        value = objective.total(parts)[0]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(float(value.detach()))
    assert found[-1] < 0.7 * found[0]
    assert set(parts) == {"affinity", "affinity_long"}
    used = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(n.startswith("decoder.") for n in used), "states of patches are trained too"
    assert "affinity_wrong" in objective.losses(model, batch, -1)


@torch.no_grad()
def test_the_baseline_uses_no_states() -> None:
    model = segmenter(states=False)
    module = volume_data(labelled=True, batch=2, steps=1)
    batch = next(iter(module.train_dataloader()))
    before = affinity_logits(model, batch)
    for parameter in model.decoder.parameters():
        parameter.add_(1.0)
    torch.testing.assert_close(affinity_logits(model, batch), before, rtol=0, atol=0)


def test_it_starts_from_a_pretrained_model_of_other_extras() -> None:
    tokenizer = tokenizer_of()
    old = volume_model(tokenizer, seed=1)
    extras = {"affinities": InputConfig("sciar.nn.affinities.AffinityDecoder", {"patch": [4] * 3})}
    new = volume_model(tokenizer, volume_config(extras=extras), seed=2)
    own = new.extras["affinities"].up.weight.clone()
    inherit(ModelFolder("old", old, tokenizer, {}, {}, ""), new)
    for name, value in old.state_dict().items():
        if not name.startswith("extras."):
            torch.testing.assert_close(new.state_dict()[name], value, rtol=0, atol=0, msg=name)
    torch.testing.assert_close(new.extras["affinities"].up.weight, own, rtol=0, atol=0)
