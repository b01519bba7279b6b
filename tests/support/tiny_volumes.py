"""Small volumes, and models that read them."""

from __future__ import annotations

from typing import Any

import torch

from sciar.datasets.tubes import tubes
from sciar.datasets.volume_data import VolumeData
from sciar.model import AutoregressiveModel, HeadConfig, InputConfig, ModelConfig
from sciar.nn.decoder import DecoderConfig
from sciar.nn.mamba import MambaConfig
from sciar.records import Crop
from sciar.tokenization.packing import Pack, pack
from sciar.tokenization.volume import VolumeTokenizer

VOXEL = (10.0, 10.0, 10.0)
EXTRAS = {
    "random": InputConfig("sciar.nn.patches.PatchReadout"),
    "next": InputConfig("sciar.nn.patches.PatchReadout"),
    "next_all": InputConfig("sciar.nn.perceiver.NextAll", {"latents": 4, "layers": 1}),
}


def volume_tokenizer(
    crop: tuple[int, int, int] = (8, 8, 12), patch: tuple[int, int, int] = (4, 4, 4)
) -> VolumeTokenizer:
    return VolumeTokenizer(crop, patch, VOXEL)


def volume_config(pattern: str = "ma", **options: Any) -> ModelConfig:
    return ModelConfig(
        decoder=DecoderConfig(
            layers=2, hidden=32, heads=2, axes=3, unit=40.0, pattern=pattern,
            mamba=MambaConfig(state=8, head=16, chunk=4),
        ),
        heads={"default": HeadConfig("sciar.heads.point.PointHead", {"hidden": 32, "delta": 1e3})},
        inputs={"<patch>": InputConfig("sciar.nn.patches.PatchInput")},
        places=True,
        place_unit=40.0,
        **{"extras": EXTRAS, **options},
    )  # fmt: skip


def volume_model(
    tokenizer: VolumeTokenizer, config: ModelConfig | None = None, seed: int = 0
) -> AutoregressiveModel:
    """Readouts start at zero; here they do not, so that what they hang on shows."""
    torch.manual_seed(seed)
    model = AutoregressiveModel(tokenizer.vocabulary, 0, config or volume_config())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def crops(count: int, shape: tuple[int, int, int] = (8, 8, 12), seed: int = 0) -> list[Crop]:
    return [Crop(tubes(shape, seed + i, spacing=8)[0] / 255.0, VOXEL) for i in range(count)]


def volume_pack(tokenizer: VolumeTokenizer, count: int = 3, seed: int = 0) -> Pack:
    shape = tokenizer.grid.crop
    return pack([tokenizer.encode(c) for c in crops(count, shape, seed)])


def volume_data(**options: Any) -> VolumeData:
    return VolumeData(["tubes:1"], volume_tokenizer(), val=["tubes:2"], **options)
