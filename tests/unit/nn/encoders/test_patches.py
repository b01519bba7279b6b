"""The encoder of patches: shapes, order, borders, frozen weights and kept vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sciar.errors import ModelError, UsageError
from sciar.nn.encoders.patches import PatchEncoder
from sciar.nn.encoders.raster import RasterConfig, RasterEncoder, positions, raster
from sciar.nn.inputs import inputs_at
from sciar.records import Call, Program
from sciar.tokenization.packing import pack
from sciar.tokenization.programs.frames import ImageFrame, PatternFrame
from sciar.tokenization.programs.observed import Observed, ObservedProgramTokenizer
from sciar.tokenization.vocabulary import SlotKind

IMAGE = SlotKind("<image>", 4 * 4 * 3, role="given")
OPTIONS: dict[str, Any] = {"grid": [2, 3], "layers": 1, "width": 16, "heads": 2}


def images(count: int, size: tuple[int, int] = (8, 12)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(8, 12, 3), (8, 8, 1)])
def test_a_raster_is_put_together_as_it_was_cut(shape: tuple[int, int, int]) -> None:
    frame = ImageFrame(shape[:2], shape[2], patch=4)
    image = images(1, shape[:2])[0][..., : shape[2]]
    config = RasterConfig(frame.shape, frame.width, channels=shape[2])
    whole = raster(torch.from_numpy(frame.patches(image))[None], config)[0]
    np.testing.assert_allclose(whole.permute(1, 2, 0) * 255, image, atol=1e-4)


def test_a_pattern_is_put_together_as_it_was_cut() -> None:
    frame = PatternFrame({"points": 64}, patch=16)
    profile = np.random.default_rng(0).random(64)
    config = RasterConfig(frame.shape, frame.width, channels=1)
    whole = raster(torch.from_numpy(frame.patches(profile))[None], config)
    np.testing.assert_allclose(whole[0, 0], profile, rtol=1e-6)


@pytest.mark.parametrize("stem", ["linear", "convolution"])
def test_what_comes_out_does_not_hang_on_the_batch(stem: str) -> None:
    torch.manual_seed(0)
    for grid, patch, channels in (((2, 3), 48, 3), ((5,), 8, 1)):
        encoder = RasterEncoder(RasterConfig(grid, patch, channels, 2, 16, 2, stem)).eval()
        x = torch.rand(3, encoder.config.count, patch)
        together = encoder(x)
        assert together.shape == (3, encoder.config.count, 16)
        torch.testing.assert_close(together[1:2], encoder(x[1:2]), atol=1e-5, rtol=1e-5)


def test_the_stem_of_convolutions_sees_across_borders() -> None:
    torch.manual_seed(0)
    for stem, expected in (("linear", False), ("convolution", True)):
        encoder = RasterEncoder(RasterConfig((2,), 8, 1, 1, 16, 2, stem))
        x = torch.zeros(1, 2, 8)
        y = x.clone()
        y[0, 1, 0] = 1.0  # right behind the border
        changed = (encoder.stem(x) - encoder.stem(y)).abs().amax(-1)[0] > 0
        assert changed.tolist() == [expected, True]


def test_all_places_differ() -> None:
    for grid in ((16,), (4, 7), (14, 14)):
        table = positions(grid, 32)
        gaps = torch.cdist(table, table) + 9 * torch.eye(len(table))
        assert gaps.min() > 0.05


def tokenizer() -> ObservedProgramTokenizer:
    frame = {"kind": "image", "size": [8, 12], "patch": 4}
    return ObservedProgramTokenizer("dots", frame, max_calls=2)


def packed(count: int) -> Any:
    made = tokenizer()
    calls = (Call("add", {"x": (0.5,), "y": (0.25,)}),)
    return pack([made.encode(Observed(Program(calls), image)) for image in images(count)])


def test_slots_of_a_pack_are_read_observation_by_observation() -> None:
    torch.manual_seed(0)
    module = PatchEncoder(IMAGE, 10, **OPTIONS).eval()
    batch = packed(3)
    at = torch.arange(len(batch))
    inputs = inputs_at(batch, at, torch.zeros(len(at), dtype=torch.bool))
    where = (batch.kinds == tokenizer().vocabulary.kind("<image>")).nonzero().squeeze(1)
    found = module.at(inputs, where)
    alone = module.at(inputs, where[6:12])
    assert found.shape == (18, 10)
    torch.testing.assert_close(found[6:12], alone, atol=1e-6, rtol=1e-5)
    with pytest.raises(UsageError, match="no whole observations of 6"):
        module.at(inputs, where[:7])


def test_frozen_vectors_are_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = PatchEncoder(IMAGE, 10, **OPTIONS)
    state = {f"embedding.payload.4.{k}": v for k, v in trained.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    frozen = PatchEncoder(
        IMAGE, 10, **OPTIONS, train="frozen", weights=str(tmp_path), cache=str(tmp_path / "store")
    )
    for name, value in trained.encoder.state_dict().items():
        assert torch.equal(frozen.encoder.state_dict()[name], value)
    assert not any(p.requires_grad for p in frozen.encoder.parameters())
    x = torch.rand(2, 6, 48)
    first = frozen._stored(x)
    torch.testing.assert_close(first, trained.encoder(x), atol=4e-3, rtol=4e-3)
    assert frozen._store is not None and frozen._store.misses == 2
    assert torch.equal(frozen._stored(x), first) and frozen._store.hits == 2
    assert frozen.options() == {
        **OPTIONS, "channels": 3, "stem": "convolution", "train": "frozen"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"grid": [2, 3, 4]}, "one or two axes"),
        ({"channels": 2}, "no cube"),
        ({"width": 18}, "does not split"),
        ({"stem": "deep"}, "stem 'deep'"),
        ({"train": "some"}, "train 'some'"),
        ({"cache": "x"}, "not kept"),
    ],
)
def test_options_that_make_no_encoder(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        PatchEncoder(IMAGE, 10, **{**OPTIONS, **options})


def test_weights_of_other_sizes(tmp_path: Path) -> None:
    other = PatchEncoder(IMAGE, 10, **{**OPTIONS, "width": 32})
    save_file(other.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="no encoder of patches of these sizes"):
        PatchEncoder(IMAGE, 10, **OPTIONS, weights=str(tmp_path))
    with pytest.raises(ModelError, match="no weights of a trained model"):
        PatchEncoder(IMAGE, 10, **OPTIONS, weights=str(tmp_path / "nothing"))
    slot = SlotKind("<image>", 7, role="given")
    with pytest.raises(UsageError, match="no cube"):
        PatchEncoder(slot, 10, **OPTIONS)
