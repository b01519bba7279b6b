"""CLIP and DINOv2 of random weights, read from a directory as their users have them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sciar.errors import ModelError, UsageError
from sciar.nn.encoders import pretrained_vision
from sciar.nn.encoders.pretrained_vision import PretrainedVision
from sciar.tokenization.vocabulary import SlotKind

HAS = importlib.util.find_spec("transformers") is not None
needs = pytest.mark.skipif(not HAS, reason="needs transformers")
SLOT = SlotKind("<image>", 4 * 4 * 3, role="given")
GRID = [3, 3]


def written(folder: Path, kind: str, seed: int = 0) -> Path:
    """A tiny encoder of images with 12 pixels and patches of 4."""
    import transformers

    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes |= {"image_size": 12, "patch_size": 4}
    if kind == "clip":
        config = transformers.CLIPVisionConfig(**sizes, intermediate_size=32)
        model = transformers.CLIPVisionModel(config)
    else:
        model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes))
    model.save_pretrained(folder)
    text = json.dumps({"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]})
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    return folder


@needs
@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_the_state_of_each_patch(kind: str, tmp_path: Path) -> None:
    module = PretrainedVision(SLOT, 8, path=str(written(tmp_path, kind)), grid=GRID)
    assert not any("encoder" in name for name in module.state_dict()), "weights would be stored"
    x = torch.rand(2, 9, 48)
    found = module.encode(x)
    assert found.shape == (2, 9, 16)
    pixels = x.view(2, 3, 3, 4, 4, 3).permute(0, 5, 1, 3, 2, 4).reshape(2, 3, 12, 12)
    mean = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    std = torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    with torch.no_grad():
        out: Any = module._held[0](pixel_values=(pixels - mean) / std, output_hidden_states=True)
    torch.testing.assert_close(found, out.hidden_states[-2][:, 1:])
    wide = SlotKind("<image>", 12 * 12 * 3, role="given")
    whole = PretrainedVision(wide, 8, path=str(tmp_path), grid=[1, 1])
    pooled = whole.encode(pixels.permute(0, 2, 3, 1).reshape(2, 1, -1))
    torch.testing.assert_close(pooled[:, 0], found.mean(1))
    again = PretrainedVision(SLOT, 8, **module.options())
    torch.testing.assert_close(again.encode(x), found)


@needs
def test_directories_that_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "clip", "clip")
    digest = PretrainedVision(SLOT, 8, path=str(folder), grid=GRID).sha256
    written(folder, "clip", seed=1)
    with pytest.raises(ModelError, match="other weights"):
        PretrainedVision(SLOT, 8, path=str(folder), grid=GRID, sha256=digest)
    with pytest.raises(UsageError, match="no multiples of the encoder's 4"):
        odd = SlotKind("<image>", 6 * 6 * 3, role="given")
        PretrainedVision(odd, 8, path=str(folder), grid=[2, 2])
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be loaded"):
        PretrainedVision(SLOT, 8, path=str(folder), grid=GRID)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained_vision, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'sciar\[vision\]'"):
        PretrainedVision(SLOT, 8, path=str(tmp_path), grid=GRID)
    monkeypatch.setattr(pretrained_vision, "find_spec", lambda name: object())
    with pytest.raises(ModelError, match=r"config\.json, preprocessor_config\.json, model\.safe"):
        PretrainedVision(SLOT, 8, path=str(tmp_path), grid=GRID)
    for name in pretrained_vision.FILES:
        (tmp_path / name).write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ModelError, match="type 'bert'"):
        PretrainedVision(SLOT, 8, path=str(tmp_path), grid=GRID)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}', encoding="utf-8")
    with pytest.raises(ModelError, match="image_mean is missing"):
        PretrainedVision(SLOT, 8, path=str(tmp_path), grid=GRID)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        PretrainedVision(SLOT, 8, path=str(tmp_path), grid=GRID)
